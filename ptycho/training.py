"""Training: groups by epoch, divergence caught at the step, a checkpoint every epoch, bit-for-bit resume.

Everything random is a function of (seed, epoch): the groups of an epoch and the order of its batches. An
interrupted training that is resumed therefore repeats exactly what it would have done.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ptycho import grouping, progress, scaling
from ptycho.config import Config
from ptycho.data import GroupedData, PtychoDataContainer, RawData
from ptycho.errors import DataContractError, RunDirectoryError, TrainingDiverged
from ptycho.io import atomic, npz
from ptycho.model import bundle as bundles
from ptycho.model import canvas
from ptycho.params import Params
from ptycho.progress import Listener, Progress
from ptycho.scaling import Scales

logger = logging.getLogger(__name__)

CHECKPOINT, HISTORY = "checkpoint.npz", "history.json"
CALIBRATION_GROUPS = 64
"""Training groups over which the recorded prediction scale is measured."""


@dataclass(frozen=True)
class Schedule:
    """Which clusters of patterns an epoch trains on, and which patterns it never sees.

    A cluster is a group; at gridsize 1 it is `overlap`^2 neighbouring patterns (see TrainingConfig).
    """

    raw: RawData
    config: Config | Params
    gridsize: int
    side: int
    """A cluster has side^2 patterns."""
    first: np.ndarray
    """(B, side^2) rows of the clusters of epoch 0."""
    validation: np.ndarray
    """(V, side^2) rows of clusters none of whose patterns is trained on."""
    pool: np.ndarray
    """(m,) rows of the patterns that are trained on."""

    def clusters(self, epoch: int) -> GroupedData:
        """Return the training clusters of an epoch."""
        settings = self.config.grouping
        if (
            epoch == 0
            or self.side == 1
            or settings.method == "consecutive"
            or not settings.regroup_each_epoch
        ):
            return GroupedData(self.raw, self.side, self.first)
        rng = np.random.default_rng([settings.seed, self.config.seed, epoch])
        return _clusters(self.raw, self.pool, self.config, self.gridsize, self.side, len(self.first), rng)

    def order(self, epoch: int, count: int) -> np.ndarray:
        """Return the order in which an epoch visits its clusters."""
        return np.random.default_rng([self.config.seed, 1, epoch]).permutation(count)


def make_schedule(grouped: GroupedData, config: Config | Params) -> Schedule:
    """Form the clusters and set some aside for validation; no training cluster keeps a pattern of theirs."""
    side = cluster_side(grouped, config)
    clusters = grouped.nn_indices
    if side != grouped.gridsize:
        rng = np.random.default_rng([config.grouping.seed, config.seed])
        rows = np.unique(grouped.nn_indices)
        count = max(1, len(rows) // side**2)
        clusters = _clusters(grouped.raw, rows, config, grouped.gridsize, side, count, rng).nn_indices
    n_validation = round(config.training.validation_fraction * len(clusters))
    first, validation = np.split(clusters, [len(clusters) - n_validation])
    if n_validation:
        first = first[~np.isin(first, validation).any(axis=1)]
    if not len(first):
        raise DataContractError(
            f"{len(grouped)} groups leave none to train on after {n_validation} for validation; "
            "lower training.validation_fraction or give more patterns"
        )
    pool = np.setdiff1d(
        np.unique(grouped.nn_indices) if side != grouped.gridsize else np.arange(len(grouped.raw)), validation
    )
    return Schedule(grouped.raw, config, grouped.gridsize, side, first, validation, pool)


def cluster_side(grouped: GroupedData, config: Config | Params) -> int:
    """Return the side of the training clusters: the gridsize, or at gridsize 1 the overlap that the scan allows."""
    overlap = config.training.overlap
    if grouped.gridsize > 1 or overlap == 1 or len(grouped) < overlap**2:
        return grouped.gridsize
    nearest = grouping.nearest_distances(grouped.raw.positions, overlap**2 - 1)
    if np.median(nearest) > grouped.N / 2:
        logger.warning(
            "neighbouring patterns lie %.0f px apart: too far to merge %d of them; training on single patterns",
            np.median(nearest),
            overlap**2,
        )
        return 1
    return overlap


def _clusters(
    raw: RawData,
    rows: np.ndarray,
    config: Config | Params,
    gridsize: int,
    side: int,
    count: int,
    rng: np.random.Generator,
) -> GroupedData:
    """Draw `count` clusters from the patterns `rows`."""
    if side == gridsize:
        return grouping.group(raw, side, config.grouping, n_groups=min(count, len(rows)), rng=rng, rows=rows)
    members = grouping.nearest_groups(
        raw.positions[rows], side**2, side**2 + 2, count, rng, include_seed=True
    )
    return GroupedData(raw, side, rows[members])


def train(
    grouped: GroupedData,
    scales: Scales,
    probe: np.ndarray,
    config: Config | Params,
    *,
    key: str = "",
    state_dir: Path | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> bundles.Bundle:
    """Train a model on groups.

    Parameters
    ----------
    grouped : GroupedData
        The training groups.
    scales : Scales
        Measured on them.
    probe : (P, N, N) complex64
        As the forward model is to use it.
    config : Config
    key : str
        Identity of config and data; a checkpoint of another key is not resumed.
    state_dir : Path, optional
        Where `checkpoint.npz` and `history.json` are kept up to date after every epoch.
    resume : bool
        Go on from the checkpoint in `state_dir`, where there is one.
    listener : callable, optional
        Told about every step.

    Raises
    ------
    TrainingDiverged
        A NaN or infinity appeared; the message names epoch, step and tensor. The history up to there is kept.
    """
    return _Trainer(grouped, scales, probe, config, key, state_dir, listener).run(resume)


class _Trainer:
    """The mutable state of one training: model, optimizer, history."""

    def __init__(
        self,
        grouped: GroupedData,
        scales: Scales,
        probe: np.ndarray,
        config: Config | Params,
        key: str,
        state_dir: Path | None,
        listener: Listener | None,
    ) -> None:
        self.N, self.gridsize = grouped.N, grouped.gridsize
        self.scales, self.probe, self.config, self.key = scales, probe, config, key
        self.state_dir, self.listener = state_dir, listener
        self.schedule = make_schedule(grouped, config)
        epochs = range(config.training.epochs)
        reach = canvas.reach_px([grouped, *(self.schedule.clusters(epoch) for epoch in epochs)])
        self.side = canvas.canvas_side(reach, self.N, config.model.levels)
        per_cluster = self.schedule.side**2 // self.gridsize**2
        self.batch = min(max(1, config.training.batch_size // per_cluster), len(self.schedule.first))
        self.steps = max(1, len(self.schedule.first) // self.batch)
        self.model = self._build()
        self.history: list[dict[str, Any]] = []
        self.stopped = ""

    def _build(self) -> Any:
        import keras

        from ptycho.model import network

        training = self.config.training
        model = network.PtychoModel(
            self.config.model,
            training.loss,
            channels=self.gridsize**2,
            canvas=self.side,
            intensity=self.scales.intensity,
            object_unit=self.scales.object_unit,
            seed=self.config.seed,
        )
        rate: Any = training.learning_rate
        if training.schedule == "cosine":
            rate = keras.optimizers.schedules.CosineDecay(rate, training.epochs * self.steps, alpha=0.01)
        optimizer = keras.optimizers.Adam(rate, global_clipnorm=training.clip_norm)
        # XLA costs more in compilation than it saves at these sizes on a CPU.
        model.compile(optimizer, loss=None, jit_compile=False)
        optimizer.build(model.trainable_variables)
        return model

    def run(self, resume: bool) -> bundles.Bundle:
        start = self._restore() if resume else 0
        try:
            for epoch in range(start, self.config.training.epochs):
                if self.stopped:
                    break
                self._epoch(epoch)
                self._checkpoint()
        except TrainingDiverged as error:
            self.stopped = str(error)
            self._write_history()
            raise
        self.stopped = self.stopped or f"all {self.config.training.epochs} epochs run"
        self._write_history()
        return bundles.Bundle(
            N=self.N,
            gridsize=self.gridsize,
            model=self.config.model,
            weights=bundles.get_weights(self.model),
            probe=self.probe,
            scales=self.scales,
            trained_intensity=self.model.trained_intensity,
            prediction_scale=self._prediction_scale(),
            history=tuple(self.history),
            stopped=self.stopped,
        )

    def _epoch(self, epoch: int) -> None:
        grouped = self.schedule.clusters(epoch)
        data = PtychoDataContainer(grouped, self.scales)
        order = self.schedule.order(epoch, len(grouped))
        sums: dict[str, float] = {}
        steps = max(1, len(order) // self.batch)
        for step in range(steps):
            rows = order[step * self.batch : (step + 1) * self.batch]
            logs = self._step(epoch, step, data, rows)
            sums = {name: sums.get(name, 0.0) + value for name, value in logs.items()}
            message = f"epoch {epoch + 1}/{self.config.training.epochs} loss {logs['loss']:.3e}"
            done, total = epoch * steps + step + 1, self.config.training.epochs * steps
            progress.tell(self.listener, Progress("train", done, total, message))
        row = {
            "epoch": epoch,
            **{name: total / steps for name, total in sums.items()},
            **self._validate(epoch),
        }
        row["learning_rate"] = float(np.asarray(_numpy(self.model.optimizer.learning_rate)))
        row["intensity"] = self.model.trained_intensity
        self.history.append(row)
        self._consider_stopping()

    def _step(self, epoch: int, step: int, data: PtychoDataContainer, rows: np.ndarray) -> dict[str, float]:
        """Make one optimizer step; raise TrainingDiverged if it leaves anything non-finite."""
        from ptycho.model import network

        before = [_numpy(variable) for variable in self.model.trainable_variables]
        inputs = network.model_inputs(data.batch(rows), self.probe)
        self.model.reset_metrics()
        logs = {
            name: float(value) for name, value in self.model.train_on_batch(inputs, return_dict=True).items()
        }
        after = [_numpy(variable) for variable in self.model.trainable_variables]
        if all(map(math.isfinite, logs.values())) and all(np.isfinite(value).all() for value in after):
            return logs
        # Go back to the weights that the step started from: they show where the first NaN came from.
        culprit = _first_nonfinite(self.model, inputs, before, after)
        raise TrainingDiverged(
            f"training diverged at epoch {epoch + 1}, step {step + 1}: {culprit} is not finite "
            f"(loss {logs['loss']}); lower training.learning_rate or check the data of groups {rows.tolist()[:8]}"
        )

    def _validate(self, epoch: int) -> dict[str, float]:
        from ptycho.model import network

        if not len(self.schedule.validation):
            return {}
        data = PtychoDataContainer(
            GroupedData(self.schedule.raw, self.schedule.side, self.schedule.validation), self.scales
        )
        self.model.reset_metrics()
        for rows in _full_batches(len(data), self.batch):
            inputs = network.model_inputs(data.batch(rows), self.probe)
            logs = self.model.test_on_batch(inputs, return_dict=True)
        found = {f"val_{name}": float(value) for name, value in logs.items()}
        if not all(map(math.isfinite, found.values())):
            raise TrainingDiverged(f"validation diverged at epoch {epoch + 1}: {found}")
        return found

    def _consider_stopping(self) -> None:
        patience = self.config.training.patience
        if patience is None:
            return
        name = "val_loss" if "val_loss" in self.history[-1] else "loss"
        values = [row[name] for row in self.history]
        since = len(values) - 1 - int(np.argmin(values))
        if since >= patience:
            self.stopped = f"stopped after epoch {len(values)}: {name} has not improved on {min(values):.4e} for {since} epochs"

    def _prediction_scale(self) -> float:
        from ptycho.model import network

        data = PtychoDataContainer(self.schedule.clusters(0), self.scales)
        predicted, measured = [], []
        for rows in _full_batches(min(len(data), CALIBRATION_GROUPS), self.batch):
            out = self.model.predict_on_batch(network.model_inputs(data.batch(rows), self.probe))
            predicted.append(np.asarray(out["predicted"]))
            measured.append(np.asarray(out["measured"]))
        return scaling.least_squares_factor(np.concatenate(predicted), np.concatenate(measured))

    def _checkpoint(self) -> None:
        if self.state_dir is None:
            return
        arrays = {f"weights/{name}": value for name, value in bundles.get_weights(self.model).items()}
        for index, variable in enumerate(self.model.optimizer.variables):
            arrays[f"optimizer/{index:04d}"] = _numpy(variable)
        state = {"key": self.key, "history": self.history, "stopped": self.stopped}
        arrays["_state"] = np.array(json.dumps(state))
        atomic.write_arrays(self.state_dir / CHECKPOINT, arrays)
        self._write_history()

    def _write_history(self) -> None:
        if self.state_dir is not None:
            atomic.write_json(self.state_dir / HISTORY, {"epochs": self.history, "stopped": self.stopped})

    def _restore(self) -> int:
        """Load the checkpoint and return the epoch to go on with; 0 where there is none."""
        if self.state_dir is None or not (self.state_dir / CHECKPOINT).exists():
            return 0
        path = self.state_dir / CHECKPOINT
        arrays = npz.read_arrays(path)
        state = json.loads(str(arrays.pop("_state", "{}")))
        if state.get("key") != self.key:
            raise RunDirectoryError(
                f"{path}: was made with another config, other data or another version of the program; use the same "
                "ones, or another folder with --out"
            )
        weights = {n.removeprefix("weights/"): v for n, v in arrays.items() if n.startswith("weights/")}
        bundles.set_weights(self.model, weights, str(path))
        for index, variable in enumerate(self.model.optimizer.variables):
            variable.assign(arrays[f"optimizer/{index:04d}"])
        self.history, self.stopped = state["history"], state["stopped"]
        logger.info("resuming after epoch %d", len(self.history))
        return len(self.history)


def _full_batches(count: int, size: int) -> list[np.ndarray]:
    """Split range(count) into batches of exactly `size`, the last filled up from the start.

    One batch shape means one compiled graph.
    """
    return [np.arange(start, start + size) % count for start in range(0, count, size)]


def _first_nonfinite(
    model: Any, inputs: dict[str, np.ndarray], before: list[np.ndarray], after: list[np.ndarray]
) -> str:
    """Name the first tensor on the way from the inputs to the updated weights that is not finite."""
    for name, value in inputs.items():
        if not np.isfinite(value).all():
            return f"input {name}"
    for variable, value in zip(model.trainable_variables, before, strict=True):
        variable.assign(value)
    for name, value in model.predict_on_batch(inputs).items():
        if not np.isfinite(np.asarray(value)).all():
            return f"output {name}"
    model.reset_metrics()
    for name, value in model.test_on_batch(inputs, return_dict=True).items():
        if name != "loss" and not math.isfinite(float(value)):
            return name.replace("loss_", "loss term ")
    for variable, value in zip(model.trainable_variables, after, strict=True):
        if not np.isfinite(value).all():
            return f"gradient of {variable.path}"
    return "loss"


def _numpy(value: Any) -> np.ndarray:
    from keras import ops

    return np.array(ops.convert_to_numpy(value))
