"""Reconstruction and truth in one frame, and sub-pixel registration of the two.

A pixel counts where the coverage is above a tenth of one probe's peak (`evaluation.coverage_threshold`), and
at least `border_px` inside of the object's array: a simulated object ends there in a step to zero. No fitted
scale enters, and registration is reported beside the rest, never in its place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from ptycho.base.errors import DataContractError
from ptycho.physics.stitching import Reconstruction

REFINEMENTS = 8
"""Gauss-Newton steps of the registration."""


@dataclass(frozen=True)
class Comparison:
    """A prediction and a truth on the same pixels.

    Attributes
    ----------
    prediction, truth : (H, W) complex64
    mask : (H, W) bool
        Pixels that count.
    origin_xy : (int, int)
        Object-frame pixel coordinates of [0, 0].
    coverage : (H, W) float32, optional
        Of the reconstruction.
    """

    prediction: np.ndarray
    truth: np.ndarray
    mask: np.ndarray
    origin_xy: tuple[int, int]
    coverage: np.ndarray | None = None


def compare_frames(
    reconstruction: Reconstruction, truth: np.ndarray, threshold: float, border_px: int = 0
) -> Comparison:
    """Crop a reconstruction and the truth (H, W) to their common pixels.

    Pixels count where the coverage exceeds `threshold` and the truth's edge is at least `border_px` away.

    Raises
    ------
    DataContractError
        Nothing is left to compare.
    """
    x0, y0 = reconstruction.origin_xy
    height, width = reconstruction.object.shape
    left, top = max(0, x0), max(0, y0)
    right, bottom = min(truth.shape[1], x0 + width), min(truth.shape[0], y0 + height)
    if right <= left or bottom <= top:
        raise DataContractError(
            f"the canvas at {reconstruction.origin_xy} of {height} x {width} px and the truth of "
            f"{truth.shape[0]} x {truth.shape[1]} px share no pixel; are the positions in the truth's frame?"
        )
    window = (slice(top - y0, bottom - y0), slice(left - x0, right - x0))
    coverage = reconstruction.coverage[window]
    mask = (coverage > threshold) & inner(truth.shape, border_px)[top:bottom, left:right]
    if not mask.any():
        raise DataContractError(
            f"no pixel has a coverage above {threshold:g}; lower evaluation.coverage_threshold"
        )
    return Comparison(
        reconstruction.object[window], truth[top:bottom, left:right], mask, (left, top), coverage
    )


def inner(shape: tuple[int, ...], border_px: int) -> np.ndarray:
    """Return the pixels (H, W) bool of an array that lie at least `border_px` inside its edge."""
    inside = np.zeros(shape, bool)
    inside[border_px : shape[0] - border_px, border_px : shape[1] - border_px] = True
    return inside


def find_shift(pair: Comparison) -> tuple[float, float]:
    """Return the (dx, dy) px by which the prediction must move to lie on the truth.

    The cross-correlation of the masked, mean-free amplitudes gives a start in whole pixels; the mask, which does not
    move, draws that towards zero. Gauss-Newton steps on the amplitude difference inside the mask give the rest.
    (0, 0) where one of the images is flat.
    """
    amplitude, truth = np.abs(pair.prediction).astype(float), np.abs(pair.truth).astype(float)
    fields = [np.where(pair.mask, image - image[pair.mask].mean(), 0) for image in (truth, amplitude)]
    if (
        not np.isfinite(amplitude).all()
        or min(field.std() for field in fields) < 1e-6 * truth[pair.mask].mean()
    ):
        return 0.0, 0.0
    shift, _, _ = phase_cross_correlation(*fields, normalization=None)
    best = np.array(shift, float)
    for _ in range(REFINEMENTS):
        moved = ndimage.shift(amplitude, best, order=3, mode="nearest")
        inside = pair.mask & (ndimage.shift(pair.mask.astype(float), best, order=1) > 0.999)
        slopes = np.stack([slope[inside] for slope in np.gradient(moved)], axis=1)
        step, *_ = np.linalg.lstsq(slopes, (moved - truth)[inside], rcond=None)
        best = best + np.clip(step, -1, 1)
    return float(best[1]), float(best[0])


def apply_shift(pair: Comparison, shift_xy: tuple[float, float]) -> Comparison:
    """Move the prediction by (+dx, +dy) px (cubic spline); pixels touched from outside no longer count."""
    dx, dy = shift_xy
    moved = [
        ndimage.shift(part, (dy, dx), order=3, mode="nearest")
        for part in (pair.prediction.real, pair.prediction.imag)
    ]
    kept = ndimage.shift(pair.mask.astype(float), (dy, dx), order=1, mode="constant", cval=0.0) > 0.999
    return replace(pair, prediction=(moved[0] + 1j * moved[1]).astype(np.complex64), mask=kept & pair.mask)
