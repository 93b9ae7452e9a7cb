"""The stages as pure functions of their inputs and the config, in the order of the table in the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ptycho import evaluation, gates, grouping, inference, scaling, stitching, training
from ptycho.config import Config
from ptycho.data import GroupedData, PtychoDataContainer, RawData, Split
from ptycho.errors import DataContractError
from ptycho.model import bundle as bundles
from ptycho.progress import Listener, Progress, silent
from ptycho.provenance import provenance
from ptycho.simulate import probes, simulate_scan
from ptycho.stitching import Prediction, Reconstruction


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


def scan_stage(artifacts: Artifacts, config: Config, context: Context) -> RawData:
    """Simulate a scan or take the measured one."""
    scan = simulate_scan(config) if context.scan is None else context.scan
    if scan.N != config.N:
        raise DataContractError(
            f"the scan has patterns of {scan.N} px but the config says N = {config.N}; add --set N={scan.N}"
        )
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


def split_stage(artifacts: Artifacts, config: Config, context: Context) -> Split:
    """Divide the scan."""
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


def group_stage(artifacts: Artifacts, config: Config, context: Context) -> Groups:
    """Group both parts."""
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


def scale_stage(artifacts: Artifacts, config: Config, context: Context) -> Containers:
    """Measure the scales on the training groups and put them on both parts."""
    groups: Groups = artifacts["group"]
    scales = measure_scales(groups.train, config)
    return Containers(
        train=PtychoDataContainer(groups.train, scales),
        test=PtychoDataContainer(groups.test, scales),
        probe=probes.prepare_probe(groups.train.raw.probe, config.probe),
    )


def train_stage(artifacts: Artifacts, config: Config, context: Context) -> bundles.Bundle:
    """Train a model, or take the given one."""
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


def infer_stage(artifacts: Artifacts, config: Config, context: Context) -> Prediction:
    """Prepare the stream of predicted patches."""
    groups: Groups = artifacts["group"]
    return inference.predict(artifacts["train"], groups.test, config.inference.batch_size)


def stitch_stage(artifacts: Artifacts, config: Config, context: Context) -> Reconstruction:
    """Read the stream and stitch it."""
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
    return rescale(
        result, config.inference.prediction_scale, bundle, test.raw, config.evaluation.coverage_threshold
    )


def rescale(
    result: Reconstruction, mode: str, bundle: bundles.Bundle, scan: RawData, threshold: float
) -> Reconstruction:
    """Multiply a reconstruction by the diagnostic factor that `mode` asks for, and record it."""
    if mode == "none":
        return result
    factor = bundle.prediction_scale
    if mode == "least_squares":
        if scan.object_guess is None:
            raise DataContractError(
                "inference.prediction_scale = least_squares needs a truth; use none or recorded"
            )
        pair = evaluation.compare_frames(result, scan.object_guess, threshold)
        factor = scaling.least_squares_factor(
            np.abs(pair.prediction[pair.mask]), np.abs(pair.truth[pair.mask])
        )
    return replace(result, object=(result.object * np.float32(factor)), prediction_scale=float(factor))


def evaluate_stage(artifacts: Artifacts, config: Config, context: Context) -> evaluation.Evaluation:
    """Measure the result."""
    groups: Groups = artifacts["group"]
    result: Reconstruction = artifacts["stitch"]
    bundle: bundles.Bundle = artifacts["train"]
    prediction: Prediction = artifacts["infer"]
    scan = groups.test.raw
    found = evaluation.evaluate(result, scan.object_guess, scan, bundle.probe, config.evaluation)
    if scan.object_guess is None:
        return found
    return found.with_twin(next(prediction.chunks()), scan.object_guess, stitching.illumination(bundle.probe))


def gate_stage(artifacts: Artifacts, config: Config, context: Context) -> tuple[gates.Verdict, ...]:
    """Judge the result."""
    groups: Groups = artifacts["group"]
    found: evaluation.Evaluation = artifacts["evaluate"]
    return gates.judge(artifacts["stitch"], found.to_dict(), len(groups.test), config.gates)
