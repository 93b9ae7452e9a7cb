"""Every second pattern solved by itself, and the others: what both halves of a scan agree on is no noise.

The Fourier ring correlation of two independent reconstructions (van Heel & Schatz, J. Struct. Biol. 151, 250, 2005).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.artifacts.stage import Execution, Table
from ptycho.base import archive, atomic, layout, units
from ptycho.evaluation import frames, metrics
from ptycho.physics.stitching import Reconstruction
from ptycho.scan.raw import RawData
from ptycho.settings.params import Params
from ptycho.settings.sections import SolverConfig
from ptycho.solve import engines, explain, halves
from ptycho.solve.explain import Explained
from ptycho.solve.solution import Solution

FILE = layout.HALVES
SETTINGS = (
    "engine",
    "passes",
    "random_passes",
    "batch_patterns",
    "damping",
    "momentum",
    "likelihood",
    "smoothness",
)
"""Of the solver, that a half is solved with: probe and positions are known by then."""
ARRAYS = ("first", "second", "mask", "frequencies", "correlation")
LEFT_OUT = "left_out_"
"""Before the names of what is known of left-out patterns, in the file."""
PIXEL = "pixel_m"
LEVELS = {"1/2": 0.5, "1/7": 1 / 7}
"""Of the correlation at which detail is said to end."""


@dataclass(frozen=True)
class Halves:
    """Two objects on one canvas, and how they correlate.

    Attributes
    ----------
    first, second : (H, W) complex64
        Of the even and of the odd patterns, where both reach.
    mask : (H, W) bool
        Pixels that both cover.
    frequencies, correlation : (K,) float64
        Cycles/px, and the Fourier ring correlation.
    left_out : Explained
        How well each half's object predicts the patterns of the other.
    pixel_m : float or None
        Side of a pixel of the object, m; None where it is not known.
    """

    first: np.ndarray
    second: np.ndarray
    mask: np.ndarray
    frequencies: np.ndarray
    correlation: np.ndarray
    left_out: Explained = explain.NOTHING
    pixel_m: float | None = None

    def detail_px(self, level: float | np.ndarray) -> float:
        """Return the finest detail, half a period in px, at which both agree to `level`, a number or (K,) float64.

        NaN where that is undefined.
        """
        return 0.5 / metrics.cutoff(self.frequencies, self.correlation, level)


KIND = Halves


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Halves:
    """Solve both halves from flat, under the probe and at the positions that the whole scan told.

    Raises DataContractError for a scan of one pattern.
    """
    raw: RawData = inputs["inspect"].scan
    whole: Solution = inputs["solve"]
    smoothed: Mapping[str, Any] = inputs["choose"].smoothed
    scan = raw.without_truth().at(whole.positions).derived(probe=whole.probe)
    settings = SolverConfig(**{**{name: getattr(params.solver, name) for name in SETTINGS}, **smoothed})

    def by(half: RawData, number: int) -> Solution:
        return engines.solve(half, settings, seed=params.seed + number, listener=execution.listener)

    first, second = solutions = halves.solve(scan, by)
    result = compared(first.reconstruction, second.reconstruction, params.evaluation.coverage_threshold)
    return replace(result, left_out=halves.left_out(scan, solutions), pixel_m=whole.reconstruction.pixel_m)


def compared(first: Reconstruction, second: Reconstruction, threshold: float) -> Halves:
    """Correlate two reconstructions where both are covered; where that is nowhere, nothing correlates."""
    x, y = (ours - theirs for ours, theirs in zip(first.origin_xy, second.origin_xy, strict=True))
    pair = frames.compare_frames(replace(first, origin_xy=(x, y)), second.object, threshold)
    (left, top), (height, width) = pair.origin_xy, pair.mask.shape
    both = pair.mask & (second.coverage[top : top + height, left : left + width] > threshold)
    both &= np.isfinite(pair.prediction) & np.isfinite(pair.truth)
    frequencies, correlation = np.empty((2, 0))
    if both.any():
        frequencies, correlation = metrics.fourier_ring_correlation(replace(pair, mask=both))
    return Halves(pair.prediction, pair.truth, both, frequencies, correlation)


def versions(params: Params) -> dict[str, str]:
    """Return the versions of what the engine computes with."""
    return engines.versions(params.solver)


def telemetry(result: Halves) -> dict[str, float]:
    """Return the finest detail that both halves agree on, half a period in px."""
    numbers = {f"detail_px at {name}": result.detail_px(level) for name, level in LEVELS.items()}
    left = result.left_out
    nulls = {"left_out": left.error, "photon_noise": left.noise, "mean_pattern": left.mean_pattern}
    return {**numbers, "compared_px": int(result.mask.sum()), **nulls, "unexplained": left.unexplained}


def invariants(result: Halves) -> Iterator[tuple[str, bool]]:
    """Check that a correlation is one."""
    values = result.correlation[np.isfinite(result.correlation)]
    yield "a correlation must lie within -1 and 1", bool((np.abs(values) < 1 + 1e-6).all())


def tables(result: Halves) -> Iterator[Table]:
    """Show where the correlation ends, and its course."""
    left = result.left_out

    def detail(level: float | np.ndarray) -> str | float:
        pixels = result.detail_px(level)
        return units.length(pixels, result.pixel_m) if np.isfinite(pixels) else pixels

    rows = (
        *((f"finest detail where FRC = {n}", detail(level)) for n, level in LEVELS.items()),
        ("finest detail where FRC holds half a bit", detail(metrics.half_bit(result.mask))),
        ("data error of the patterns of the other half", left.error),
        ("of which photon noise makes", left.noise),
        ("the mean pattern leaves", left.mean_pattern),
        ("unexplained share of what positions tell", left.unexplained),
    )
    yield Table("Two halves of the patterns, solved apart", ("", ""), rows, headline=True)


def save(result: Halves, folder: Path, about: Mapping[str, Any]) -> None:
    """Write both objects, their correlation and what left-out patterns say into one file."""
    arrays = {name: getattr(result, name) for name in ARRAYS}
    left = {LEFT_OUT + part.name: getattr(result.left_out, part.name) for part in fields(Explained)}
    pixel = {} if result.pixel_m is None else {PIXEL: np.array(result.pixel_m)}
    atomic.write_arrays(folder / FILE, {**arrays, **left, **pixel})


def load(folder: Path, inputs: Mapping[str, Any]) -> Halves:
    """Read them back."""
    arrays = archive.read_arrays(folder / FILE)
    left = Explained(*(arrays[LEFT_OUT + part.name] for part in fields(Explained)))
    pixel = float(arrays[PIXEL]) if PIXEL in arrays else None
    return Halves(**{name: arrays[name] for name in ARRAYS}, left_out=left, pixel_m=pixel)
