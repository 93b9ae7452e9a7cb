"""Where patterns lie on the solver's canvas: cutting patches out of it and adding to it, one pattern at a time.

The same bilinear rule as :func:`ptycho.coords.extract_patches`; loops over patterns, since a window of a canvas costs a
tenth of its Fourier transform and no memory, while gathering by indices costs more than the transform.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ptycho import coords

MARGIN = 8
"""Pixels around the scan that patterns whose positions are refined may move into."""


@dataclass(frozen=True)
class Places:
    """Positions of patterns on a canvas.

    Attributes
    ----------
    positions : (M, 2) float64
        [x, y] patch centres, object frame, px.
    size : int
        Side of a patch, px.
    origin_xy : (int, int)
        Object-frame pixel of the canvas's [0, 0].
    shape : (H, W)
        Of the canvas, px.
    """

    positions: np.ndarray
    size: int
    origin_xy: tuple[int, int]
    shape: tuple[int, int]

    @cached_property
    def corners(self) -> list[list[int]]:
        """Canvas pixel [x, y] of the [0, 0] of each patch, below and left of its place."""
        return np.floor(self._top_left).astype(int).tolist()

    @cached_property
    def fractions(self) -> np.ndarray:
        """How far (M, 2) [x, y] px beyond those the places lie, 0 <= f < 1, float32."""
        return np.minimum(self._top_left - np.floor(self._top_left), 1 - 1e-6).astype(np.float32)

    @property
    def _top_left(self) -> np.ndarray:
        return np.asarray(self.positions - self.size // 2 - np.array(self.origin_xy))

    def cut(self, canvas: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the patches (b, N, N) of the canvas (H, W) at the positions of `rows`."""
        size = self.size
        patches = np.empty((len(rows), size, size), canvas.dtype)
        for patch, row in zip(patches, rows.tolist(), strict=True):
            x, y = self.corners[row]
            fx, fy = self.fractions[row]
            if fx == fy == 0:
                patch[:] = canvas[y : y + size, x : x + size]
                continue
            window = canvas[y : y + size + 1, x : x + size + 1]
            along_x = window[:, :-1] * (1 - fx)
            along_x += window[:, 1:] * fx
            np.multiply(along_x[:-1], 1 - fy, out=patch)
            patch += along_x[1:] * fy
        return patches

    def add(
        self, canvas: np.ndarray, patches: np.ndarray, rows: np.ndarray, weights: np.ndarray | None = None
    ) -> None:
        """Add patches (b, N, N) to the canvas (H, W), in place: the adjoint of :meth:`cut`.

        With `weights` (H, W) what arrives at a pixel is divided by the weight there.
        """
        for patch, row in zip(patches, rows.tolist(), strict=True):
            x, y = self.corners[row]
            spread = _spread(patch, *self.fractions[row])
            here = slice(y, y + len(spread)), slice(x, x + len(spread))
            if weights is not None:
                spread = spread / weights[here]
            canvas[here] += spread

    def fill(self, canvas: np.ndarray, value: float, rows: np.ndarray) -> None:
        """Set the pixels that the patches of `rows` touch, in place."""
        for row in rows.tolist():
            x, y = self.corners[row]
            canvas[y : y + self.size + 1, x : x + self.size + 1] = value

    def moved(self, steps: np.ndarray) -> Places:
        """Return the places `steps` (M, 2) px further on; what would leave the canvas stays at its edge."""
        lowest = np.array(self.origin_xy) + self.size // 2
        highest = lowest + np.array(self.shape)[::-1] - self.size - 1
        return Places(np.clip(self.positions + steps, lowest, highest), self.size, self.origin_xy, self.shape)


def _spread(patch: np.ndarray, fx: np.float32, fy: np.float32) -> np.ndarray:
    """Share the values of a patch (N, N) between the pixels around their places: (N + 1, N + 1), or the patch itself."""
    if fx == fy == 0:
        return patch
    size = len(patch)
    right = patch * fx
    left = patch - right
    spread = np.zeros((size + 1, size + 1), patch.dtype)
    spread[:-1, :-1] = left * (1 - fy)
    spread[:-1, 1:] += right * (1 - fy)
    spread[1:, :-1] += left * fy
    spread[1:, 1:] += right * fy
    return spread


def places_of(positions: np.ndarray, size: int) -> Places:
    """Return the places of positions (M, 2) [x, y] px on a canvas that holds them all, with a margin."""
    (x, y), (height, width) = coords.canvas_frame(positions, size)
    shape = (height + 2 * MARGIN, width + 2 * MARGIN)
    return Places(np.asarray(positions, np.float64), size, (x - MARGIN, y - MARGIN), shape)
