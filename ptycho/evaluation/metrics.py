"""Metrics of a prediction against a truth, inside a mask only.

A value that is not defined (a flat image has no correlation) is NaN, never a good score.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import fft, ndimage
from skimage.metrics import structural_similarity

from ptycho.evaluation.frames import Comparison
from ptycho.physics import scaling

FLAT = 1e-6
"""An image whose standard deviation is below this share of its mean is flat."""
SMOOTHING = 32
"""The ring correlation is smoothed over two rings more for each so many that there are."""
SSIM_RADIUS = 3
"""Half the side of SSIM's 7 x 7 window."""


def amplitude_metrics(pair: Comparison) -> dict[str, float]:
    """Compare amplitudes: ratio, bias, errors, correlation, SSIM, PSNR. Nothing is rescaled."""
    a = np.abs(pair.prediction[pair.mask]).astype(float)
    t = np.abs(pair.truth[pair.mask]).astype(float)
    difference = a - t
    rmse = float(np.sqrt(np.mean(difference**2)))
    span = float(np.ptp(t))
    percentiles = (
        np.percentile(difference, [5, 25, 50, 75, 95]) if np.isfinite(difference).all() else [math.nan] * 5
    )
    return {
        "amplitude_ratio": float(a.mean() / t.mean()),
        "bias_mean": float(difference.mean()),
        **{f"bias_p{p:02d}": float(value) for p, value in zip((5, 25, 50, 75, 95), percentiles, strict=True)},
        "least_squares_scalar": scaling.least_squares_factor(a, t),
        "mae": float(np.abs(difference).mean()),
        "rmse": rmse,
        "nrmse": rmse / float(t.mean()),
        "pearson": pearson(a, t),
        "ssim": ssim(pair),
        "psnr_db": 20 * math.log10(span / rmse) if 0 < rmse < math.inf and span > 0 else math.nan,
    }


def phase_metrics(pair: Comparison) -> dict[str, float]:
    """Compare phases after removing the global constant, and after removing a plane as well (rad)."""
    product = pair.prediction[pair.mask] * np.conj(pair.truth[pair.mask])
    constant = np.angle(product.sum())
    error = np.angle(product * np.exp(-1j * constant))
    rows, columns = np.nonzero(pair.mask)
    design = np.stack([columns - columns.mean(), rows - rows.mean(), np.ones(len(rows))], axis=1)
    weight = np.sqrt(np.abs(product))[:, None]
    flat = {"phase_mae": float(np.abs(error).mean()), "phase_rmse": float(np.sqrt(np.mean(error**2)))}
    if not np.isfinite(error).all():
        return {**flat, "phase_mae_plane": math.nan, "phase_rmse_plane": math.nan}
    plane, *_ = np.linalg.lstsq(design * weight, error * weight[:, 0], rcond=None)
    rest = np.angle(np.exp(1j * (error - design @ plane)))
    return {
        **flat,
        "phase_mae_plane": float(np.abs(rest).mean()),
        "phase_rmse_plane": float(np.sqrt(np.mean(rest**2))),
    }


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Return Pearson's correlation; NaN where one side is flat or not finite.

    Both sides are real and of one shape, (K,) or any other.
    """
    if a.size < 2 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return math.nan
    if a.std() <= FLAT * abs(a.mean()) or b.std() <= FLAT * abs(b.mean()):
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])


def ssim(pair: Comparison) -> float:
    """Return the mean SSIM of the amplitudes over windows that lie in the mask (Wang et al., 2004).

    The data range is the truth's. Outside of the mask both images are set to the truth's mean.
    """
    amplitude, truth = np.abs(pair.prediction).astype(float), np.abs(pair.truth).astype(float)
    inside = ndimage.binary_erosion(pair.mask, iterations=1, structure=np.ones((2 * SSIM_RADIUS + 1,) * 2))
    if math.isnan(pearson(amplitude[pair.mask], truth[pair.mask])) or not inside.any():
        return math.nan
    mean = truth[pair.mask].mean()
    amplitude, truth = np.where(pair.mask, amplitude, mean), np.where(pair.mask, truth, mean)
    span = float(np.ptp(truth[pair.mask]))
    _, everywhere = structural_similarity(
        amplitude, truth, data_range=span, full=True, win_size=2 * SSIM_RADIUS + 1
    )
    return float(everywhere[inside].mean())


def fourier_ring_correlation(pair: Comparison) -> tuple[np.ndarray, np.ndarray]:
    """Return (frequencies in cycles/px, FRC) of the complex images (van Heel & Schatz, 2005).

    Each image loses its masked mean and is multiplied by a softened mask, and the phase between the two, which no
    pattern tells, is taken out. Rings are one frequency sample of the longer side wide; unequal sides are handled
    by their own frequencies.
    """
    soft = np.clip(ndimage.gaussian_filter(pair.mask.astype(float), 2.0) * 2 - 1, 0, 1)
    spectra = []
    for image in (pair.prediction, pair.truth):
        field = np.where(pair.mask, image, 0)
        spectra.append(fft.fft2((field - field[pair.mask].mean()) * soft))
    product = pair.prediction[pair.mask] * np.conj(pair.truth[pair.mask])
    spectra[0] *= np.exp(-1j * np.angle(product.sum(dtype=np.complex128)))
    height, width = pair.mask.shape
    radius = np.hypot(fft.fftfreq(height)[:, None], fft.fftfreq(width)[None, :])
    step = 1.0 / max(height, width)
    ring = np.round(radius / step).astype(int)
    count = max(height, width) // 2
    cross = np.bincount(ring.ravel(), (spectra[0] * np.conj(spectra[1])).real.ravel())[1 : count + 1]
    power = [np.bincount(ring.ravel(), (np.abs(s) ** 2).ravel())[1 : count + 1] for s in spectra]
    total = np.sqrt(power[0] * power[1])
    frc = np.divide(cross, total, out=np.full(len(cross), math.nan), where=total > 0)
    return np.arange(1, len(cross) + 1) * step, frc


def smoothed(frc: np.ndarray) -> np.ndarray:
    """Return a ring correlation (K,) float64 as running means over a sixteenth of it: single rings rise and dip by chance."""
    return np.asarray(ndimage.uniform_filter1d(frc, 2 * (len(frc) // SMOOTHING) + 1, mode="nearest"))


def half_bit(mask: np.ndarray) -> np.ndarray:
    """Return the correlation (K,) float64 of each ring at which it holds half a bit, for images compared in a mask (H, W) bool.

    T = (0.2071 + 1.9102 / sqrt(n)) / (1.2071 + 0.9102 / sqrt(n)) for n independent samples in the ring (van Heel & Schatz,
    2005), of which a mask leaves its share of the area.
    """
    side = max(mask.shape)
    ring = np.arange(1, side // 2 + 1)
    root = np.sqrt(2 * math.pi * ring * float(mask.sum()) / side**2)
    return np.asarray((0.2071 * root + 1.9102) / (1.2071 * root + 0.9102))


def cutoff(frequencies: np.ndarray, frc: np.ndarray, level: float | np.ndarray) -> float:
    """Return where the smoothed FRC last falls through `level` (linear); Nyquist if it never does, NaN if undefined.

    `frequencies`, cycles/px, and `frc` are (K,) float64; `level` is one number, or (K,) float64.

    The last fall, not the first: the lowest rings have few samples and dip by chance, or since the mean was taken out,
    while all detail is there.
    """
    if not np.isfinite(frc).all() or not len(frc):
        return math.nan
    above = smoothed(frc) - level
    falls = np.flatnonzero((above[:-1] >= 0) & (above[1:] < 0))
    if not len(falls):
        return 0.5 if above[-1] >= 0 else float(frequencies[0])
    k = int(falls[-1])
    share = above[k] / (above[k] - above[k + 1])
    return float(frequencies[k] + share * (frequencies[k + 1] - frequencies[k]))


def all_metrics(pair: Comparison) -> dict[str, float]:
    """Return every metric of a pair."""
    result = {**amplitude_metrics(pair), **phase_metrics(pair)}
    if math.isnan(result["pearson"]):
        return {**result, **dict.fromkeys(("frc_1_2", "frc_1_7", "frc_half_bit"), math.nan)}
    frequencies, frc = fourier_ring_correlation(pair)
    levels: dict[str, Any] = {"frc_1_2": 0.5, "frc_1_7": 1 / 7, "frc_half_bit": half_bit(pair.mask)}
    return {**result, **{name: cutoff(frequencies, frc, level) for name, level in levels.items()}}
