"""Is the beam wider on the sample than far-field patterns of this size can tell: then they are shadow images, which move with it.

Under a curved beam the pattern of a far field is a shadow image of what is lit, so that a step of the scan moves it by a step that
is smaller or larger. The light on the detector, over that factor, is the beam's width on the sample; a pattern of N pixels tells
at most N object pixels from each other (sampling: wavelength x distance / detector pixel = N object pixels). A wider beam is seen
in the near field (its Fresnel number is large), or needs smaller detector pixels; no far-field code reconstructs it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage
from scipy.spatial import cKDTree

from ptycho.base import units
from ptycho.base.errors import DataContractError
from ptycho.scan import optics as physical
from ptycho.scan.raw import RawData

FEWEST, PAIRS = 12, 64
"""Patterns of a scan, and neighbours that are compared."""
LIT = 0.05
"""Share of the brightest pixel of the mean pattern from which on a pixel is one of the beam's."""
FOLLOW, EXPLAINED, NEAR_PX = 0.75, 0.8, 1.5
"""Share of the shifts that lie within so many px of what a linear map of the steps says, and of their squares that it explains."""
TOO_WIDE = 2.0
"""Widths of what a pattern can tell, from which on a beam is refused."""


@dataclass(frozen=True)
class Shadow:
    """How patterns move with the scan.

    Attributes
    ----------
    factor : float
        Detector pixels by which a pattern moves, for each pixel that the beam moves on the object; 0 where it does not.
    width : float
        Of the beam on the sample, over that which patterns of this size can tell; 0 where patterns do not move.
    """

    factor: float
    width: float

    @property
    def too_wide(self) -> bool:
        """Whether no far-field code can reconstruct the scan."""
        return self.width > TOO_WIDE


def look(raw: RawData) -> Shadow:
    """Measure how far the patterns of neighbours lie apart on the detector, for how far the beam moved on the sample."""
    if len(raw) < FEWEST:
        return Shadow(0.0, 0.0)
    mean = raw.diff3d.mean(axis=0, dtype=np.float64)
    lit = mean > LIT * ndimage.median_filter(mean, 3).max()
    soft = ndimage.gaussian_filter(lit.astype(np.float64), 2)
    near = cKDTree(raw.positions).query(raw.positions, k=2)[1][:, 1]
    rows = np.unique(np.linspace(0, len(raw) - 1, min(PAIRS, len(raw))).astype(int))
    steps = raw.positions[rows] - raw.positions[near[rows]]
    shifts = np.array([_shift(raw, row, near[row], mean, soft) for row in rows], np.float64)
    linear, *_ = np.linalg.lstsq(steps, shifts, rcond=None)
    left = shifts - steps @ linear
    follows = np.mean(np.hypot(*left.T) < NEAR_PX)
    explained = 1 - np.square(left).sum() / max(np.square(shifts).sum(), 1e-12)
    factor = float(np.sqrt(abs(np.linalg.det(linear))))
    if follows < FOLLOW or explained < EXPLAINED or factor == 0:
        return Shadow(0.0, 0.0)
    return Shadow(factor, float(np.sqrt(4 * lit.sum() / np.pi)) / factor / raw.N)


def check(raw: RawData) -> None:
    """Raise DataContractError, with the Fresnel number where the optics are known, for a scan that is seen in the near field."""
    shadow = look(raw)
    if not shadow.too_wide:
        return
    optics = physical.of_metadata(raw.metadata)
    words = f"{shadow.width:.1f} times"
    if optics.window is not None:
        width = shadow.width * optics.window
        number = optics.fresnel_number(width)
        fresnel = "" if number is None else f", Fresnel number {number:.2g}"
        words = f"{units.written(width, 'm')} wide{fresnel}, {words}"
    raise DataContractError(
        f"the patterns are shadow images: they move by {shadow.factor:.2g} detector px for each px of the scan, so that the beam "
        f"on the sample is {words} what far-field patterns of {raw.N} px can tell; this is a scan of the near field, which takes a "
        "program for that, or a detector farther away"
    )


def _shift(raw: RawData, row: int, other: int, mean: np.ndarray, soft: np.ndarray) -> tuple[int, int]:
    """Return [x, y] px by which what two patterns have beside the mean lies apart, weighted by where there is light."""
    N = raw.N
    one, two = (_detail(raw.diff3d[which], mean, soft) for which in (row, other))
    cross = fft.ifft2(fft.fft2(one) * np.conj(fft.fft2(two))).real
    y, x = (int(at) for at in np.unravel_index(np.argmax(cross), cross.shape))
    return (x + N // 2) % N - N // 2, (y + N // 2) % N - N // 2


def _detail(frame: np.ndarray, mean: np.ndarray, soft: np.ndarray) -> np.ndarray:
    """Return a pattern over the mean one, less 1 and what is smooth."""
    detail = soft * (frame / np.maximum(mean, 1e-30 + LIT * mean.max()) - 1)
    return np.asarray(detail - ndimage.gaussian_filter(detail, len(mean) / 8))
