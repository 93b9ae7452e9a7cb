"""One step of the solver: what the patterns say of the exit waves, and what those say of object, probe and positions.

The object's and the probe's steps are those of the regularised ptychographic iterative engine, for several patterns at
once (Maiden, Johnson & Li, Optica 4, 736, 2017); that of the positions is the least-squares one along the object's
gradient (Odstrcil, Menzel & Guizar-Sicairos, Opt. Express 26, 3108, 2018).
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from ptycho.base.errors import CanvasError

TINY = 1e-9
"""Amplitude, in units of a pattern's largest, below which a modulus is not divided by."""
LARGEST_MOVE = 1.0
"""Pixels beyond which what a pattern says of its place is not believed."""


def revise(
    patches: np.ndarray, probe: np.ndarray, measured: np.ndarray, background: float | None
) -> tuple[np.ndarray, float]:
    """Return how the exit waves (b, P, N, N) are to change so that the patterns come out, and the present error.

    Parameters
    ----------
    patches : (b, N, N) complex64
        Of the object.
    probe : (P, N, N) complex64
    measured : (b, N, N) float32
        Amplitudes, zero frequency at [0, 0]; below zero where none was measured.
    background : float or None
        None: the moduli become the measured ones, the gradient of the amplitude error. A number: half the step along the
        gradient of the Poisson likelihood of intensities with so much background, which keeps it bounded where nearly nothing is
        predicted.

    Returns
    -------
    change : (b, P, N, N) complex64
    residual : float
        sum (A_pred - A)^2.
    """
    from ptycho.solve import kernels

    _check(measured.shape == patches.shape and measured.dtype == np.float32, "measured", measured)
    waves = fft.fft2(patches[:, None] * probe, norm="ortho", overwrite_x=True)
    floor = TINY * max(float(measured.max()), TINY) if background is None else background
    residual = kernels.compare(waves.view(np.float32), measured, floor, background is not None)
    return fft.ifft2(waves, norm="ortho", overwrite_x=True), residual


def errors(patches: np.ndarray, probe: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Return sum (A_pred - A)^2 / sum A^2 (b,) of each pattern, for patches (b, N, N) of the object under a probe (P, N, N).

    `measured` is (b, N, N), or (1, N, N) for all; below zero where nothing was measured.
    """
    waves = fft.fft2(patches[:, None] * probe, norm="ortho", overwrite_x=True)
    moduli = np.sqrt(np.sum(waves.real**2 + waves.imag**2, axis=1))
    known = measured >= 0
    energy = np.sum(np.square(measured) * known, axis=(1, 2))
    return np.asarray(np.sum(np.square(moduli - measured) * known, axis=(1, 2)) / np.maximum(energy, 1e-12))


def _check(fits: bool, name: str, array: np.ndarray) -> None:
    """Raise CanvasError for an array (any shape) that the compiled loops would go beyond."""
    if not fits:
        raise CanvasError(f"{name} of shape {array.shape}, {array.dtype}, does not belong to these patterns")


def object_gradient(change: np.ndarray, probe: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return sum_p conj(P_p) change_p (b, N, N) complex64, in `out`: what a change of the exit waves says of the object."""
    from ptycho.solve import kernels

    result = np.empty((len(change), *change.shape[2:]), np.complex64) if out is None else out
    modes = np.ascontiguousarray(probe, np.complex64)
    _check(modes.shape == change.shape[1:], "probe", probe)
    _check(result.shape == (len(change), *change.shape[2:]), "gradient", result)
    kernels.back(change.view(np.float32), modes.view(np.float32), result.view(np.float32))
    return result


def to_neighbours(canvas: np.ndarray) -> np.ndarray:
    """Return by how much the neighbours of each pixel of a canvas (H, W) differ from it in sum: the step to a smoother object.

    Half the negative gradient of the sum of squared differences between neighbours; no eigenvalue of it exceeds 8.
    """
    result = np.zeros_like(canvas)
    for axis in (0, 1):
        step = np.diff(canvas, axis=axis)
        before, after = (slice(None, -1), slice(None)), (slice(1, None), slice(None))
        result[before if axis == 0 else before[::-1]] += step
        result[after if axis == 0 else after[::-1]] -= step
    return result


def probe_evidence(patches: np.ndarray, change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what some patterns say of the probe: its illumination by the object (N, N), and its gradient (P, N, N)."""
    lit = np.sum(patches.real**2 + patches.imag**2, axis=0)
    return lit, np.einsum("byx,bpyx->pyx", np.conj(patches), change)


def revised_probe(
    probe: np.ndarray, lit: np.ndarray, step: np.ndarray, damping: float, share: float = 1.0
) -> np.ndarray:
    """Return the probe (P, N, N) after a share of the step for the evidence of :func:`probe_evidence`."""
    whole = step / (damping * lit.max() + (1 - damping) * lit)
    return np.asarray(probe + np.float32(share) * whole, np.complex64)


def affine(positions: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Return the part of moves (M, 2) px that is a linear map of positions (M, 2) px about their mean, by least squares."""
    away = positions - positions.mean(axis=0)
    linear, *_ = np.linalg.lstsq(away, moves, rcond=None)
    return np.asarray(away @ linear)


def moves(patches: np.ndarray, probe: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Return the steps (b, 2) [x, y] px of the positions that explain most of the exit waves' change (b, P, N, N).

    Of the first mode. A patch further on is the object's value plus its gradient: least squares in the two steps.
    """
    from ptycho.solve import kernels

    _check(probe.shape == change.shape[1:], "probe", probe)
    _check(patches.shape == (len(change), *change.shape[2:]), "patches", patches)
    products = np.empty((len(patches), 5), np.float64)
    kernels.gradients(
        patches.view(np.float32),
        np.ascontiguousarray(probe[0]).view(np.float32),
        change.view(np.float32),
        products,
    )
    xx, yy, xy, x, y = products.T
    determinant = np.maximum(xx * yy - xy**2, 1e-6 * xx * yy)
    safe = np.where(determinant > 0, determinant, np.inf)  # where the object is flat nothing tells
    steps = np.stack([yy * x - xy * y, xx * y - xy * x], axis=1) / safe[:, None]
    return np.clip(steps, -LARGEST_MOVE, LARGEST_MOVE)
