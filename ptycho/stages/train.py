"""The trained model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.artifacts.stage import Execution, Table
from ptycho.base import atomic, layout
from ptycho.network import bundle as bundles
from ptycho.network import training
from ptycho.network.bundle import Bundle
from ptycho.scan.groups import GroupedData
from ptycho.settings.params import Params
from ptycho.stages.scale import Scaling

KIND = Bundle
FILE = layout.BUNDLE


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Bundle:
    """Train on the training groups."""
    groups: GroupedData = inputs["group_train"]
    scaled: Scaling = inputs["scale"]
    return training.train(
        groups,
        scaled.scales,
        scaled.probe,
        params,
        key=execution.key,
        state_dir=execution.folder,
        resume=execution.resume,
        listener=execution.listener,
    )


def telemetry(bundle: Bundle) -> dict[str, float]:
    """Return the last epoch and the scale's drift."""
    last = bundle.history[-1] if bundle.history else {}
    numbers = {name: float(value) for name, value in last.items() if isinstance(value, (int, float))}
    return {
        **numbers,
        "untrained_error": bundle.untrained_error,
        "trained_error": bundle.trained_error,
        "prediction_scale": bundle.prediction_scale,
        "scale_drift": bundle.trained_photon_scale / bundle.scales.photon_scale,
    }


def invariants(bundle: Bundle) -> Iterator[tuple[str, bool]]:
    """Weights are numbers."""
    yield "weights must be finite", all(np.isfinite(value).all() for value in bundle.weights.values())


def tables(bundle: Bundle) -> Iterator[Table]:
    """Say why training ended, and with what."""
    rows = (("why it ended", bundle.stopped), *telemetry(bundle).items())
    yield Table("Training", ("", "last epoch"), rows)


def save(bundle: Bundle, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the model."""
    bundles.save_bundle(folder / FILE, bundle, about)


def load(folder: Path, inputs: Mapping[str, Any]) -> Bundle:
    """Read it back."""
    return bundles.load_bundle(folder / FILE)


def export(bundle: Bundle, folder: Path, about: Mapping[str, Any]) -> None:
    """Leave the model and its history in a run directory."""
    save(bundle, folder, about)
    atomic.write_json(folder / training.HISTORY, {"epochs": list(bundle.history), "stopped": bundle.stopped})
