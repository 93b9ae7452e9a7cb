"""Probes: the idealised disk, a zone-plate model, and the preparation steps that follow."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from scipy import fft, ndimage

from ptycho.base import archive, identity
from ptycho.base.errors import DataContractError
from ptycho.settings.params import Params
from ptycho.settings.sections import ProbeConfig


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
        probe = read_probe(config.file, N)
        source = f"from a file with SHA-256 {identity.file_sha256(config.file)[:12]}"
    else:
        probe = zone_plate_probe(N)[None]
        source = "built-in zone-plate model"
    return normalize_probe(probe, config.scale).astype(np.complex64), source


def read_probe(path: Path, N: int) -> np.ndarray:
    """Read `probeGuess` of any NPZ as (modes, N, N) complex128; raise DataContractError where there is none of that size."""
    arrays = archive.read_arrays(path, ("probeGuess",))
    if "probeGuess" not in arrays:
        raise DataContractError(f"{path}: required key probeGuess missing")
    if arrays["probeGuess"].dtype.kind not in "iufc":
        raise DataContractError(f"{path}: probeGuess must be numeric; got dtype {arrays['probeGuess'].dtype}")
    probe = np.asarray(arrays["probeGuess"], np.complex128)
    probe = probe[None] if probe.ndim == 2 else probe
    if probe.ndim != 3 or probe.shape[1:] != (N, N):
        raise DataContractError(f"{path}: probeGuess must be {N} x {N} for N = {N}; got {probe.shape}")
    return probe


def idealized_probe(N: int, relative_width: float = 0.7) -> np.ndarray:
    """Return the idealised probe (N, N): a disk cut out of a Gaussian at half maximum, blurred, real.

    The Gaussian's standard deviation is N / (relative_width * pi^2) px; the blur has sigma 1 px.
    """
    sigma = N / (relative_width * np.pi**2)
    offset = np.arange(N) - (N - 1) / 2
    window = np.exp(-0.5 * (offset / sigma) ** 2)
    disk = (np.outer(window, window) > 0.5).astype(float)
    return np.asarray(ndimage.gaussian_filter(disk, 1.0) + 1e-9)


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
    return np.asarray(field / np.abs(field).max())


def normalization_mask(N: int) -> np.ndarray:
    """Return the disk (N, N) of radius N//4 around the half-pixel centre: 812 px at N = 64."""
    offset = np.arange(N) - N / 2 + 0.5
    return np.asarray(np.hypot(offset[:, None], offset[None, :]) < N // 4)


def normalize_probe(probe: np.ndarray, scale: float) -> np.ndarray:
    """Scale the probe (P, N, N) so that mean |mask * P| over all N^2 pixels is 1/scale.

    Raises DataContractError for a probe that is dark where it is measured.

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


def area(probe: np.ndarray) -> float:
    """Return the area, px, over which a probe's light (P, N, N) is spread: (sum I)^2 / sum I^2; NaN for darkness."""
    light = np.sum(np.abs(probe.astype(np.complex128)) ** 2, axis=0)
    total = float(light.sum())
    return total**2 / float(np.sum(light**2)) if total > 0 else math.nan


def is_twin_ambiguous(probe: np.ndarray, tolerance: float = 0.02) -> bool:
    """Whether O(r) and conj O(-r) give the same single pattern under this probe (P, N, N).

    True where the incoherent modes together are their own twin about one point, conj P(c - r): the same mixture, if
    not mode by mode. The point may lie on a pixel or between pixels; it is the same for all modes. Of two
    mixtures with the density matrices rho and rho', tr(rho rho') = sum |<P_m, P'_n>|^2 is at most tr(rho^2), and as much
    only where they are equal.
    """
    modes = np.asarray(probe, np.complex128)
    spectra, twins = fft.fft2(modes), fft.fft2(np.conj(modes[:, ::-1, ::-1]))
    # <P_m, P'_n> for every point of inversion at once, as a correlation.
    mixed = sum(np.abs(fft.ifft2(one * np.conj(other))) ** 2 for one in spectra for other in twins)
    flat = modes.reshape(len(modes), -1)
    own = float(np.sum(np.abs(flat.conj() @ flat.T) ** 2))
    return bool(np.max(mixed) >= (1 - tolerance) ** 2 * own)


def _smooth_step(x: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (1 + np.tanh(x)))
