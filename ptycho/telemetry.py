"""What each stage says about its artifact: plain numbers, for logs, comparison and isolation."""

from __future__ import annotations

import numpy as np

from ptycho import coords, scaling
from ptycho.data import RawData
from ptycho.model.bundle import Bundle
from ptycho.stages import Groups
from ptycho.stitching import Prediction, Reconstruction


def mean_amplitude(raw: RawData) -> float:
    """Return the mean amplitude of a scan."""
    return float(np.mean(raw.diff3d, dtype=np.float64))


def scan_telemetry(scan: RawData) -> dict[str, float]:
    """Describe a scan."""
    return {
        "patterns": len(scan),
        "mean_amplitude": mean_amplitude(scan),
        "mean_energy": scaling.mean_energy(scan.diff3d),
        "photon_scale": scan.photon_scale,
        "probe_l2": float(np.linalg.norm(scan.probe)),
        "probemean_amplitude": float(np.mean(np.abs(scan.probe))),
    }


def group_telemetry(groups: Groups) -> dict[str, float]:
    """Describe the groups: counts, offsets, reach."""
    found: dict[str, float] = {}
    for part, grouped in (("train", groups.train), ("test", groups.test)):
        found[f"{part}_groups"] = len(grouped)
        for axis, name in enumerate("xy"):
            offsets = grouped.coords_offsets[:, 0, axis, 0]
            found[f"{part}_offset_{name}_min"] = float(offsets.min())
            found[f"{part}_offset_{name}_max"] = float(offsets.max())
        found[f"{part}_reach_px"] = float(np.abs(grouped.coords_relative).max())
    return found


def train_telemetry(bundle: Bundle) -> dict[str, float]:
    """Describe a trained model: its last epoch and its scale."""
    last = bundle.history[-1] if bundle.history else {}
    numbers = {name: float(value) for name, value in last.items() if isinstance(value, (int, float))}
    return {
        **numbers,
        "prediction_scale": bundle.prediction_scale,
        "scale_drift": bundle.trained_intensity / bundle.scales.intensity,
    }


def stitch_telemetry(result: Reconstruction) -> dict[str, float]:
    """Describe a reconstruction."""
    return {
        "height_px": result.object.shape[0],
        "width_px": result.object.shape[1],
        "kept_fraction": result.kept_fraction,
        "patches": result.n_patches,
        "nonfinite_patches": result.n_nonfinite,
        "network_data_error": result.data_error,
    }


def holds_all_patches(prediction: Prediction) -> bool:
    """Whether a canvas for all announced positions exists."""
    origin, shape = coords.canvas_frame(prediction.positions, prediction.size)
    return min(shape) >= prediction.size and origin[0] <= prediction.positions[:, 0].min()
