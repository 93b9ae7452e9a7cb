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
from ptycho.base import archive, atomic, layout
from ptycho.base.errors import DataContractError
from ptycho.evaluation import frames, metrics
from ptycho.physics.stitching import Reconstruction
from ptycho.scan.raw import RawData
from ptycho.settings.params import Params
from ptycho.settings.sections import SolverConfig
from ptycho.solve import engines
from ptycho.solve.solution import Solution

FILE = layout.HALVES
SETTINGS = ("engine", "passes", "random_passes", "batch_patterns", "damping", "momentum", "likelihood")
"""Of the solver, that a half is solved with: probe and positions are known by then."""
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
    """

    first: np.ndarray
    second: np.ndarray
    mask: np.ndarray
    frequencies: np.ndarray
    correlation: np.ndarray

    def detail_px(self, level: float) -> float:
        """Return the finest detail, half a period in px, at which both agree to `level`; NaN where that is undefined."""
        return 0.5 / metrics.cutoff(self.frequencies, self.correlation, level)


KIND = Halves


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Halves:
    """Solve both halves from flat, under the probe and at the positions that the whole scan told.

    Raises DataContractError for a scan of one pattern.
    """
    raw: RawData = inputs["inspect"].scan
    whole: Solution = inputs["solve"]
    if len(raw) < 2:
        raise DataContractError(f"a scan of {len(raw)} pattern has no halves; give one of two or more")
    scan = raw.without_truth().at(whole.positions).derived(probe=whole.probe)
    settings = SolverConfig(**{name: getattr(params.solver, name) for name in SETTINGS})
    objects = []
    for first in (0, 1):
        half = scan.take(np.arange(first, len(scan), 2))
        halves = engines.solve(
            half,
            settings,
            seed=params.seed + first,
            listener=execution.listener,
        )
        objects.append(halves.reconstruction)
    return compared(objects[0], objects[1], params.evaluation.coverage_threshold)


def compared(first: Reconstruction, second: Reconstruction, threshold: float) -> Halves:
    """Correlate two reconstructions where both are covered; raise DataContractError where that is nowhere."""
    x, y = (ours - theirs for ours, theirs in zip(first.origin_xy, second.origin_xy, strict=True))
    pair = frames.compare_frames(replace(first, origin_xy=(x, y)), second.object, threshold)
    (left, top), (height, width) = pair.origin_xy, pair.mask.shape
    both = pair.mask & (second.coverage[top : top + height, left : left + width] > threshold)
    both &= np.isfinite(pair.prediction) & np.isfinite(pair.truth)
    if not both.any():
        raise DataContractError(f"the halves of the scan share no pixel of coverage above {threshold:g}")
    frequencies, correlation = metrics.fourier_ring_correlation(replace(pair, mask=both))
    return Halves(pair.prediction, pair.truth, both, frequencies, correlation)


def versions(params: Params) -> dict[str, str]:
    """Return the versions of what the engine computes with."""
    return engines.versions(params.solver)


def telemetry(halves: Halves) -> dict[str, float]:
    """Return the finest detail that both halves agree on, half a period in px."""
    numbers = {f"detail_px at {name}": halves.detail_px(level) for name, level in LEVELS.items()}
    return {**numbers, "compared_px": int(halves.mask.sum())}


def invariants(halves: Halves) -> Iterator[tuple[str, bool]]:
    """Check that a correlation is one."""
    values = halves.correlation[np.isfinite(halves.correlation)]
    yield "a correlation must lie within -1 and 1", bool((np.abs(values) < 1 + 1e-6).all())
    yield "both halves must share pixels", bool(halves.mask.any())


def tables(halves: Halves) -> Iterator[Table]:
    """Show where the correlation ends, and its course."""
    rows = tuple(
        (f"finest detail (px) where FRC = {n}", halves.detail_px(level)) for n, level in LEVELS.items()
    )
    yield Table("Two halves of the patterns, solved apart", ("", ""), rows, headline=True)


def save(halves: Halves, folder: Path, about: Mapping[str, Any]) -> None:
    """Write both objects and their correlation into one file."""
    atomic.write_arrays(folder / FILE, {part.name: getattr(halves, part.name) for part in fields(halves)})


def load(folder: Path, inputs: Mapping[str, Any]) -> Halves:
    """Read them back."""
    arrays = archive.read_arrays(folder / FILE)
    return Halves(*(arrays[part.name] for part in fields(Halves)))
