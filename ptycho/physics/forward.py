"""The forward model in numpy: what a detector in the far field sees.

    ``A = sqrt(sum_p |FFT2(P_p * O)|^2) / N``,   zero frequency at [N/2, N/2],

with a unitary FFT, so that ``sum A^2 == sum_p sum |P_p * O|^2`` (Parseval). Modes of the probe add
incoherently (Thibault & Menzel, Nature 494, 68, 2013). The differentiable twin is
:mod:`ptycho.network.physics`; both are tested against a third computation.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import fft

from ptycho.base.errors import DataContractError
from ptycho.physics import coords

CHUNK = 32
"""Patterns computed at once where a whole scan is predicted: so many stay near the processor. It changes no result."""


def far_field_amplitude(patches: np.ndarray, probe: np.ndarray) -> np.ndarray:
    """Return the diffraction amplitudes (M, N, N) of object patches (M, N, N) under probe modes (P, N, N).

    Raises DataContractError for arrays of other shapes.

    Real, >= 0, of the precision of the inputs.
    """
    if patches.ndim != 3 or probe.shape[1:] != patches.shape[1:]:
        raise DataContractError(
            f"patches must be (M, N, N) and the probe (modes, N, N); got {patches.shape} and {probe.shape}"
        )
    intensity = np.zeros(patches.shape, patches.real.dtype)
    for mode in probe:
        field = fft.fft2(patches * mode, norm="ortho", workers=-1)
        intensity += field.real**2 + field.imag**2
    return np.asarray(fft.fftshift(np.sqrt(intensity), axes=(-2, -1)))


def probe_amplitude(probe: np.ndarray) -> np.ndarray:
    """Return the amplitude (N, N) float64 of a probe's own far field, its modes (P, N, N) added incoherently: vacuum's pattern."""
    flat = np.ones((1, *probe.shape[1:]))
    return np.asarray(far_field_amplitude(flat, probe.astype(np.complex128))[0])


def scan_amplitudes(
    obj: np.ndarray, positions: np.ndarray, probe: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (rows, amplitudes) of a scan over an object, `CHUNK` patterns at a time.

    Parameters
    ----------
    obj : (H, W) complex
    positions : (M, 2) float
        [x, y] patch centres in the object's pixels.
    probe : (P, N, N) complex
    """
    for start in range(0, len(positions), CHUNK):
        rows = slice(start, min(start + CHUNK, len(positions)))
        patches = coords.extract_patches(obj, positions[rows], probe.shape[-1])
        yield rows, far_field_amplitude(patches, probe)
