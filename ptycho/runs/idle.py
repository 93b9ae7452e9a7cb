"""Parameters that were set and cannot act: said, since whoever set them expects something of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ptycho.settings import layers
from ptycho.stages import pipeline
from ptycho.settings.config import Config

ALWAYS = ("name", "description")
"""Read by people."""

WITHOUT_EFFECT: tuple[tuple[str, str, Callable[[Config], bool]], ...] = (
    *(
        (path, "grouping.method is consecutive", lambda c: c.grouping.method == "consecutive")
        for path in ("training.cluster_patterns", "training.cluster_judges")
    ),
    *(
        (f"model.{name}", f"the classic network {why}", lambda c: c.model.architecture == "unet")
        for name, why in (
            ("warm_steps", "has none"),
            ("momentum", "has no steps"),
            ("steps", "has none"),
            ("block", "sees every pixel"),
            ("final_steps", "has no steps"),
            ("share_weights", "has no steps"),
        )
    ),
    (
        "model.max_amplitude",
        "the unrolled network has no limit",
        lambda c: c.model.architecture == "unrolled",
    ),
    *(
        (path, "solver.engine is ptychi", lambda c: c.solver.engine == "ptychi")
        for path in ("solver.momentum", "solver.random_passes")
    ),
    ("probe.relative_width", "it shapes the idealized probe only", lambda c: c.probe.kind != "idealized"),
    ("probe.file", "the idealized probe is computed", lambda c: c.probe.kind == "idealized"),
    ("simulation.grid.", "simulation.mode is nongrid", lambda c: c.simulation.mode == "nongrid"),
    ("simulation.base_total_images", "a grid scan has its strides", lambda c: c.simulation.mode == "grid"),
    ("simulation.buffer_px", "a grid scan has its strides", lambda c: c.simulation.mode == "grid"),
    ("simulation.object_seed", "a grid scan numbers its objects", lambda c: c.simulation.mode == "grid"),
    ("split.fraction", "split.method is not axis", lambda c: c.split.method != "axis"),
    (
        "scaling.nphotons",
        "scaling.photon_scale is recorded",
        lambda c: c.scaling.photon_scale == "recorded",
    ),
    *(
        (path, "a group is a single pattern at gridsize 1", lambda c: c.gridsize == 1)
        for path in (
            *("grouping.neighbor_count", "grouping.include_seed", "grouping.oversampling"),
            *("grouping.regroup_each_epoch", "inference.include_seed"),
        )
    ),
    *(
        (path, "grouping.method is consecutive", lambda c: c.grouping.method == "consecutive")
        for path in (
            *("grouping.neighbor_count", "grouping.include_seed", "grouping.oversampling"),
            *("grouping.regroup_each_epoch", "inference.include_seed"),
        )
    ),
)
"""A parameter (or with a dot at its end a group of them), why it cannot act, and when."""


def overrides_without_effect(
    config: Config,
    overrides: Iterable[str],
    given: Mapping[str, Any],
    until: str | None = None,
    also: Iterable[str] = (),
) -> Iterator[str]:
    """Yield a line for every override that cannot change what a run makes.

    Parameters
    ----------
    config : Config
        As resolved with them.
    overrides : iterable of str
        ``path=value`` texts.
    given, until, also
        As for :func:`ptycho.stages.pipeline.run_pipeline`.
    """
    rows = [stage for stage in pipeline.needed_rows(given, until, also) if stage.name not in given]
    read = {path for stage in rows for path in stage.reads}
    for path in dict.fromkeys(layers.parse_override(text)[0] for text in overrides):
        if path in ALWAYS:
            continue
        above = {path[:end] for end, letter in enumerate(path) if letter == "."} | {path}
        if not above & read:
            places = f" ({', '.join(given)} given)" if given else ""
            yield f"--set {path} has no effect: no stage of this command reads it{places}"
            continue
        for start, why, holds in WITHOUT_EFFECT:
            if (path == start or (start.endswith(".") and path.startswith(start))) and holds(config):
                yield f"--set {path} has no effect: {why}"
                break
