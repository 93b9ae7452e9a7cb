"""Does a reconstruction explain the measured patterns, and does it hold twins.

Of a reconstruction only the object and its frame are believed. Coverage, data error and scale are computed
from object and scan, whether it comes from the run or from a file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ptycho.evaluation import frames, metrics
from ptycho.physics import coords, forward
from ptycho.physics.stitching import Prediction, Reconstruction
from ptycho.scan.raw import RawData

SAMPLE = 64
"""Patches that are looked at for twins."""


@dataclass(frozen=True)
class TwinCorrelation:
    """Mean Pearson correlation of `patches` single patches with their own and with the turned truth."""

    own: float = math.nan
    flipped: float = math.nan
    patches: int = 0


def data_error(reconstruction: Reconstruction, scan: RawData, probe: np.ndarray) -> dict[str, float]:
    """Predict a scan's patterns from the stitched object under a probe (P, N, N) and compare; bad pixels do not count.

    Returns
    -------
    dict
        ``stitched_error``: sum (A_pred - A)^2 / sum A^2; ``stitched_scale``: the factor c that minimises
        sum (c A_pred - A)^2; ``network_error``: the same error before stitching; ``prediction_scale``: the fitted
        factor that the object was multiplied by, 1 for none.
    """
    good = 1.0 if scan.bad_pixels is None else ~scan.bad_pixels
    residual = energy = cross = power = 0.0
    for rows, predicted in forward.scan_amplitudes(
        reconstruction.object, reconstruction.to_canvas(scan.positions), probe
    ):
        measured = scan.diff3d[rows].astype(float)
        predicted = predicted.astype(float) * good
        residual += float(np.sum((predicted - measured) ** 2))
        energy += float(np.sum(measured**2))
        cross += float(np.sum(predicted * measured))
        power += float(np.sum(predicted**2))
    return {
        "stitched_error": residual / energy,
        "stitched_scale": cross / power if power > 0 else math.nan,
        "network_error": reconstruction.network_error,
        "prediction_scale": reconstruction.prediction_scale,
    }


def twin_correlation(
    prediction: Prediction, truth: np.ndarray | None, illumination: np.ndarray, border_px: int = 0
) -> TwinCorrelation:
    """Correlate predicted patches with their own truth and with the truth turned by 180 degrees.

    Parameters
    ----------
    prediction : Prediction
        `SAMPLE` patches, evenly spread, are looked at; those that are not finite do not count.
    truth : (H, W) complex or None
    illumination : (N, N) float
        Peak 1. The turn is about its centre of mass; pixels below 0.1 do not count.
    border_px : int
        Nor do pixels outside of the truth or this near to its edge.
    """
    if truth is None:
        return TwinCorrelation()
    size = illumination.shape[0]
    lit = illumination > 0.1
    centre = np.array(ndimage.center_of_mass(illumination))
    rows = np.unique(np.linspace(0, len(prediction) - 1, SAMPLE).astype(int))
    patches = prediction.patches[rows]
    rows, patches = rows[finite := np.isfinite(patches).all(axis=(1, 2))], patches[finite]
    if not len(rows):
        return TwinCorrelation()
    positions = prediction.positions[rows]
    counts = frames.inner(truth.shape, border_px).astype(float)
    own, flipped = [], []
    for patch, true, inside in zip(
        coords.centre_crop(patches, size),
        coords.extract_patches(truth, positions, size),
        coords.extract_patches(counts, positions, size) > 0.999,
        strict=True,
    ):
        mask = lit & inside
        amplitude = np.abs(true)
        turned = ndimage.shift(amplitude[::-1, ::-1], 2 * centre - (size - 1), order=1, mode="nearest")
        own.append(metrics.pearson(np.abs(patch)[mask], amplitude[mask]))
        flipped.append(metrics.pearson(np.abs(patch)[mask], turned[mask]))
    return TwinCorrelation(_mean_of_numbers(own), _mean_of_numbers(flipped), len(own))


def _mean_of_numbers(values: list[float]) -> float:
    """Return the mean of those that are numbers, NaN where none is."""
    numbers = [value for value in values if math.isfinite(value)]
    return sum(numbers) / len(numbers) if numbers else math.nan
