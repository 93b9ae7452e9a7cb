"""Does a reconstruction explain the measured patterns, and does it hold twins."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from ptycho import coords, forward
from ptycho.data import RawData
from ptycho.evaluation.metrics import pearson
from ptycho.stitching import Reconstruction


def data_error(reconstruction: Reconstruction, scan: RawData, probe: np.ndarray) -> dict[str, float]:
    """Predict a scan's patterns from the stitched object and compare.

    Returns
    -------
    dict
        ``stitched_error``: sum (A_pred - A)^2 / sum A^2; ``stitched_scale``: the factor c that minimises
        sum (c A_pred - A)^2; ``network_error``: the same error before stitching.
    """
    residual = energy = cross = power = 0.0
    for rows, predicted in forward.scan_amplitudes(
        reconstruction.object, reconstruction.to_canvas(scan.positions), probe
    ):
        measured = scan.diff3d[rows].astype(float)
        predicted = predicted.astype(float)
        residual += float(np.sum((predicted - measured) ** 2))
        energy += float(np.sum(measured**2))
        cross += float(np.sum(predicted * measured))
        power += float(np.sum(predicted**2))
    return {
        "stitched_error": residual / energy,
        "stitched_scale": cross / power if power > 0 else math.nan,
        "network_error": reconstruction.data_error,
    }


def twin_correlation(
    patches: np.ndarray, positions: np.ndarray, truth: np.ndarray, illumination: np.ndarray
) -> dict[str, float]:
    """Correlate predicted patches with their own truth and with the truth turned by 180 degrees.

    Parameters
    ----------
    patches : (n, M, M) complex
    positions : (n, 2) [x, y] px
    truth : (H, W) complex
    illumination : (N, N) float
        Peak 1. The turn is about its centre of mass; pixels below 0.1 do not count.
    """
    size = illumination.shape[0]
    lit = illumination > 0.1
    centre = np.array(ndimage.center_of_mass(illumination))
    own, flipped = [], []
    for patch, true in zip(
        coords.centre_crop(patches, size), coords.extract_patches(truth, positions, size), strict=True
    ):
        amplitude = np.abs(true)
        turned = ndimage.shift(amplitude[::-1, ::-1], 2 * centre - (size - 1), order=1, mode="nearest")
        own.append(pearson(np.abs(patch)[lit], amplitude[lit]))
        flipped.append(pearson(np.abs(patch)[lit], turned[lit]))
    return {"own": float(np.nanmean(own)), "flipped": float(np.nanmean(flipped)), "patches": len(own)}
