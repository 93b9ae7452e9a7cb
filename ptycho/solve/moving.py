"""How positions move between the passes of the solver: towards where patterns explain more, and strays across the canvas.

Each pattern asks for a small step along the object's gradient. Steps add up with momentum; at first those of neighbours in the
order of the scan go together (a stage that drifts, or does not come back to its place, moves them together), and what all have
in common as an affine map goes faster than the rest. A pattern that lies so far off that its gradient tells nothing is a stray:
it explains far less than the others do, and is looked for elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import ndimage

from ptycho.solve import steps
from ptycho.solve.places import Places

GAIN, AFFINE_GAIN, KEPT = 1.0, 2.0, 0.7
"""Factors on the moves that a pass asks for, of single positions and of an affine map of all, and the share of the last move
that is made again: steps towards far-off places add up."""
COMMON = 3.0
"""Factor on what the moves of single positions have in common as an affine map: hardly any pattern tells it, and all do."""
LARGEST_STEP = 2.0
"""Pixels that a position may move in a pass."""
WINDOW, TOGETHER = 6.0, 0.3
"""Patterns in the order of the scan over which moves are averaged (standard deviation) in the first pass, and share of the passes
until none are."""
EVERY = 8
"""Passes after which strays are looked for."""
FAR, APART = 15, 3
"""Pixels to either side that a stray is looked for in, and between the places that are tried."""
STRAY, HALF = 4.0, 0.5
"""Robust standard deviations by which a stray's error lies above what is usual, and share of that which may be left elsewhere."""
MOST = 64
"""Strays that are looked for at a time, the worst first."""
PART = 64
"""Patterns whose errors are computed at a time."""

Across = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""How a function is mapped over its arguments: by threads."""


def velocity(
    before: np.ndarray, moves: np.ndarray, positions: np.ndarray, share: float, *, affine: bool
) -> np.ndarray:
    """Return by how much positions (M, 2) px move in a pass, their mean kept.

    Parameters
    ----------
    before : (M, 2) px
        By how much they moved in the last one.
    moves : (M, 2) px
        What their patterns ask for.
    positions : (M, 2) px
    share : float
        Of the passes in which they move, how many have gone.
    affine : bool
        All move together, as one affine map.
    """
    wanted = moves - moves.mean(axis=0)
    common = steps.affine(positions, wanted)
    if affine:
        result = KEPT * before + AFFINE_GAIN * common
        lengths = np.full(len(result), np.linalg.norm(result, axis=1).max())  # a map stays one
    else:
        window = WINDOW * (1 - share / TOGETHER)
        if window > 0:
            wanted = ndimage.gaussian_filter1d(wanted, window, axis=0, mode="nearest")
        result = KEPT * before + GAIN * (wanted + (COMMON - 1) * common)
        lengths = np.linalg.norm(result, axis=1)
    result = result * np.minimum(1, LARGEST_STEP / np.maximum(lengths, 1e-12))[:, None]
    return np.asarray(result - result.mean(axis=0))


def strays(
    places: Places, canvas: np.ndarray, probe: np.ndarray, measured: np.ndarray, across: Across
) -> dict[int, np.ndarray]:
    """Return where the patterns belong that explain far less than the others do where they lie: by row, [x, y] px.

    Parameters
    ----------
    places : Places
        Of all patterns.
    canvas : (H, W) complex64
    probe : (P, N, N) complex64
    measured : (M, N, N) float32
        Amplitudes, zero frequency at [0, 0]; below zero where none was measured.
    across : callable
        Maps a function over rows.
    """
    rows = np.arange(len(measured))
    shares = [rows[first : first + PART] for first in range(0, len(rows), PART)]
    parts = across(lambda part: steps.errors(places.cut(canvas, part), probe, measured[part]), shares)
    errors = np.concatenate(list(parts))
    usual = float(np.median(errors))
    excess = errors - usual
    far_off = np.flatnonzero(excess > STRAY * 1.4826 * float(np.median(np.abs(excess))))
    worst = far_off[np.argsort(-errors[far_off], kind="stable")][:MOST]
    side = np.arange(-FAR, FAR + 1, APART)
    around = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)

    def elsewhere(row: int) -> np.ndarray | None:
        tried = replace(places, positions=np.repeat(places.positions[[row]], len(around), axis=0)).moved(
            around
        )
        patches = tried.cut(canvas, np.arange(len(around)))
        there = steps.errors(patches, probe, measured[row][None])
        best = int(np.argmin(there))
        return tried.positions[best] if there[best] - usual < HALF * excess[row] else None

    better = zip(worst.tolist(), across(elsewhere, worst.tolist()), strict=True)
    return {row: place for row, place in better if place is not None}
