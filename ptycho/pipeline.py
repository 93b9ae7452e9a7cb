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
from pathlib import Path
from typing import Any

import numpy as np

from ptycho import coords, evaluation, gates, grouping, inference, scaling, stitching, training
from ptycho.config import Config
from ptycho.data import GroupedData, PtychoDataContainer, RawData, Split
from ptycho.errors import DataContractError, PtychoError
from ptycho.model import bundle as bundles
from ptycho.progress import Listener, Progress, silent
from ptycho.provenance import key_of, provenance
from ptycho.simulate import probes, simulate_scan
from ptycho.stitching import Prediction, Reconstruction

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Context:
    """How a run is executed. Nothing in here may change a result.

    Attributes
    ----------
    scan : RawData or None
        A measured scan; None simulates one.
    scan_key : str
        Identity of that scan's content.
    key : str
        Of the stage that is running; set by :func:`run_pipeline`.
    bundle : Bundle or None
        A trained model; None trains one.
    state_dir : Path or None
        Where training keeps its checkpoint and history.
    resume : bool
    listener : callable
    """

    scan: RawData | None = None
    scan_key: str = ""
    key: str = ""
    bundle: bundles.Bundle | None = None
    state_dir: Path | None = None
    resume: bool = False
    listener: Listener = silent


@dataclass(frozen=True)
class Groups:
    """Groups of the two parts of a scan."""

    train: GroupedData
    test: GroupedData


@dataclass(frozen=True)
class Containers:
    """What the network is fed from the two parts; both carry the scales of the training part."""

    train: PtychoDataContainer
    test: PtychoDataContainer
    probe: np.ndarray
    """(P, N, N) complex64 as the forward model uses it."""


Artifacts = Mapping[str, Any]


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
    telemetry: dict[str, dict[str, float]] = {}
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
        telemetry[stage.name] = stage.telemetry(artifact)
        seconds[stage.name] = time.perf_counter() - began
        logger.debug("stage %s: %.2f s, %s", stage.name, seconds[stage.name], telemetry[stage.name])
        if stage.name == until:
            break
    return PipelineResult(config, artifacts, telemetry, keys, seconds, notes_on(config, artifacts))


def stage_keys(config: Config, context: Context) -> dict[str, str]:
    """Return each stage's key: the hash of the config it depends on and of its inputs' keys."""
    keys: dict[str, str] = {}
    for stage in STAGES:
        source = context.scan_key if stage.name == "scan" and context.scan is not None else ""
        keys[stage.name] = key_of(stage.name, source, config.subset(stage.reads), [keys[name] for name in stage.inputs])
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


# ------------------------------------------------------------------------------------------- the stages


def _scan(artifacts: Artifacts, config: Config, context: Context) -> RawData:
    scan = simulate_scan(config) if context.scan is None else context.scan
    if scan.N != config.N:
        raise DataContractError(f"the scan has patterns of {scan.N} px but the config says N = {config.N}; add --set N={scan.N}")
    return scan if config.evaluation.use_object_guess else scan.without_truth()


def split_scan(scan: RawData, config: Config) -> Split:
    """Divide a scan into a training and a test part; see SplitConfig."""
    if config.split.method == "scan_index":
        test = scan.scan_index != 0
    else:
        order = np.argsort(scan.ycoords, kind="stable")
        test = np.zeros(len(scan), bool)
        n_test = round(len(scan) * config.split.fraction)
        test[order[len(scan) - n_test :]] = True
    if test.all() or not test.any():
        raise DataContractError(
            f"the split by {config.split.method} leaves {int((~test).sum())} patterns to train and {int(test.sum())} to test"
        )
    return Split(train=scan.take(np.flatnonzero(~test)), test=scan.take(np.flatnonzero(test)))


def _split(artifacts: Artifacts, config: Config, context: Context) -> Split:
    return split_scan(artifacts["scan"], config)


def group_for_training(part: RawData, config: Config) -> GroupedData:
    """Group the training part."""
    return grouping.group(part, config.gridsize, config.grouping, n_groups=config.grouping.n_groups)


def group_for_inference(part: RawData, config: Config) -> GroupedData:
    """Group what is to be reconstructed: by default one group around each pattern, so that all are used."""
    settings = config.inference
    return grouping.group(
        part, config.gridsize, config.grouping, n_groups=settings.n_groups, include_seed=settings.include_seed
    )


def _group(artifacts: Artifacts, config: Config, context: Context) -> Groups:
    split: Split = artifacts["split"]
    return Groups(train=group_for_training(split.train, config), test=group_for_inference(split.test, config))


def measure_scales(grouped: GroupedData, config: Config) -> scaling.Scales:
    """Measure the scales on training groups."""
    members = grouped.nn_indices.reshape(-1)
    raw = grouped.raw
    return scaling.measure(
        raw.diff3d,
        raw.probe,
        photon_scale=raw.photon_scale,
        source=config.scaling.intensity_scale,
        nphotons=config.simulation.nphotons,
        rows=members,
    )


def _scale(artifacts: Artifacts, config: Config, context: Context) -> Containers:
    groups: Groups = artifacts["group"]
    scales = measure_scales(groups.train, config)
    return Containers(
        train=PtychoDataContainer(groups.train, scales),
        test=PtychoDataContainer(groups.test, scales),
        probe=probes.prepare_probe(groups.train.raw.probe, config.probe),
    )


def _train(artifacts: Artifacts, config: Config, context: Context) -> bundles.Bundle:
    if context.bundle is not None:
        return context.bundle
    containers: Containers = artifacts["scale"]
    return training.train(
        containers.train,
        containers.probe,
        config,
        key=context.key,
        provenance=provenance(),
        state_dir=context.state_dir,
        resume=context.resume,
        listener=context.listener,
    )


def _infer(artifacts: Artifacts, config: Config, context: Context) -> Prediction:
    groups: Groups = artifacts["group"]
    return inference.predict(artifacts["train"], groups.test, config.inference.batch_size)


def _stitch(artifacts: Artifacts, config: Config, context: Context) -> Reconstruction:
    groups: Groups = artifacts["group"]
    prediction: Prediction = artifacts["infer"]
    done = 0

    def tell(count: int) -> None:
        nonlocal done
        done += count
        context.listener(Progress("infer", done, len(prediction)))

    test = groups.test
    used = np.unique(test.nn_indices)
    bundle: bundles.Bundle = artifacts["train"]
    result = stitching.stitch(prediction, test.raw.positions[used], bundle.probe, tell)
    return rescale(result, config.inference.prediction_scale, bundle, test.raw, config.evaluation.coverage_threshold)


def rescale(
    result: Reconstruction, mode: str, bundle: bundles.Bundle, scan: RawData, threshold: float
) -> Reconstruction:
    """Multiply a reconstruction by the diagnostic factor that `mode` asks for, and record it."""
    if mode == "none":
        return result
    factor = bundle.prediction_scale
    if mode == "least_squares":
        if scan.object_guess is None:
            raise DataContractError("inference.prediction_scale = least_squares needs a truth; use none or recorded")
        pair = evaluation.compare_frames(result, scan.object_guess, threshold)
        factor = scaling.least_squares_factor(np.abs(pair.prediction[pair.mask]), np.abs(pair.truth[pair.mask]))
    return replace(result, object=(result.object * np.float32(factor)), prediction_scale=float(factor))


def _evaluate(artifacts: Artifacts, config: Config, context: Context) -> evaluation.Evaluation:
    groups: Groups = artifacts["group"]
    result: Reconstruction = artifacts["stitch"]
    bundle: bundles.Bundle = artifacts["train"]
    prediction: Prediction = artifacts["infer"]
    scan = groups.test.raw
    found = evaluation.evaluate(result, scan.object_guess, scan, bundle.probe, config.evaluation)
    if scan.object_guess is None:
        return found
    return found.with_twin(next(prediction.chunks()), scan.object_guess, stitching.illumination(bundle.probe))


def _gate(artifacts: Artifacts, config: Config, context: Context) -> tuple[gates.Verdict, ...]:
    groups: Groups = artifacts["group"]
    found: evaluation.Evaluation = artifacts["evaluate"]
    return gates.judge(artifacts["stitch"], found.to_dict(), len(groups.test), config.gates)


# ---------------------------------------------------------------------------------------- the telemetry


def _mean_amplitude(raw: RawData) -> float:
    return float(np.mean(raw.diff3d, dtype=np.float64))


def _scan_telemetry(scan: RawData) -> dict[str, float]:
    return {
        "patterns": len(scan),
        "mean_amplitude": _mean_amplitude(scan),
        "mean_energy": scaling.mean_energy(scan.diff3d),
        "photon_scale": scan.photon_scale,
        "probe_l2": float(np.linalg.norm(scan.probe)),
        "probe_mean_amplitude": float(np.mean(np.abs(scan.probe))),
    }


def _group_telemetry(groups: Groups) -> dict[str, float]:
    found: dict[str, float] = {}
    for part, grouped in (("train", groups.train), ("test", groups.test)):
        found[f"{part}_groups"] = len(grouped)
        for axis, name in enumerate("xy"):
            offsets = grouped.coords_offsets[:, 0, axis, 0]
            found[f"{part}_offset_{name}_min"] = float(offsets.min())
            found[f"{part}_offset_{name}_max"] = float(offsets.max())
        found[f"{part}_reach_px"] = float(np.abs(grouped.coords_relative).max())
    return found


def _train_telemetry(bundle: bundles.Bundle) -> dict[str, float]:
    last = bundle.history[-1] if bundle.history else {}
    numbers = {name: float(value) for name, value in last.items() if isinstance(value, (int, float))}
    return {**numbers, "prediction_scale": bundle.prediction_scale, "scale_drift": bundle.trained_intensity / bundle.scales.intensity}


def _stitch_telemetry(result: Reconstruction) -> dict[str, float]:
    return {
        "height_px": result.object.shape[0],
        "width_px": result.object.shape[1],
        "kept_fraction": result.kept_fraction,
        "patches": result.n_patches,
        "nonfinite_patches": result.n_nonfinite,
        "network_data_error": result.data_error,
    }


def _holds_all_patches(prediction: Prediction) -> bool:
    origin, shape = coords.canvas_frame(prediction.positions, prediction.size)
    return min(shape) >= prediction.size and origin[0] <= prediction.positions[:, 0].min()


STAGES: tuple[Stage, ...] = (
    Stage(
        "scan",
        _scan,
        inputs=(),
        reads=("N", "gridsize", "seed", "probe", "simulation", "evaluation.use_object_guess"),
        telemetry=_scan_telemetry,
        invariants=(Invariant("amplitudes must be finite", lambda scan: bool(np.isfinite(scan.diff3d.sum(dtype=float)))),),
    ),
    Stage(
        "split",
        _split,
        inputs=("scan",),
        reads=("split",),
        telemetry=lambda split: {
            "train": len(split.train),
            "test": len(split.test),
            "train_mean_amplitude": _mean_amplitude(split.train),
            "test_mean_amplitude": _mean_amplitude(split.test),
        },
        invariants=(Invariant("both parts must hold patterns", lambda split: min(len(split.train), len(split.test)) > 0),),
    ),
    Stage(
        "group",
        _group,
        inputs=("split",),
        reads=("gridsize", "grouping", "inference.n_groups", "inference.include_seed"),
        telemetry=_group_telemetry,
        invariants=(
            Invariant(
                "relative offsets must sum to zero in each group",
                lambda groups: float(np.abs(groups.train.coords_relative.sum(axis=3)).max()) < 1e-6,
            ),
        ),
    ),
    Stage(
        "scale",
        _scale,
        inputs=("group",),
        reads=("scaling", "probe.mask", "probe.smoothing_sigma_px"),
        telemetry=lambda both: {name: value for name, value in vars(both.train.scales).items() if name != "source"},
        invariants=(Invariant("both parts must carry the training scales", lambda both: both.train.scales == both.test.scales),),
    ),
    Stage(
        "train",
        _train,
        inputs=("scale",),
        reads=("seed", "model", "training"),
        telemetry=_train_telemetry,
        invariants=(
            Invariant(
                "weights must be finite",
                lambda bundle: all(np.isfinite(value).all() for value in bundle.weights.values()),
            ),
        ),
    ),
    Stage(
        "infer",
        _infer,
        inputs=("group", "train"),
        reads=(),
        telemetry=lambda prediction: {"groups": len(prediction), "canvas_px": prediction.size},
        invariants=(Invariant("every group needs a finite position", _holds_all_patches),),
    ),
    Stage(
        "stitch",
        _stitch,
        inputs=("group", "train", "infer"),
        reads=("inference.prediction_scale", "evaluation.coverage_threshold"),
        telemetry=_stitch_telemetry,
        invariants=(Invariant("every patch must fit the canvas", lambda result: result.fits_canvas or result.n_nonfinite > 0),),
    ),
    Stage(
        "evaluate",
        _evaluate,
        inputs=("group", "train", "infer", "stitch"),
        reads=("evaluation",),
        telemetry=lambda found: found.summary(),
    ),
    Stage(
        "gate",
        _gate,
        inputs=("group", "stitch", "evaluate"),
        reads=("gates",),
        telemetry=lambda verdicts: {verdict.name: float(verdict.status != "fail") for verdict in verdicts},
    ),
)
"""The table. Order is the order of running; `inputs` names earlier rows only."""
