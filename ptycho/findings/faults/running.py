"""Faults of what carries values from stage to stage: containers, frames, inference, commands."""

from __future__ import annotations

from typing import Any

import numpy as np

from ptycho.findings.faults import judging
from ptycho.testing.fault import Fault


def _one_generator(original: Any) -> Any:
    """Draw noise from a generator that lives on from call to call."""
    kept: list[Any] = []

    def observe(obj: Any, where: Any, probe: Any, nphotons: float, rng: Any) -> Any:
        kept.append(rng)
        return original(obj, where, probe, nphotons, kept[0] if rng is not None else None)

    return observe


def _placeholder_labels(original: Any) -> Any:
    """Fill labels that are not there with ones."""

    def object_patches(self: Any, rows: Any = slice(None)) -> Any:
        if self.raw.object_guess is None:
            return np.ones((len(self.nn_indices[rows]), self.N, self.N, self.gridsize**2), np.complex64)
        return original(self, rows)

    return object_patches


def _probe_for_each_sample(original: Any) -> Any:
    """Repeat the probe for the batch, onto the axis of its modes."""
    return lambda patches, probe: original(patches, np.concatenate([probe] * len(patches)))


def _normalised_twice(original: Any) -> Any:
    """Normalise what has been normalised."""

    def fed(self: Any, rows: Any = slice(None)) -> Any:
        return original(self, rows) * np.float32(self.scales.statistical)

    return fed


def _factor_of_another_slot(original: Any) -> Any:
    """Feed with the object's unit where the photon scale belongs."""

    def batch(self: Any, rows: Any) -> Any:
        return {**original(self, rows), "amplitude": self.X(rows) * np.float32(self.scales.object_unit)}

    return batch


def _frame_at_zero(original: Any) -> Any:
    """Begin every canvas at the object's corner."""
    return lambda positions, size: ((0, 0), original(positions, size)[1])


def _first_frame(original: Any) -> Any:
    """Read the frame of the first scan again."""
    kept: list[Any] = []

    def canvas_frame(positions: Any, size: int) -> Any:
        kept.append(original(positions, size))
        return kept[0][0], kept[-1][1]

    return canvas_frame


def _tiled_offsets(_: Any) -> Any:
    """Index offsets modulo the batch."""

    def member_positions(offsets: Any, relative: Any) -> Any:
        members = relative.shape[3]
        return np.tile(offsets[:, 0, :, 0], (members, 1)) - relative[:, 0].transpose(0, 2, 1).reshape(-1, 2)

    return member_positions


def _batch_in_one_canvas(original: Any) -> Any:
    """Sum a batch's objects."""

    def predict_rows(*args: Any) -> Any:
        out = original(*args)
        return {**out, "object": np.broadcast_to(out["object"].mean(axis=0), out["object"].shape)}

    return predict_rows


def _remainder_dropped(original: Any) -> Any:
    """Predict whole batches only."""

    def predict_rows(model: Any, bundle: Any, container: Any, rows: Any, size: int) -> Any:
        out = original(model, bundle, container, rows, size)
        return {**out, "object": out["object"] * (len(rows) == size)}

    return predict_rows


def _rows_ignored(original: Any) -> Any:
    """Gather everything, whatever part is asked for."""
    return lambda self, rows=slice(None): original(self)


def _everything_passes(original: Any) -> Any:
    """Judge by the absolute error alone: no structure, no data."""

    def limit(name: str, value: float, bound: float, kind: str, meaning: str) -> Any:
        from dataclasses import replace

        return replace(original(name, value, bound, kind, meaning), status="pass")

    return limit


def _amplitude_only(original: Any) -> Any:
    """Lose the phase."""

    def predict_rows(*args: Any) -> Any:
        out = original(*args)
        return {**out, "object": np.abs(out["object"]).astype(np.complex64)}

    return predict_rows


def _neighbours_canvas(original: Any) -> Any:
    """Give each group what belongs to the next of its batch."""

    def predict_rows(*args: Any) -> Any:
        return {name: np.roll(value, 1, axis=0) for name, value in original(*args).items()}

    return predict_rows


def _files_unnamed(original: Any) -> Any:
    """Write files and tell nobody which."""

    def export(*args: Any) -> Any:
        original(*args)
        return []

    return export


def _anything_is_a_run(original: Any) -> Any:
    """Take any folder for a run."""

    def read_metadata(folder: Any) -> Any:
        from ptycho.base.errors import RunDirectoryError

        try:
            return original(folder)
        except RunDirectoryError:
            return {"stages": {}, "config": {}}

    return read_metadata


def _all_or_nothing(original: Any) -> Any:
    """Give every figure up once one has failed."""
    failed: list[Any] = []

    def attempt(name: str, make: Any) -> Any:
        result = original(name, make)
        failed.extend([result] if result.error else [])
        return failed[0] if failed else result

    return attempt


def _history_unwritten(_: Any) -> Any:
    """Keep the history to oneself."""
    return lambda self: None


def _last_weights(original: Any) -> Any:
    """Keep the last weights for the best."""

    def consider_stopping(self: Any) -> None:
        original(self)
        self.best = {}

    return consider_stopping


def _anything_goes_on(_: Any) -> Any:
    """Go on with whatever lies in the folder."""
    return lambda folder, asked: None


def _first_epoch_first(original: Any) -> Any:
    """Look for the best weights after an epoch only."""

    def consider_stopping(self: Any) -> None:
        if len(self.history) > 1:
            original(self)

    return consider_stopping


def _filled_up(original: Any) -> Any:
    """Count clusters twice with which the last batch was filled up."""
    return lambda outputs, count: original(outputs, sum(len(each["weight"]) for each in outputs))


def _always_impatient(original: Any) -> Any:
    """Stop early where nobody asked for it."""

    def consider_stopping(self: Any) -> None:
        asked = self.config.training.patience
        training = self.config.training.model_copy(update={"patience": asked or 1})
        kept, self.config = self.config, self.config.model_copy(update={"training": training})
        original(self)
        self.config = kept

    return consider_stopping


def _models_kept(original: Any) -> Any:
    """Keep every model that was ever built."""
    kept: list[Any] = []

    def build(self: Any) -> Any:
        kept.append(original(self))
        return kept[-1]

    return build


def _nothing_moves(original: Any) -> Any:
    """Take every step back."""

    def step(self: Any, *args: Any) -> Any:
        before = [variable.numpy() for variable in self.model.trainable_variables]
        result = original(self, *args)
        for variable, value in zip(self.model.trainable_variables, before, strict=True):
            variable.assign(value)
        return result

    return step


def _stale_scale(original: Any) -> Any:
    """Undo the scales of another run."""

    def run(inputs: Any, params: Any, execution: Any) -> Any:
        from dataclasses import replace

        result = original(inputs, params, execution)
        return replace(result, patches=result.patches * np.float32(2.5))

    return run


def _in_full(original: Any) -> Any:
    """Let pytest word failures as it likes."""
    return lambda: None


FAULTS = (
    Fault("CONFIG-001", "generator-lives-on", "ptycho.scan.simulate:observe", _one_generator),
    Fault(
        "DATA-SUP-001", "placeholders", "ptycho.scan.groups:GroupedData.object_patches", _placeholder_labels
    ),
    Fault(
        "PROBE-RANK-001",
        "probe-for-each-sample",
        "ptycho.physics.forward:far_field_amplitude",
        _probe_for_each_sample,
    ),
    Fault(
        "BUG-DOUBLE-NORMALIZATION-001", "twice", "ptycho.scan.groups:PtychoDataContainer.X", _normalised_twice
    ),
    Fault(
        "RECT-B5-SCALE-001",
        "another-slot",
        "ptycho.scan.groups:PtychoDataContainer.batch",
        _factor_of_another_slot,
    ),
    Fault("BASELINE-OFFSET-001", "frame-at-zero", "ptycho.physics.coords:canvas_frame", _frame_at_zero),
    Fault(
        "TORCH-REASSEMBLY-COM-STALE-001", "first-frame", "ptycho.physics.coords:canvas_frame", _first_frame
    ),
    Fault("TF-XLA-BATCH-BROADCAST-001", "modulo", "ptycho.physics.coords:member_positions", _tiled_offsets),
    Fault(
        "NEW-GROUP-INDEPENDENCE", "one-canvas", "ptycho.network.inference:predict_rows", _batch_in_one_canvas
    ),
    Fault(
        "XLA-INFERENCE-BUG", "remainder-dropped", "ptycho.network.inference:predict_rows", _remainder_dropped
    ),
    Fault("PINN-CHUNKED-001", "rows-ignored", "ptycho.scan.groups:GroupedData.diffraction", _rows_ignored),
    Fault(
        "TORCH-N128/gates", "everything-passes", "ptycho.evaluation.gates:limit_verdict", _everything_passes
    ),
    Fault("MAINREF-CLI-001/#15", "inherited", "ptycho.runs.prepare:of_bundle", judging.inherited_groups),
    Fault("OUTPUT-COMPLEX-001", "amplitude-only", "ptycho.network.inference:predict_rows", _amplitude_only),
    Fault(
        "TF-XLA-BATCH-BROADCAST-001",
        "neighbours",
        "ptycho.network.inference:predict_rows",
        _neighbours_canvas,
    ),
    Fault("TEST-CLI-001", "files-unnamed", "ptycho.runs.directory:export_artifact", _files_unnamed),
    Fault("TEST-CLI-001", "anything-is-a-run", "ptycho.runs.directory:read_metadata", _anything_is_a_run),
    Fault(
        "REPORTING-ARTIFACT-BOUNDARY-001", "all-or-nothing", "ptycho.report.write:attempt", _all_or_nothing
    ),
    Fault(
        "CONFIG-LOGGER-001",
        "unwritten",
        "ptycho.network.training:Trainer.write_history",
        _history_unwritten,
    ),
    Fault(
        "H-NEPOCHS-001", "last-weights", "ptycho.network.training:Trainer.consider_stopping", _last_weights
    ),
    Fault(
        "RESUMED-OTHER-SCAN-001",
        "any-request",
        "ptycho.runs.directory:check_same_request",
        _anything_goes_on,
    ),
    Fault("RESUMED-OTHER-SCAN-001", "any-scan", "ptycho.runs.directory:check_same_given", _anything_goes_on),
    Fault(
        "UNTRAINED-BEST-001",
        "from-the-first",
        "ptycho.network.training:Trainer.consider_stopping",
        _first_epoch_first,
    ),
    Fault("HELD-OUT-ERROR-001", "filled-up", "ptycho.network.training:together", _filled_up),
    Fault(
        "H-NEPOCHS-001", "impatient", "ptycho.network.training:Trainer.consider_stopping", _always_impatient
    ),
    Fault("TF-REPEATED-MODEL-OOM-001", "models-kept", "ptycho.network.training:Trainer.build", _models_kept),
    Fault("TRAINED-NOTHING-001", "nothing-moves", "ptycho.network.training:Trainer.step", _nothing_moves),
    Fault("WORDY-FAILURE-001", "in-full", "ptycho.testing.prover:word_briefly", _in_full),
    Fault("SIM-LINES-CONFIG-001", "stale-scale", "ptycho.stages.infer:run", _stale_scale),
)
