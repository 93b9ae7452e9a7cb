"""The patches that the network predicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.artifacts.stage import Execution
from ptycho.base import atomic
from ptycho.base.errors import DataContractError
from ptycho.network import inference
from ptycho.physics.stitching import Prediction
from ptycho.settings.params import Params

KIND = Prediction
PARTS = ("patches", "weights", "positions", "residual", "energy")


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Prediction:
    """Run the network on every test group."""
    return inference.predict(inputs["train"], inputs["group_test"], execution.batch_size, execution.listener)


def telemetry(prediction: Prediction) -> dict[str, float]:
    """Count groups, and how well they explain their own patterns."""
    energy = float(prediction.energy.sum())
    return {
        "groups": len(prediction),
        "group_canvas_px": prediction.size,
        "network_error": float(prediction.residual.sum()) / energy if energy > 0 else float("nan"),
    }


def invariants(prediction: Prediction) -> Iterator[tuple[str, bool]]:
    """Every group has a place."""
    yield "every group needs a finite position", bool(np.isfinite(prediction.positions).all())


def save(prediction: Prediction, folder: Path, about: Mapping[str, Any]) -> None:
    """Write one file an array, so that a large one can be read piece by piece."""
    for name in PARTS:
        atomic.write_array(folder / f"{name}.npy", getattr(prediction, name))


def load(folder: Path, inputs: Mapping[str, Any]) -> Prediction:
    """Read them back; a large array stays on disk.

    Raises DataContractError where a file cannot be read.
    """
    arrays = {}
    for name in PARTS:
        path = folder / f"{name}.npy"
        try:
            large = path.stat().st_size > inference.MEMORY_BYTES
            arrays[name] = np.load(path, mmap_mode="r" if large else None, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataContractError(f"{path}: cannot be read: {error}") from None
    return Prediction(**arrays)


def export(prediction: Prediction, folder: Path, about: Mapping[str, Any]) -> None:
    """Leave nothing in a run directory: patches are large, and made again from the bundle in one pass."""
