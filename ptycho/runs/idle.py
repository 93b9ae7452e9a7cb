"""Finds parameters that somebody set and that have no effect in this run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ptycho.settings import config as configs
from ptycho.settings import fields, layers
from ptycho.settings.config import Config
from ptycho.stages import pipeline

ALWAYS = ("name", "description")
"""Read by people."""


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
    rows = [stage for stage in pipeline.needed_stages(given, until, also) if stage.name not in given]
    read = {path for stage in rows for path in stage.reads}
    for path in dict.fromkeys(layers.parse_override(text)[0] for text in overrides):
        if path in ALWAYS:
            continue
        above = {path[:end] for end, letter in enumerate(path) if letter == "."} | {path}
        if not above & read:
            places = f" ({', '.join(given)} given)" if given else ""
            yield f"--set {path} has no effect: no stage of this command reads it{places}"
            continue
        why = without_effect(config, path)
        if why:
            yield f"--set {path} has no effect: {why}"


def without_effect(config: Config, path: str) -> str:
    """Return why the parameter at `path`, or a group that it is in, has no effect in a config; nothing where it has one."""
    values = config.to_dict()
    for field in configs.fields_on_the_way(path):
        why = fields.without_effect(field, lambda other: configs.lookup(values, other))
        if why:
            return why
    return ""
