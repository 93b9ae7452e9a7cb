"""Probes: the idealised disk, a zone-plate model, and the preparation steps that follow."""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage

from ptycho import identity
from ptycho.config import ProbeConfig
from ptycho.errors import DataContractError
from ptycho.io import npz
from ptycho.params import Params


def make_probe(config: ProbeConfig | Params, N: int) -> tuple[np.ndarray, str]:
    """Build the normalised probe of a simulation.

    Returns
    -------
    probe : (P, N, N) complex64
    source : str
        Where it came from, for people.
    """
    if config.kind == "idealized":
        probe = idealized_probe(N, config.relative_width)[None].astype(np.complex128)
        source = "idealised disk"
    elif config.file is not None:
        probe = npz.read_probe(config.file, N)
        source = f"from a file with SHA-256 {identity.file_sha256(config.file)[:12]}"
    else:
        probe = zone_plate_probe(N)[None]
        source = "built-in zone-plate model"
    return normalize_probe(probe, config.scale).astype(np.complex64), source


def idealized_probe(N: int, relative_width: float = 0.7) -> np.ndarray:
    """Return the idealised probe (N, N): a disk cut out of a Gaussian at half maximum, blurred, real.

    The Gaussian's standard deviation is N / (relative_width * pi^2) px; the blur has sigma 1 px.
    """
    sigma = N / (relative_width * np.pi**2)
    offset = np.arange(N) - (N - 1) / 2
    window = np.exp(-0.5 * (offset / sigma) ** 2)
    disk = (np.outer(window, window) > 0.5).astype(float)
    return ndimage.gaussian_filter(disk, 1.0) + 1e-9


def zone_plate_probe(N: int) -> np.ndarray:
    """Return a measured-like probe (N, N) complex: a zone plate's focus, defocused and aberrated.

    The pupil is an annulus (outer zones open, central stop shut) with defocus, astigmatism, coma and
    trefoil, so that the probe has no symmetry that would allow a twin image. Lengths scale with N.
    """
    frequency = fft.fftshift(fft.fftfreq(N))
    u, v = np.meshgrid(frequency / 0.16, frequency / 0.16)
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    edge = 0.06
    pupil = _smooth_step((1 - radius) / edge) * _smooth_step((radius - 0.35) / edge)
    aberration = (
        7.0 * radius**2  # defocus
        + 1.6 * radius**2 * np.cos(2 * (angle - 0.4))  # astigmatism
        + 1.8 * (3 * radius**3 - 2 * radius) * np.cos(angle - 1.1)  # coma
        + 0.9 * radius**3 * np.cos(3 * (angle + 0.3))  # trefoil
    )
    field = fft.fftshift(fft.ifft2(fft.ifftshift(pupil * np.exp(1j * aberration))))
    return field / np.abs(field).max()


def normalization_mask(N: int) -> np.ndarray:
    """Return the disk (N, N) of radius N//4 around the half-pixel centre: 812 px at N = 64."""
    offset = np.arange(N) - N / 2 + 0.5
    return np.hypot(offset[:, None], offset[None, :]) < N // 4


def normalize_probe(probe: np.ndarray, scale: float) -> np.ndarray:
    """Scale the probe (P, N, N) so that mean |mask * P| over all N^2 pixels is 1/scale.

    For several modes |P| is the root of their summed intensities. The mask enters the factor only.
    Applying it twice changes nothing.
    """
    amplitude = np.sqrt(np.sum(np.abs(probe) ** 2, axis=0))
    factor = scale * float(np.mean(normalization_mask(probe.shape[-1]) * amplitude))
    if not (np.isfinite(factor) and factor > 0):
        raise DataContractError(f"the probe has no amplitude within N/4 of its centre (factor {factor!r})")
    return probe / factor


def prepare_probe(probe: np.ndarray, config: ProbeConfig | Params) -> np.ndarray:
    """Apply the model-side steps, in this order: smoothing, then mask. Both are off by default.

    Off is bitwise identity. Returns (P, N, N) complex64.
    """
    prepared = probe
    if config.smoothing_sigma_px > 0:
        sigma = (0, config.smoothing_sigma_px, config.smoothing_sigma_px)
        prepared = ndimage.gaussian_filter(prepared.real, sigma) + 1j * ndimage.gaussian_filter(
            prepared.imag, sigma
        )
    if config.mask:
        prepared = prepared * normalization_mask(probe.shape[-1])
    return prepared.astype(np.complex64)


def is_twin_ambiguous(probe: np.ndarray, tolerance: float = 0.02) -> bool:
    """Whether O(r) and conj O(-r) give the same single pattern under this probe (P, N, N).

    True where every mode is centrosymmetric and real up to a constant phase: conj P(-r) = c * P(r). The
    point of inversion may lie on a pixel or between pixels.
    """
    for mode in probe:
        energy = float(np.sum(np.abs(mode) ** 2))
        twin = np.conj(mode[::-1, ::-1])
        # conj P(c - r) correlated with P over all c: 1 where the mode is its own twin about some point.
        overlap = fft.ifft2(fft.fft2(mode) * np.conj(fft.fft2(twin)))
        if np.abs(overlap).max() < (1 - tolerance) * energy:
            return False
    return True


def _smooth_step(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(x))
