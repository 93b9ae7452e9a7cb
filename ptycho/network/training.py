"""Training: groups by epoch, divergence caught at the step, a checkpoint every epoch, bit-for-bit resume.

Everything random is a function of (seed, epoch), see :mod:`ptycho.network.schedule`. An interrupted training that is
resumed therefore repeats exactly what it would have done.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.base import atomic, checkpoint, layout, progress
from ptycho.base.errors import TrainingDiverged
from ptycho.base.progress import Listener, Progress
from ptycho.network import backends, group_canvas, schedule
from ptycho.network import bundle as bundles
from ptycho.physics import scaling
from ptycho.physics.scaling import Scales
from ptycho.scan.groups import GroupedData, PtychoDataContainer
from ptycho.settings.config import Config
from ptycho.settings.params import Params

logger = logging.getLogger(__name__)

HISTORY = layout.HISTORY


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
    with backends.single_precision():
        return Trainer(grouped, scales, probe, config, key, state_dir, listener).run(resume)


class Trainer:
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
        self.schedule = schedule.make_schedule(grouped, config)
        multiple = config.model.multiple
        group_reach, cluster_reach = self._farthest()
        self.canvas_px = group_canvas.side_px(group_reach, self.N, multiple)
        # A group's canvas may reach beyond that of its cluster: no pattern's light does.
        self.cluster_px = group_canvas.side_px(cluster_reach, self.N, multiple)
        self.batch = min(max(1, config.training.batch_size // self.schedule.groups), len(self.schedule.first))
        self.steps = max(1, len(self.schedule.first) // self.batch)
        self.model = self.build()
        self.read_weights = backends.reader(self.model.trainable_variables)
        self.history: list[dict[str, Any]] = []
        self.stopped = ""
        self.best: dict[str, np.ndarray] = {}

    def _farthest(self) -> tuple[float, float]:
        """Return how far groups, and clusters, reach in any epoch, px; one epoch after the other, for there may be many."""
        epochs = range(1, self.config.training.epochs + 1)
        every = itertools.chain([self.schedule.held_out], map(self.schedule.clusters, epochs))
        reaches = [
            (float(some.group_reaches.max(initial=0)), group_canvas.reach_px([some])) for some in every
        ]
        return max(group for group, _ in reaches), max(cluster for _, cluster in reaches)

    def build(self) -> Any:
        """Return the model, compiled with its optimizer; raise ConfigError in a fork of a process that has used one."""
        import keras

        from ptycho.network import network

        backends.check_process()
        training = self.config.training
        model = network.PtychoModel(
            self.config.model,
            training.loss,
            channels=self.gridsize**2,
            canvas_px=self.canvas_px,
            photon_scale=self.scales.photon_scale,
            object_unit=self.scales.object_unit,
            seed=self.config.seed,
            cluster_px=self.cluster_px,
            judges=self.schedule.judges,
        )
        rate: Any = training.learning_rate
        if training.schedule == "cosine":
            rate = keras.optimizers.schedules.CosineDecay(rate, training.epochs * self.steps, alpha=0.01)
        optimizer = keras.optimizers.Adam(rate, global_clipnorm=training.clip_norm)
        model.compile(optimizer, loss=None, jit_compile=backends.compiles(backends.backend()))
        optimizer.build(model.trainable_variables)
        return model

    def run(self, resume: bool) -> bundles.Bundle:
        """Train to the end, with `resume` from the checkpoint on, and return the bundle."""
        done = self._restore() if resume else 0
        try:
            if not self.history:
                # What the network does before it has learned anything: the null of its training.
                self.history.append({"epoch": 0, **self.validate(0), **self._state()})
                self.consider_stopping()  # the untrained weights may be the best
            for epoch in range(done + 1, self.config.training.epochs + 1):
                if self.stopped:
                    break
                self._epoch(epoch)
                self._checkpoint()
        except TrainingDiverged as error:
            self.stopped = str(error)
            self.write_history()
            raise
        self.stopped = self.stopped or f"all {self.config.training.epochs} epochs run"
        self.write_history()
        if self.best:
            bundles.set_weights(self.model, self.best, "the best epoch")
        return bundles.Bundle(
            N=self.N,
            gridsize=self.gridsize,
            model=self.config.model,
            weights=bundles.get_weights(self.model),
            probe=self.probe,
            scales=self.scales,
            trained_photon_scale=self.model.trained_photon_scale,
            prediction_scale=self._prediction_scale(),
            untrained_error=self.history[0]["val_error"],
            trained_error=self.validate(len(self.history) - 1)["val_error"],
            held_out_patterns=len(np.unique(self.schedule.validation)),
            history=tuple(self.history),
            stopped=self.stopped,
        )

    def _state(self) -> dict[str, float]:
        rate = float(np.asarray(_numpy(self.model.optimizer.learning_rate)))
        return {"learning_rate": rate, "photon_scale": self.model.trained_photon_scale}

    def _epoch(self, epoch: int) -> None:
        grouped = self.schedule.clusters(epoch)
        data = PtychoDataContainer(grouped, self.scales)
        order = self.schedule.order(epoch, len(grouped))
        sums: dict[str, float] = {}
        epochs = self.config.training.epochs
        steps = max(1, len(order) // self.batch)
        weights = self.read_weights()
        for step in range(steps):
            rows = order[step * self.batch : (step + 1) * self.batch]
            logs, weights = self.step(epoch, step, data, rows, weights)
            sums = {name: sums.get(name, 0.0) + value for name, value in logs.items()}
            message = f"epoch {epoch}/{epochs} loss {logs['loss']:.3e}"
            done, total = (epoch - 1) * steps + step + 1, epochs * steps
            progress.tell(self.listener, Progress("train", done, total, message))
        means = {name: total / steps for name, total in sums.items()}
        row = {"epoch": epoch, **means, **self.validate(epoch), **self._state()}
        self.history.append(row)
        text = f"epoch {epoch}/{epochs}: loss {row['loss']:.3e}, error {row['val_error']:.3e}"
        progress.tell(self.listener, Progress("train", epoch * steps, epochs * steps, text, milestone=True))
        self.consider_stopping()

    def step(
        self, epoch: int, step: int, data: PtychoDataContainer, rows: np.ndarray, before: np.ndarray
    ) -> tuple[dict[str, float], np.ndarray]:
        """Make one optimizer step from the weights `before`, all in a row, and return its logs and the weights after it.

        `rows` are (b,) int64, weights (W,) float32.

        Raises TrainingDiverged if it leaves anything non-finite.
        """
        from ptycho.network import network

        inputs = network.model_inputs(data.batch(rows), self.probe)
        self.model.reset_metrics()
        logs = {
            name: float(value) for name, value in self.model.train_on_batch(inputs, return_dict=True).items()
        }
        after = self.read_weights()
        if all(map(math.isfinite, logs.values())) and np.isfinite(after).all():
            return logs, after
        # Go back to the weights that the step started from: they show where the first NaN came from.
        culprit = _first_nonfinite(self.model, inputs, before, after)
        raise TrainingDiverged(
            f"training diverged at epoch {epoch}, step {step + 1}: {culprit} is not finite "
            f"(loss {logs['loss']}); lower training.learning_rate or check the data of groups {rows.tolist()[:8]}"
        )

    def validate(self, epoch: int) -> dict[str, float]:
        """Measure on patterns that are never trained on; where none are held out, on clusters that train.

        Raises TrainingDiverged where a number that it measures is not finite.

        `val_error` is sum (A_pred - A)^2 / sum A^2 over all patterns of all clusters, each counted once.
        """
        from ptycho.network import network

        data = PtychoDataContainer(self.schedule.held_out, self.scales)
        self.model.reset_metrics()
        outputs = [
            # The function that predicts: tracing another one, with a loss in it, takes longer than most validations.
            self.model.predict_on_batch(network.model_inputs(data.batch(some), self.probe))
            for some in _full_batches(len(data), self.batch)
        ]
        loss = float(self.model.compute_loss(y_pred=together(outputs, len(data))))
        logs = {**self.model.get_metrics_result(), "loss": loss}
        result = {f"val_{name}": float(value) for name, value in logs.items()}
        # Before the first step nothing has diverged; that step names what is not finite.
        if epoch > 0 and not all(map(math.isfinite, result.values())):
            raise TrainingDiverged(f"validation diverged at epoch {epoch}: {result}")
        return result

    def consider_stopping(self) -> None:
        """Keep the best weights where training may stop early, and stop it."""
        patience = self.config.training.patience
        if patience is None:
            return
        values = [row["val_loss"] for row in self.history]
        best = int(np.argmin(values))
        if best == len(values) - 1:
            self.best = bundles.get_weights(self.model)
        if len(values) - 1 - best >= patience:
            self.stopped = (
                f"stopped after epoch {len(values) - 1}: the validation loss has not improved on {min(values):.4e} of "
                f"epoch {best} for {patience} epochs; that epoch's weights are kept"
            )

    def _prediction_scale(self) -> float:
        from ptycho.network import network

        data = PtychoDataContainer(self.schedule.clusters(1), self.scales)
        predicted, measured = [], []
        for rows in _full_batches(min(len(data), schedule.CALIBRATION_CLUSTERS), self.batch):
            out = self.model.predict_on_batch(network.model_inputs(data.batch(rows), self.probe))
            predicted.append(np.asarray(out["predicted"]))
            measured.append(np.asarray(out["measured"]))
        return scaling.least_squares_factor(np.concatenate(predicted), np.concatenate(measured))

    def _checkpoint(self) -> None:
        if self.state_dir is None:
            return
        arrays = {f"weights/{name}": value for name, value in bundles.get_weights(self.model).items()}
        arrays |= {f"best/{name}": value for name, value in self.best.items()}
        for index, variable in enumerate(self.model.optimizer.variables):
            arrays[f"optimizer/{index:04d}"] = _numpy(variable)
        state = {"history": self.history, "stopped": self.stopped}
        checkpoint.write(self.state_dir, self.key, state, arrays)
        self.write_history()

    def write_history(self) -> None:
        """Write the history of the training so far, if there is a folder for it."""
        if self.state_dir is not None:
            atomic.write_json(self.state_dir / HISTORY, {"epochs": self.history, "stopped": self.stopped})

    def _restore(self) -> int:
        """Load the checkpoint and return how many epochs are done; 0 where there is none."""
        if self.state_dir is None:
            return 0
        result = checkpoint.read(
            self.state_dir, self.key, self._parsed, "is no checkpoint, or damaged; take it away to train anew"
        )
        if result is None:
            return 0
        history, stopped, arrays = result
        path = self.state_dir / checkpoint.FILE
        bundles.set_weights(self.model, _below("weights/", arrays), str(path))
        for index, variable in enumerate(self.model.optimizer.variables):
            variable.assign(arrays[f"optimizer/{index:04d}"])
        self.history, self.stopped, self.best = history, stopped, _below("best/", arrays)
        logger.info("resuming after epoch %d", len(history) - 1)
        return len(history) - 1

    def _parsed(
        self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> tuple[list[dict[str, Any]], str, Mapping[str, np.ndarray]]:
        """Return history, why training ended, and the arrays of a checkpoint; raise ValueError for those of another network."""
        for index, variable in enumerate(self.model.optimizer.variables):
            if arrays[f"optimizer/{index:04d}"].shape != tuple(variable.shape):
                raise ValueError("of another optimizer")
        if not all(np.isfinite(value).all() for value in arrays.values()):
            raise ValueError("not finite")
        history = [dict(row) for row in state["history"]]
        if [row["epoch"] for row in history] != list(range(len(history))) or not history:
            raise ValueError("epochs are missing")
        return history, str(state["stopped"]), arrays


def together(outputs: Sequence[Mapping[str, np.ndarray]], count: int) -> dict[str, np.ndarray]:
    """Return the outputs of several batches as one, of any shape along further axes, for `count` clusters.

    The last batch was filled up with clusters of the first; they count once.
    """
    return {name: np.concatenate([np.asarray(each[name]) for each in outputs])[:count] for name in outputs[0]}


def _below(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _full_batches(count: int, size: int) -> list[np.ndarray]:
    """Split range(count) into batches of exactly `size`, the last filled up from the start.

    One batch shape means one compiled graph.
    """
    return [np.arange(start, start + size) % count for start in range(0, count, size)]


def _first_nonfinite(model: Any, inputs: dict[str, np.ndarray], before: np.ndarray, after: np.ndarray) -> str:
    """Name the first tensor on the way from the inputs to the updated weights that is not finite."""
    for name, value in inputs.items():
        if not np.isfinite(value).all():
            return f"input {name}"
    variables = model.trainable_variables
    ends = np.cumsum([math.prod(variable.shape) for variable in variables])[:-1]
    for variable, value in zip(variables, np.split(before, ends), strict=True):
        variable.assign(value.reshape(variable.shape))
    out = model.predict_on_batch(inputs)
    for name, value in out.items():
        if not np.isfinite(np.asarray(value)).all():
            return f"output {name}"
    model.reset_metrics()
    model.compute_loss(y_pred=out)
    for name, value in model.get_metrics_result().items():
        if not math.isfinite(float(value)):
            return str(name.replace("loss_", "loss term "))
    for variable, value in zip(variables, np.split(after, ends), strict=True):
        if not np.isfinite(value).all():
            return f"gradient of {variable.path}"
    return "loss"


def _numpy(value: Any) -> np.ndarray:
    from keras import ops

    return np.array(ops.convert_to_numpy(value))
