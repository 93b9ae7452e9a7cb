"""Faults of what carries values from stage to stage: containers, frames, inference, commands."""

from __future__ import annotations

from typing import Any

import numpy as np

from ptycho.testing.fault import Fault
from ptycho.testing.faults import judging


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


FAULTS = (
    Fault("CONFIG-001", "generator-lives-on", "ptycho.simulate.scan:observe", _one_generator),
    Fault("DATA-SUP-001", "placeholders", "ptycho.data:GroupedData.object_patches", _placeholder_labels),
    Fault(
        "PROBE-RANK-001",
        "probe-for-each-sample",
        "ptycho.forward:far_field_amplitude",
        _probe_for_each_sample,
    ),
    Fault("BUG-DOUBLE-NORMALIZATION-001", "twice", "ptycho.data:PtychoDataContainer.X", _normalised_twice),
    Fault(
        "RECT-B5-SCALE-001", "another-slot", "ptycho.data:PtychoDataContainer.batch", _factor_of_another_slot
    ),
    Fault("BASELINE-OFFSET-001", "frame-at-zero", "ptycho.coords:canvas_frame", _frame_at_zero),
    Fault("TORCH-REASSEMBLY-COM-STALE-001", "first-frame", "ptycho.coords:canvas_frame", _first_frame),
    Fault("TF-XLA-BATCH-BROADCAST-001", "modulo", "ptycho.coords:member_positions", _tiled_offsets),
    Fault("NEW-GROUP-INDEPENDENCE", "one-canvas", "ptycho.inference:_predict_rows", _batch_in_one_canvas),
    Fault("XLA-INFERENCE-BUG", "remainder-dropped", "ptycho.inference:_predict_rows", _remainder_dropped),
    Fault("PINN-CHUNKED-001", "rows-ignored", "ptycho.data:GroupedData.diffraction", _rows_ignored),
    Fault("TORCH-N128/gates", "everything-passes", "ptycho.gates:_limit", _everything_passes),
    Fault("MAINREF-CLI-001/#15", "inherited", "ptycho.request:of_bundle", judging.inherited_groups),
)
