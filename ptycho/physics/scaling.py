"""Every scale factor of the program lives here, as a type of its own.

Three scales exist and are never mixed:

physical
    `photon_scale` s turns the fed amplitudes into square roots of counts: ``counts = (s * X)**2``.
statistical
    `statistical` g gives the fed amplitudes a fixed energy: ``X = g * diff3d``, mean over training groups
    and channels of ``sum X**2 == (N/2)**2``. It knows nothing of photons.
display
    belongs to figures and never touches data (:mod:`ptycho.report.figures`).

Since the probe is not scaled, a network that explains X holds ``g`` times the object. :meth:`Scales.undo`
takes that out again, exactly once, where predictions leave the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import special

from ptycho.base.errors import ScaleError
from ptycho.physics import forward

LEAST_SEEN = 0.05
"""Smallest share of the light that is believed to be seen: behind a beam stop the probe's far field says little."""


@dataclass(frozen=True)
class Scales:
    """The factors between a scan and what the network is fed, taken from the training groups only.

    Attributes
    ----------
    statistical : float
        g, with ``X = g * diff3d``.
    photon_scale : float
        s, with ``counts = (s * X)**2``.
    source : str
        Where `photon_scale` came from: `recorded` (by the scan) or `closed_form` (from `nphotons`).
    nphotons : float
        Mean counts per pattern of the training groups, ``mean sum (s * X)**2``.
    object_unit : float
        a0 = ``sqrt(mean sum X^2 / sum |P|^2)``, the mean object amplitude in fed units.
    """

    statistical: float
    photon_scale: float
    source: str
    nphotons: float
    object_unit: float

    def __post_init__(self) -> None:
        for name in ("statistical", "photon_scale", "nphotons", "object_unit"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ScaleError(f"scale {name} must be finite and > 0; got {value!r}")

    def undo(self, prediction: np.ndarray, trained_photon_scale: float) -> np.ndarray:
        """Bring an object in the network's units back to the units of the scan's object.

        `prediction` is complex or real, of any shape.

        Parameters
        ----------
        prediction : complex array
            Object as the network holds it.
        trained_photon_scale : float
            The network's own photon scale after training. It divides the network's input and equals
            `photon_scale` unless it was trained; the object carries ``g * s / trained``.
        """
        gain = self.statistical * self.photon_scale / trained_photon_scale
        return (prediction / gain).astype(prediction.dtype, copy=False)


def pattern_energies(diffraction: np.ndarray) -> np.ndarray:
    """Return sum_xy X^2 (M,) float64 of amplitudes (M, N, N) of any real dtype.

    Squares in float64 (integer squares would wrap), pattern by pattern to stay small.
    """
    return np.array([np.square(pattern, dtype=np.float64).sum() for pattern in diffraction])


def photon_noise(diffraction: np.ndarray, photon_scale: float) -> float:
    """Return the share of sum A^2 that photon noise alone makes, of amplitudes (M, N, N) with counts (photon_scale A)^2.

    The variance of a root of counts is 1/4 at most (Anscombe, Biometrika 35, 246, 1948), and no more than the counts.
    """
    noise = total = 0.0
    for pattern in diffraction:
        counts = np.square(photon_scale * pattern, dtype=np.float64)
        noise += float(np.minimum(counts, 0.25).sum())
        total += float(counts.sum())
    return noise / total if total > 0 else math.nan


def mean_root(root: np.ndarray) -> np.ndarray:
    """Return E[sqrt(n)] of Poisson counts n whose mean is root^2, for roots >= 0 of any shape, float64.

    The mean root of few counts is below the root of the mean: at one count 0.77. From a table, and from 16 counts on by the
    series sqrt(m) (1 - 1/(8 m) - 7/(128 m^2)) (Anscombe, Biometrika 35, 246, 1948).
    """
    roots, means = _mean_roots()
    few = root < roots[-1]
    inverse = 1 / np.square(np.maximum(root, roots[-1]), dtype=np.float64)
    result = np.array(root * (1 - inverse * (1 / 8 + inverse * (7 / 128))))
    result[few] = np.interp(root[few], roots, means)
    return result


def noise_of(counts: np.ndarray) -> np.ndarray:
    """Return the variance of the root of Poisson counts whose mean is `counts`, of any shape, float64: 1/4 of many, less of few."""
    return np.asarray(counts - np.square(mean_root(np.sqrt(counts))))


@cache
def _mean_roots() -> tuple[np.ndarray, np.ndarray]:
    """Return roots of mean counts up to 4, and E[sqrt(n)] there."""
    counts, roots = np.arange(120), np.linspace(0, 4, 2001)
    mean = roots[:, None] ** 2
    chances = np.exp(special.xlogy(counts, mean) - mean - special.gammaln(counts + 1))
    return roots, chances @ np.sqrt(counts)


def mean_energy(diffraction: np.ndarray, rows: np.ndarray | None = None) -> float:
    """Return the mean of sum_xy X^2 over the patterns `rows` (repeats count), default all.

    `diffraction` is (M, N, N), `rows` any shape of int64. Raises ScaleError where there is no pattern.
    """
    energies = pattern_energies(diffraction)
    energies = energies if rows is None else energies[rows]
    if len(energies) == 0:
        raise ScaleError("cannot take the mean energy of no patterns")
    return float(np.mean(energies))


def seen_share(probe: np.ndarray, bad: np.ndarray | None) -> float:
    """Return the share of a probe's far field that falls on good pixels: 1 without bad ones, and never below `LEAST_SEEN`.

    `probe` is (P, N, N) complex; `bad` (N, N) bool, zero frequency at [N/2, N/2].

    An object scatters light out of the probe's own far field, so this is an estimate, good enough for a scale to
    begin with.
    """
    if bad is None:
        return 1.0
    light = forward.probe_amplitude(probe) ** 2
    return max(LEAST_SEEN, float(light[~bad].sum() / light.sum()))


def statistical_scale(energy: float, N: int) -> float:
    """Return g = (N/2) / sqrt(energy), which gives patterns of mean `energy` the mean energy (N/2)^2.

    Raises ScaleError for an energy that is not finite and above 0.
    """
    if not (math.isfinite(energy) and energy > 0):
        raise ScaleError(f"mean pattern energy must be finite and > 0; got {energy!r}")
    return (N / 2) / math.sqrt(energy)


def closed_form(nphotons: float, N: int) -> float:
    """Return the photon scale s = sqrt(nphotons) / (N/2) of amplitudes whose mean energy is (N/2)^2.

    Raises ScaleError for a number of photons that is not above 0.

    Right for the array that the statistical scale was applied to, and for no other.
    """
    if not (math.isfinite(nphotons) and nphotons > 0):
        raise ScaleError(f"nphotons must be finite and > 0; got {nphotons!r}")
    return math.sqrt(nphotons) / (N / 2)


def measure(
    diffraction: np.ndarray,
    probe: np.ndarray,
    *,
    photon_scale: float,
    nphotons: float | None = None,
    rows: np.ndarray | None = None,
    bad: np.ndarray | None = None,
) -> Scales:
    """Measure all scales on the training patterns.

    Parameters
    ----------
    diffraction : (M, N, N)
        Amplitudes as they stand in the scan.
    probe : (P, N, N) complex
    photon_scale : float
        Counts are ``(photon_scale * diffraction)**2``.
    nphotons : float, optional
        Mean counts per pattern, to be believed instead of `photon_scale`.
    rows : (m,) int, optional
        The patterns to measure, each once for every group that it is a member of; default all.
    bad : (N, N) bool, optional
        Pixels that see nothing; the light that falls there is added as :func:`seen_share` estimates it.
    """
    N = diffraction.shape[-1]
    energy = mean_energy(diffraction, rows) / seen_share(probe, bad)
    g = statistical_scale(energy, N)
    fed_energy = g**2 * energy
    s = photon_scale / g if nphotons is None else closed_form(nphotons, N)
    return Scales(
        statistical=g,
        photon_scale=s,
        source="recorded" if nphotons is None else "closed_form",
        nphotons=s**2 * fed_energy,
        object_unit=math.sqrt(fed_energy / float(np.sum(np.abs(probe.astype(np.complex128)) ** 2))),
    )


def least_squares_factor(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Return the real c that minimises sum (c * prediction - truth)^2; NaN where the prediction is zero.

    Both are of one shape, (K,) or any other.
    """
    denominator = float(np.sum(np.square(prediction, dtype=np.float64)))
    if denominator == 0:
        return math.nan
    return float(np.sum(prediction.astype(np.float64) * truth)) / denominator
