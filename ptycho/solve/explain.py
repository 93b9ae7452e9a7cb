"""How well an object explains the patterns of a scan: beside what photon noise leaves, and what the mean pattern leaves.

A data error by itself says little: where the object hardly scatters, the mean of all patterns, which knows no position,
leaves 0.006, and where photons are few the truth itself leaves 0.2. What counts is the place between the two: the share
of what positions can explain that is left unexplained, 0 for the truth and 1 for the mean pattern.

Roots of few counts have a mean below the root of the mean, so that the truth would lose to the mean pattern. Errors
here are those of the expected root (:func:`ptycho.physics.scaling.mean_root`): of an object that predicts counts, as the truth and
one of Poisson's likelihood do, or of one that predicts the roots themselves, as one of the likelihood of amplitudes does.
The better of the two counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from ptycho.base import machine
from ptycho.physics import coords, forward, scaling
from ptycho.physics.stitching import Reconstruction
from ptycho.scan import counting
from ptycho.scan.raw import RawData

LIT, SEEN = 0.05, 0.9
"""Coverage (in units of one probe's peak) from which on an object is known, and the share of a pattern's light that must fall
there."""
PART = 16
"""Patterns that are compared at a time."""
BEYOND_NOISE, UNSURE = 5.0, 0.01
"""Standard errors by which the patterns must differ from their mean by more than photon noise, and share of the noise that is not
known; else nothing can be told."""


@dataclass(frozen=True)
class Explained:
    """How well each of some patterns is explained.

    Attributes
    ----------
    rows : (m,) int64
        Of the scan: those patterns of whose light enough falls where the object is known.
    errors : (m,) float64
        Sum over the good pixels of (E[sqrt n] - sqrt n)^2, n the counts, as the object predicts them.
    means : (m,) float64
        The same as the mean of all patterns predicts them: the null.
    energies : (m,) float64
        Counts.
    noises : (m,) float64
        What photon noise leaves of the error of a perfect prediction.
    """

    rows: np.ndarray
    errors: np.ndarray
    means: np.ndarray
    energies: np.ndarray
    noises: np.ndarray

    def __len__(self) -> int:
        return len(self.errors)

    @property
    def error(self) -> float:
        """Error over the energy; NaN without patterns."""
        return self._share(self.errors)

    @property
    def mean_pattern(self) -> float:
        """The error that the mean pattern leaves."""
        return self._share(self.means)

    @property
    def noise(self) -> float:
        """The error that photon noise leaves."""
        return self._share(self.noises)

    @property
    def unexplained(self) -> float:
        """The place of the error between noise (0) and mean pattern (1); NaN where these are not apart."""
        return (self.error - self.noise) / (self.mean_pattern - self.noise) if self.tells else math.nan

    def worse_by(self, counts: float) -> Explained:
        """Return it with so many counts more of error in each pattern."""
        return replace(self, errors=self.errors + counts)

    @property
    def tells(self) -> bool:
        """Whether the patterns differ from their mean by more than photon noise makes them.

        The squared difference of a root of counts from its mean, 1/4, has the variance 1/8: half of itself.
        """
        noise = float(self.noises.sum())
        chance = max(BEYOND_NOISE * math.sqrt(noise / 2), UNSURE * noise)
        return len(self) > 0 and float(self.means.sum()) - noise > chance

    def better_by(self, other: Explained) -> float:
        """Return by how many standard errors the error of the same patterns is below that of another prediction."""
        _, ours, theirs = np.intersect1d(self.rows, other.rows, assume_unique=True, return_indices=True)
        return standard_errors(other.errors[theirs] - self.errors[ours])

    def _share(self, parts: np.ndarray) -> float:
        energy = float(self.energies.sum())
        return float(parts.sum()) / energy if energy > 0 else math.nan


NOTHING = Explained(*(np.empty(0, kind) for kind in (np.int64, *(np.float64,) * 4)))
"""Of no pattern."""


def standard_errors(values: np.ndarray) -> float:
    """Return the mean of values (m,) in units of its standard error; 0 for fewer than three."""
    if len(values) < 3:
        return 0.0
    mean, spread = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
    if spread > 0:
        return mean / spread
    return math.copysign(math.inf, mean) if mean else 0.0


def together(parts: list[Explained]) -> Explained:
    """Return all patterns of several parts of a scan."""
    return Explained(
        *(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Explained))
    )


def mean_of(raw: RawData) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over a scan in photons of the root of the counts, and of the counts, both (N, N) float64."""
    root, counts = np.zeros((2, raw.N, raw.N))
    for pattern in raw.diff3d:
        values = raw.photon_scale * pattern.astype(np.float64)
        root += values
        counts += values**2
    return root / len(raw), counts / len(raw)


def explained(
    reconstruction: Reconstruction,
    raw: RawData,
    probe: np.ndarray,
    mean: tuple[np.ndarray, np.ndarray] | None = None,
    rows: np.ndarray | None = None,
) -> Explained:
    """Compare a scan's patterns with those that an object predicts, where it is known.

    Parameters
    ----------
    reconstruction : Reconstruction
    raw : RawData
        Patterns of whose light less than `SEEN` falls where the object is known are left out.
    probe : (P, N, N) complex
    mean : pair of (N, N) float64, optional
        Of the whole scan, see :func:`mean_of`; by default of this one.
    rows : (M,) int64, optional
        What the patterns are called; by default they are numbered.
    """
    raw = counting.counted(raw)
    root, counts = mean_of(raw) if mean is None else mean
    good = raw.good_pixels
    noise = float(scaling.noise_of(counts)[good].sum())
    light = np.sum(np.abs(probe) ** 2, axis=0)
    light = light / light.sum()
    known = (reconstruction.coverage > LIT).astype(np.float32)
    where = reconstruction.to_canvas(raw.positions)
    names = np.arange(len(raw)) if rows is None else rows

    def compared(part: slice) -> tuple[np.ndarray, ...]:
        seen = np.einsum("byx,yx->b", coords.extract_patches(known, where[part], raw.N), light) > SEEN
        measured = raw.photon_scale * raw.diff3d[part][seen].astype(np.float64)
        # A thread knows nothing of what its caller ignores; what is no number comes out as none.
        with np.errstate(over="ignore", invalid="ignore"):
            patches = coords.extract_patches(reconstruction.object, where[part], raw.N)
            predicted = forward.far_field_amplitude(patches, probe)[seen]
            ours = good * scaling.mean_root(raw.photon_scale * predicted.astype(np.float64))
            errors = _squares(ours - measured)
        return names[part][seen], errors, _squares(root - measured), _squares(measured)

    # A few patterns at a time stay in the processor's cache, and threads take them side by side.
    parts = [slice(first, first + PART) for first in range(0, len(raw), PART)]
    columns = zip(*machine.side_by_side(compared, parts), strict=True)
    seen_rows, errors, means, energies = (np.concatenate(column) for column in columns)
    return Explained(seen_rows, errors, means, energies, np.full(len(errors), noise))


def _squares(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.sum(np.square(values), axis=(1, 2)))
