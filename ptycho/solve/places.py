"""Where patterns lie on the solver's canvas: cutting patches out of it and adding to it.

The same bilinear rule as :func:`ptycho.physics.coords.extract_patches`, by compiled loops (:mod:`ptycho.solve.kernels`): a window
costs a tenth of its Fourier transform.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ptycho.base.errors import CanvasError
from ptycho.physics import coords

MARGIN = 16
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
    def corners(self) -> np.ndarray:
        """Canvas pixel (M, 2) [x, y] of the [0, 0] of each patch, below and left of its place; int64.

        Raises CanvasError where a patch would reach beyond the canvas: the compiled loops would write over other memory.
        """
        first = np.floor(self._top_left)
        # Asked this way round, a position that is not a number is outside, too.
        outside = np.flatnonzero(~((first >= 0) & (first <= self._last_corner)).all(axis=1))
        if len(outside):
            row = int(outside[0])
            raise CanvasError(
                f"{len(outside)} of {len(first)} patches reach beyond the solver's canvas; pattern {row} at "
                f"{self.positions[row].tolist()} px would begin at {first[row].tolist()}, where [0, 0] to "
                f"{self._last_corner.tolist()} are possible: give finite positions, and a canvas made for them"
            )
        return np.asarray(first.astype(np.int64))

    @cached_property
    def fractions(self) -> np.ndarray:
        """How far (M, 2) [x, y] px beyond those the places lie, 0 <= f < 1, float32."""
        return np.asarray(np.minimum(self._top_left - np.floor(self._top_left), 1 - 1e-6).astype(np.float32))

    def _check(self, canvas: np.ndarray) -> None:
        """Raise CanvasError for a canvas that is not the one of these places: the compiled loops would go beyond it."""
        sound = canvas.dtype in (np.float32, np.complex64) and canvas.flags.c_contiguous
        if canvas.shape != self.shape or not sound:
            raise CanvasError(
                f"a canvas of shape {canvas.shape}, {canvas.dtype}, was given where the places are on one of {self.shape}, float32 "
                "or complex64, in rows; give the canvas that was made for them"
            )

    @property
    def _last_corner(self) -> np.ndarray:
        """The last pixel [x, y] at which a patch, and the pixel after it that a fraction takes from, lie in the canvas."""
        return np.array(self.shape)[::-1] - self.size - 1

    @property
    def _top_left(self) -> np.ndarray:
        return np.asarray(self.positions - self.size // 2 - np.array(self.origin_xy))

    def cut(self, canvas: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the patches (b, N, N) of the canvas (H, W), float32 or complex64, at the positions of `rows`.

        Raises CanvasError for another canvas than theirs, before any memory is touched.
        """
        from ptycho.solve import kernels

        self._check(canvas)
        patches = np.empty((len(rows), self.size, self.size), canvas.dtype)
        parts = _parts(canvas)
        kernels.cut(_floats(canvas), self.corners[rows], self.fractions[rows], parts, _floats(patches))
        return patches

    def add(
        self,
        canvas: np.ndarray,
        patches: np.ndarray,
        rows: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> None:
        """Add patches (b, N, N), or one (1, N, N) everywhere, to the canvas (H, W), in place: the adjoint of :meth:`cut`.

        Both are float32 or complex64. With `weights` (H, W) float32 what arrives at a pixel is divided by the weight there.

        Raises CanvasError for another canvas, weights or patches than theirs, before any memory is touched.
        """
        from ptycho.solve import kernels

        self._check(canvas)
        if patches.shape[1:] != (self.size, self.size) or len(patches) not in (1, len(rows)):
            raise CanvasError(
                f"patches of shape {patches.shape} cannot be added at {len(rows)} places of {self.size} px a side"
            )
        added = _floats(np.ascontiguousarray(patches, canvas.dtype))
        beside = np.empty((0, 0), np.float32) if weights is None else weights
        if weights is not None:
            self._check(weights)
        where = self.corners[rows], self.fractions[rows]
        kernels.add(_floats(canvas), added, *where, _parts(canvas), beside)

    def fill(self, canvas: np.ndarray, value: float, rows: np.ndarray) -> None:
        """Set the pixels that the patches of `rows` touch, in place.

        `canvas` is (H, W), `rows` (b,) int64.
        """
        for x, y in self.corners[rows].tolist():
            canvas[y : y + self.size + 1, x : x + self.size + 1] = value

    def moved(self, steps: np.ndarray) -> Places:
        """Return the places `steps` (M, 2) px further on; what would leave the canvas stays at its edge."""
        positions = np.clip(self.positions + steps, *self._bounds)
        return Places(positions, self.size, self.origin_xy, self.shape)

    def holds(self, positions: np.ndarray) -> bool:
        """Whether patches at positions (M, 2) px lie on the canvas, all of them."""
        lowest, highest = self._bounds
        return bool(((positions >= lowest) & (positions <= highest)).all())

    @property
    def at_edge(self) -> np.ndarray:
        """Which positions (M,) bool lie at the edge of what the canvas holds, and may have wanted to move on."""
        lowest, highest = self._bounds
        return np.asarray(((self.positions <= lowest) | (self.positions >= highest)).any(axis=1))

    @property
    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest [x, y] of a position, px."""
        lowest = np.array(self.origin_xy) + self.size // 2
        return lowest, lowest + self._last_corner


def _parts(array: np.ndarray) -> int:
    return 2 if np.iscomplexobj(array) else 1


def _floats(array: np.ndarray) -> np.ndarray:
    """Look at an array as float32, real and imaginary parts in turn."""
    return array.view(np.float32)


def places_of(positions: np.ndarray, size: int) -> Places:
    """Return the places of positions (M, 2) [x, y] px on a canvas that holds them all, with a margin."""
    (x, y), (height, width) = coords.canvas_frame(positions, size)
    shape = (height + 2 * MARGIN, width + 2 * MARGIN)
    return Places(np.asarray(positions, np.float64), size, (x - MARGIN, y - MARGIN), shape)
