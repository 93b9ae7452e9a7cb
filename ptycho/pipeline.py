"""The stage table: what runs, on what, depending on which parameters, and what must hold afterwards.

Everything else is driven by :data:`STAGES` and knows no stage by heart: running, resuming, keys, telemetry and
the report's chapters. A stage is a pure function of its inputs and the config; `Context` holds only how it
runs (where state is kept, who listens), never what it computes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ptycho import gates, stages, telemetry
from ptycho.config import Config
from ptycho.data import RawData
from ptycho.errors import PtychoError
from ptycho.progress import Progress
from ptycho.provenance import key_of
from ptycho.simulate import probes
from ptycho.stages import Artifacts, Context

__all__ = [
    "STAGES",
    "Context",
    "Invariant",
    "PipelineResult",
    "Stage",
    "notes_on",
    "run_pipeline",
    "stage_keys",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Invariant:
    """A condition on a stage's artifact, and the error text for where it does not hold."""

    says: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class Stage:
    """One row of the table.

    Attributes
    ----------
    name : str
    run : callable
        ``(artifacts, config, context) -> artifact``.
    inputs : tuple of str
        Stages whose artifacts it takes.
    reads : tuple of str
        Dotted paths of the config that its result depends on.
    telemetry : callable
        ``artifact -> {name: number}``.
    invariants : tuple of Invariant
    """

    name: str
    run: Callable[[Artifacts, Config, Context], Any]
    inputs: tuple[str, ...]
    reads: tuple[str, ...]
    telemetry: Callable[[Any], dict[str, float]]
    invariants: tuple[Invariant, ...] = ()


@dataclass(frozen=True)
class PipelineResult:
    """Artifacts, telemetry, keys and seconds of every stage that ran."""

    config: Config
    artifacts: Artifacts
    telemetry: Mapping[str, Mapping[str, float]]
    keys: Mapping[str, str]
    seconds: Mapping[str, float]
    notes: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether every applicable gate passed."""
        return gates.passed(self.artifacts["gate"])


def run_pipeline(config: Config, context: Context | None = None, until: str = "gate") -> PipelineResult:
    """Run the stages in order, up to and including `until`.

    Raises
    ------
    PtychoError
        Of the first stage that fails, or whose artifact breaks an invariant.
    """
    context = context or Context()
    artifacts: dict[str, Any] = {}
    measured: dict[str, dict[str, float]] = {}
    seconds: dict[str, float] = {}
    keys = stage_keys(config, context)
    for index, stage in enumerate(STAGES):
        context.listener(Progress("stages", index, len(STAGES), stage.name))
        began = time.perf_counter()
        own = replace(context, key=keys[stage.name])
        artifact = stage.run({name: artifacts[name] for name in stage.inputs}, config, own)
        for invariant in stage.invariants:
            if not invariant.holds(artifact):
                raise PtychoError(f"stage {stage.name}: {invariant.says}; this is a bug, please report it")
        artifacts[stage.name] = artifact
        measured[stage.name] = stage.telemetry(artifact)
        seconds[stage.name] = time.perf_counter() - began
        logger.debug("stage %s: %.2f s, %s", stage.name, seconds[stage.name], measured[stage.name])
        if stage.name == until:
            break
    return PipelineResult(config, artifacts, measured, keys, seconds, notes_on(config, artifacts))


def stage_keys(config: Config, context: Context) -> dict[str, str]:
    """Return each stage's key: the hash of the config it depends on and of its inputs' keys."""
    keys: dict[str, str] = {}
    for stage in STAGES:
        source = context.scan_key if stage.name == "scan" and context.scan is not None else ""
        keys[stage.name] = key_of(
            stage.name, source, config.subset(stage.reads), [keys[name] for name in stage.inputs]
        )
    return keys


def notes_on(config: Config, artifacts: Artifacts) -> tuple[str, ...]:
    """Return what a person should know about this run before looking at its numbers."""
    notes = []
    scan: RawData = artifacts["scan"]
    if config.gridsize == 1 and probes.is_twin_ambiguous(scan.probe):
        notes.append(
            "Twin image: this probe is real and centrosymmetric, so a single pattern cannot tell the object from its "
            "conjugate turned by 180 degrees. At gridsize 1 no network can; use gridsize 2 or a structured probe."
        )
    if scan.object_guess is None:
        notes.append("No truth: the scan has no objectGuess; gates that need one are not applicable.")
    if "probe" in scan.metadata:
        notes.append(f"Probe: {scan.metadata['probe']}.")
    return tuple(notes)


STAGES: tuple[Stage, ...] = (
    Stage(
        "scan",
        stages.scan_stage,
        inputs=(),
        reads=("N", "gridsize", "seed", "probe", "simulation", "evaluation.use_object_guess"),
        telemetry=telemetry.scan_telemetry,
        invariants=(
            Invariant(
                "amplitudes must be finite", lambda scan: bool(np.isfinite(scan.diff3d.sum(dtype=float)))
            ),
        ),
    ),
    Stage(
        "split",
        stages.split_stage,
        inputs=("scan",),
        reads=("split",),
        telemetry=lambda split: {
            "train": len(split.train),
            "test": len(split.test),
            "train_mean_amplitude": telemetry.mean_amplitude(split.train),
            "test_mean_amplitude": telemetry.mean_amplitude(split.test),
        },
        invariants=(
            Invariant(
                "both parts must hold patterns", lambda split: min(len(split.train), len(split.test)) > 0
            ),
        ),
    ),
    Stage(
        "group",
        stages.group_stage,
        inputs=("split",),
        reads=("gridsize", "grouping", "inference.n_groups", "inference.include_seed"),
        telemetry=telemetry.group_telemetry,
        invariants=(
            Invariant(
                "relative offsets must sum to zero in each group",
                lambda groups: float(np.abs(groups.train.coords_relative.sum(axis=3)).max()) < 1e-6,
            ),
        ),
    ),
    Stage(
        "scale",
        stages.scale_stage,
        inputs=("group",),
        reads=("scaling", "probe.mask", "probe.smoothing_sigma_px"),
        telemetry=lambda both: {
            name: value for name, value in vars(both.train.scales).items() if name != "source"
        },
        invariants=(
            Invariant(
                "both parts must carry the training scales",
                lambda both: both.train.scales == both.test.scales,
            ),
        ),
    ),
    Stage(
        "train",
        stages.train_stage,
        inputs=("scale",),
        reads=("seed", "model", "training"),
        telemetry=telemetry.train_telemetry,
        invariants=(
            Invariant(
                "weights must be finite",
                lambda bundle: all(np.isfinite(value).all() for value in bundle.weights.values()),
            ),
        ),
    ),
    Stage(
        "infer",
        stages.infer_stage,
        inputs=("group", "train"),
        reads=(),
        telemetry=lambda prediction: {"groups": len(prediction), "canvas_px": prediction.size},
        invariants=(Invariant("every group needs a finite position", telemetry.holds_all_patches),),
    ),
    Stage(
        "stitch",
        stages.stitch_stage,
        inputs=("group", "train", "infer"),
        reads=("inference.prediction_scale", "evaluation.coverage_threshold"),
        telemetry=telemetry.stitch_telemetry,
        invariants=(
            Invariant(
                "every patch must fit the canvas", lambda result: result.fits_canvas or result.n_nonfinite > 0
            ),
        ),
    ),
    Stage(
        "evaluate",
        stages.evaluate_stage,
        inputs=("group", "train", "infer", "stitch"),
        reads=("evaluation",),
        telemetry=lambda found: found.summary(),
    ),
    Stage(
        "gate",
        stages.gate_stage,
        inputs=("group", "stitch", "evaluate"),
        reads=("gates",),
        telemetry=lambda verdicts: {verdict.name: float(verdict.status != "fail") for verdict in verdicts},
    ),
)
"""The table. Order is the order of running; `inputs` names earlier rows only."""
