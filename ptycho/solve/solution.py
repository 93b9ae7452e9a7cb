"""What a solution is, and what any engine starts from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ptycho.physics import scaling, stitching
from ptycho.physics.stitching import Reconstruction
from ptycho.scan.raw import RawData
from ptycho.settings.params import Params
from ptycho.settings.sections import SolverConfig
from ptycho.solve import modes, places

COVERED = 0.01
"""Coverage, in units of one probe's peak, from which on an object is worth starting from."""


@dataclass(frozen=True)
class Solution:
    """What was found.

    Attributes
    ----------
    reconstruction : Reconstruction
        The object in the frame of the scan, 0 where no light fell.
    probe : (P, N, N) complex64
        Its incoherent modes, orthogonal, the strongest first; of the power of the probe that was given.
    positions : (M, 2) float64
        [x, y] px.
    errors : (passes,) float64
        sum (A_pred - A)^2 / sum A^2 met in each pass: of patterns before the step that they lead to.
    """

    reconstruction: Reconstruction
    probe: np.ndarray
    positions: np.ndarray
    errors: np.ndarray

    def moved_px(self, given: np.ndarray) -> float:
        """Return how far its positions lie from those `given` (M, 2), px, root mean square."""
        return float(np.sqrt(np.square(self.positions - given).sum(axis=1).mean()))

    @property
    def at_edge(self) -> np.ndarray:
        """Which positions (M,) bool lie as far as the solver lets them move."""
        where = self.reconstruction
        lie = places.Places(self.positions, self.probe.shape[-1], where.origin_xy, where.object.shape)
        return lie.at_edge


@dataclass(frozen=True)
class Beginning:
    """What any engine starts from: the probe, its power, the energy of all patterns, where these lie, and the object."""

    probe: np.ndarray
    power: float
    energy: float
    places: places.Places
    canvas: np.ndarray


def beginning(raw: RawData, config: SolverConfig | Params, start: Reconstruction | None) -> Beginning:
    """Return what a solution starts from: a flat object that is as bright as the patterns say, with `start` laid into it."""
    energy = sum(float(np.sum(np.square(a, dtype=np.float64))) for a in raw.diff3d)
    probe = raw.probe if config.modes is None else modes.with_modes(raw.probe, config.modes)
    power = float(np.sum(np.abs(probe) ** 2, dtype=np.float64))
    where = places.places_of(raw.positions, raw.N)
    seen = scaling.seen_share(raw.probe, raw.bad_pixels)
    canvas = np.full(where.shape, math.sqrt(energy / seen / len(raw) / power), np.complex64)
    if start is not None:
        put(start, canvas, where.origin_xy)
    return Beginning(probe, power, energy, where, canvas)


def solution_of(
    obj: np.ndarray, probe: np.ndarray, where: places.Places, errors: Sequence[float]
) -> Solution:
    """Return what was found on a canvas (H, W), 0 where no light fell."""
    coverage = stitching.coverage_map(where.positions, probe, where.origin_xy, where.shape)
    result = np.where(coverage > 0, obj, 0).astype(np.complex64)
    return Solution(
        reconstruction=Reconstruction(
            object=result,
            coverage=coverage,
            origin_xy=where.origin_xy,
            kept_fraction=1.0,
            n_patches=len(where.positions),
            n_nonfinite=int((~np.isfinite(result)).sum()),
        ),
        probe=np.asarray(probe, np.complex64),
        positions=where.positions,
        errors=np.array(errors),
    )


def put(start: Reconstruction, canvas: np.ndarray, origin_xy: tuple[int, int]) -> None:
    """Write an object into a canvas, in place, where it was covered, is a number and lies on it.

    `canvas` is (H, W) complex64.
    """
    left, top = (ours - theirs for ours, theirs in zip(start.origin_xy, origin_xy, strict=True))
    height, width = canvas.shape
    rows = _within(top, start.object.shape[0], height)
    columns = _within(left, start.object.shape[1], width)
    there = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    given = start.object[there]
    covered = (start.coverage[there] > COVERED) & np.isfinite(given)
    canvas[rows, columns][covered] = given[covered]


def _within(first: int, length: int, size: int) -> slice:
    """Return the part of ``first : first + length`` that lies in ``0 : size``, which may be none of it."""
    begin = min(max(first, 0), size)
    return slice(begin, max(min(first + length, size), begin))
