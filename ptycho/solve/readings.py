"""Do positions, probe and patterns belong together: the scan as it is given against other readings of it.

Readings are the corrections that a user may apply (`--geometry NAME`), and the affine map of the positions that the patterns ask
for. Each is asked how well both halves of a sample of overlapping patterns predict each other under it, the probe refined: at wrong
positions they predict no better than the mean pattern does, whatever the probe becomes. A reading is recommended only where it
predicts well itself, and clearly better than the scan as it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ptycho.base import machine
from ptycho.base.errors import SolverDiverged
from ptycho.physics import probes, scaling
from ptycho.scan import counting, geometry
from ptycho.scan.raw import RawData
from ptycho.settings.sections import SolverConfig
from ptycho.solve import choose, engines, explain
from ptycho.solve.explain import Explained

PIXELS, FEWEST, MOST = 96 * 64**2, 48, 96
"""Size of the sample: so many detector pixels, of at least and at most so many patterns."""
WELL, HOPELESS = 0.7, 0.85
"""Unexplained share up to which a sample is explained well, and from which on its positions say next to nothing."""
MARGIN = 0.85
"""Share of what the scan as it is given leaves, below which another reading is better; see gates.geometry_margin."""
SURE = 4.0
"""Standard errors by which a reading must predict better than the scan as it is given."""
TURNED, STRETCHED = 2.0, 0.015
"""Degrees and share by which an affine map must differ from none, and both more than their uncertainty, to be worth a word."""
SHEARED = 1.04
"""Ratio of the largest to the smallest stretch of a map from which on it is more than a turn and a factor."""
SMALLEST = 12.0
"""Area of a probe, px, below which it is no beam but a point."""
NEARLY_ALL = 0.1
"""Unexplained share up to which the scan as it is given can only be a little wrong."""
TURNS = tuple(range(0, 360, 45))
"""Degrees from which an affine map is looked for where nothing else explains the sample, mirrored and not."""
PASSES, SHORT = 30, 10
"""Passes that look for an affine map, and those of a first look from another turn."""
GIVEN, SHUFFLED, AFFINE = geometry.GIVEN, "shuffled", "affine"
Way = Callable[[RawData], Explained]
"""How a reading of a sample is asked."""
Judgement = Literal["pass", "fail", "not_applicable"]


@dataclass(frozen=True)
class Readings:
    """How well the sample is predicted under every reading.

    Attributes
    ----------
    errors : mapping of str to float
        Data error of left-out patterns with the scan as `given`, with every correction, with the `affine` map, and `shuffled`;
        empty where the patterns cannot tell.
    sure : mapping of str to float
        By how many standard errors each is below that of the scan as given.
    noise, mean_pattern : float
        What photon noise leaves of an error, and what the mean pattern leaves.
    tells : bool
        Whether the patterns differ by more than noise.
    linear, spread : (2, 2) tuple of float
        The affine map about their middle that takes the positions to where the patterns want them, and half the difference of
        those that the even and the odd patterns want; empty where none was looked for.
    centre_xy : (int, int)
        Whole px by which the patterns' centre lies off that of the probe's far field. It only gives the object a
        linear phase, and is taken out before anything is compared.
    patterns : int
        Size of the sample.
    overlap : float
        Of neighbours in the sample, see :func:`ptycho.scan.geometry.overlap`.
    area : float
        Of the probe, px.
    """

    errors: Mapping[str, float] = field(default_factory=dict)
    sure: Mapping[str, float] = field(default_factory=dict)
    noise: float = math.nan
    mean_pattern: float = math.nan
    tells: bool = False
    linear: tuple[tuple[float, ...], ...] = ()
    spread: tuple[tuple[float, ...], ...] = ()
    centre_xy: tuple[int, int] = (0, 0)
    patterns: int = 0
    overlap: float = 0.0
    area: float = math.inf

    @property
    def moved(self) -> bool:
        """Whether the affine map differs from none by more than matters, and by more than it is known to."""
        if not self.linear:
            return False
        degrees, scale, shape, mirrored = parts(np.array(self.linear))
        unsure = float(np.max(self.spread)) if np.isfinite(self.spread).all() else math.inf
        turned = abs(degrees) > max(TURNED, 2 * math.degrees(unsure))
        stretched = max(abs(scale - 1), shape - 1) > max(STRETCHED, 2 * unsure)
        return mirrored or turned or stretched

    @property
    def map_text(self) -> str:
        """The affine map, for people."""
        degrees, scale, shape, mirrored = parts(np.array(self.linear))
        unsure = float(np.max(self.spread))
        words = f"turned by {degrees:.1f} +- {math.degrees(unsure):.1f} degrees, times {scale:.3f} +- {unsure:.3f}"
        return f"{words}{', mirrored' if mirrored else ''}{f', sheared by {shape - 1:.1%}' if shape > SHEARED else ''}"

    @property
    def options(self) -> tuple[str, ...]:
        """What `--geometry` takes to apply the affine map."""
        degrees, scale, shape, mirrored = parts(np.array(self.linear))
        if mirrored or shape > SHEARED:
            return ("linear=" + ",".join(f"{value:.4f}" for row in self.linear for value in row),)
        turned = (f"rotate={degrees:.2f}",) if abs(degrees) > 0.2 else ()
        scaled = (f"scale_positions={scale:.4f}",) if abs(scale - 1) > 0.002 else ()
        return turned + scaled

    def place(self, name: str) -> float:
        """Return where the error of a reading lies between noise (0) and mean pattern (1)."""
        return (self.errors[name] - self.noise) / (self.mean_pattern - self.noise)


def compare(raw: RawData) -> Readings:
    """Compare a scan with other readings of it on a sample of overlapping patterns.

    Where the scan as it is given predicts nearly all there is, corrections are not tried: each is a large change.
    """
    sample = choose.middle(raw.without_truth(), PIXELS, FEWEST, MOST)
    shared = geometry.overlap(sample) if len(sample) >= geometry.FEWEST else 0.0
    if shared < geometry.MIN_OVERLAP:
        return Readings(patterns=len(sample), overlap=shared, area=probes.area(raw.probe))
    sample, centre = geometry.centred(sample)
    by = _way(sample)
    results = {GIVEN: by(sample), SHUFFLED: by(geometry.shuffled(sample))}
    if results[GIVEN].tells and _place(results[GIVEN]) > NEARLY_ALL:
        same = geometry.TWINS if probes.is_twin_ambiguous(sample.probe) else ()
        names = [name for name in geometry.CORRECTIONS if name not in same]
        tried = machine.side_by_side(lambda name: by(geometry.CORRECTIONS[name](sample)), names)
        results |= dict(zip(names, tried, strict=True))
    linear = spread = None
    if results[GIVEN].tells:
        linear, spread, results[AFFINE] = _affine(sample, results, by)
    given = results[GIVEN]
    return Readings(
        {name: result.error for name, result in results.items()},
        {name: result.better_by(given) for name, result in results.items()},
        given.noise,
        given.mean_pattern,
        given.tells,
        _pairs(linear),
        _pairs(spread),
        centre,
        len(sample),
        shared,
        probes.area(raw.probe),
    )


def recommended(comparison: Readings, least: float = MARGIN) -> tuple[str, ...]:
    """Return what `--geometry` takes to read the scan as its patterns ask for; nothing where they ask for nothing else.

    Another reading is recommended where it explains the sample well, and clearly better than the scan as it is given.
    """
    if not (comparison.errors and comparison.tells):
        return ()
    best, place = best_other(comparison, least)
    if not (place <= WELL and place < least * comparison.place(GIVEN) and comparison.sure[best] > SURE):
        return ()
    return comparison.options if best == AFFINE else (best,)


def judge(comparison: Readings, least: float) -> tuple[Judgement, float | None, str]:
    """Judge the scan as given against other readings of it.

    Returns
    -------
    judgement : str
    margin : float or None
        Place of the best other reading between noise and mean pattern, over that of the scan as given; None where there is none.
    reason : str
    """
    if not comparison.errors:
        return "not_applicable", None, _silent(comparison)
    if not comparison.tells:
        reason = (
            f"the patterns differ from their mean (by a data error of {comparison.mean_pattern:.2g}) by no more than photon noise "
            f"({comparison.noise:.2g}), and it hides how they lie"
        )
        return "not_applicable", None, reason
    given, (best, place) = comparison.place(GIVEN), best_other(comparison, least)
    margin = place / given if given > 0 and math.isfinite(place) else None
    options = recommended(comparison, least)
    if options:
        return "fail", margin, _better(comparison, best, options, least)
    words = f"the scan as it is given leaves {given:.0%} of what positions tell unexplained on a sample"
    beside = f", the next best reading, {best}, {place:.0%}" if math.isfinite(place) else ""
    if given <= WELL:
        where = f"; the patterns ask for positions {comparison.map_text}" if comparison.linear else ""
        return "pass", margin, f"{words}{beside}{where}"
    if given > HOPELESS:
        what = "the positions are too inexact, or not those of these patterns, or the probe is another"
        return "fail", margin, f"{words}{beside}: {what}"
    return "not_applicable", margin, f"{words}{beside}: too much to tell readings apart"


def best_other(comparison: Readings, least: float) -> tuple[str, float]:
    """Return the best other reading, and its place; infinity where none was tried."""
    others = {
        name: comparison.place(name) for name in comparison.errors if name not in (GIVEN, SHUFFLED, AFFINE)
    }
    best = min(others, key=others.__getitem__, default=AFFINE)
    # A name is simpler than a map.
    if best == AFFINE or (comparison.moved and comparison.place(AFFINE) < least * others[best]):
        return AFFINE, comparison.place(AFFINE) if comparison.moved else math.inf
    return best, others[best]


def _silent(comparison: Readings) -> str:
    """Say why a sample says nothing."""
    if comparison.patterns < geometry.FEWEST:
        return f"{comparison.patterns} patterns cannot tell how they lie (needed: {geometry.FEWEST})"
    if comparison.area < SMALLEST:
        return f"the probe is nearly a point ({comparison.area:.2g} px), and under it patterns cannot tell how they lie"
    return (
        f"neighbouring patterns share {comparison.overlap:.2g} of their light (needed: {geometry.MIN_OVERLAP}), and then their "
        "places say nothing"
    )


def _better(comparison: Readings, best: str, options: tuple[str, ...], least: float) -> str:
    """Say that another reading explains the sample, what it leaves, and how to have it."""
    place = comparison.place(best)
    equals = [
        name
        for name in comparison.errors
        if name not in (GIVEN, SHUFFLED, AFFINE, best) and comparison.place(name) * least <= place
    ]
    what = f"at positions {comparison.map_text}" if best == AFFINE else f"with {' or '.join([best, *equals])}"
    twins = set(geometry.TWINS) <= {best, *equals}
    inverted = (
        " (in one of them the image comes out inverted, and patterns do not tell in which)" if twins else ""
    )
    return (
        f"the patterns fit better {what}{inverted}: {place:.0%} of what positions tell are left unexplained on a sample, "
        f"{comparison.place(GIVEN):.0%} as it is given; add {' '.join(f'--geometry {option}' for option in options)}"
    )


def settings() -> SolverConfig:
    """Return the settings that every reading is asked with."""
    return SolverConfig()


def _way(sample: RawData) -> Way:
    """Return how a reading is asked: under settings of few photons, where these are few."""
    mean = explain.mean_of(counting.counted(sample))
    few = scaling.noise_of(mean[1]).sum() > choose.NOISY * (mean[1] - mean[0] ** 2).sum()
    smoothed = {**choose.FEW_PHOTONS, "smoothness": choose.SMOOTH[0]} if few else {}
    return lambda reading: choose.predicted(reading, settings(), {"probe": "refine"}, smoothed)


def _place(result: Explained) -> float:
    return result.unexplained if math.isfinite(result.unexplained) else math.inf


def _pairs(matrix: np.ndarray | None) -> tuple[tuple[float, ...], ...]:
    return () if matrix is None else tuple(tuple(map(float, row)) for row in matrix)


def _affine(
    sample: RawData, results: Mapping[str, Explained], by: Way
) -> tuple[np.ndarray | None, np.ndarray | None, Explained]:
    """Return the affine map (2, 2) that the patterns ask for, how far halves of them differ in it, and how it predicts.

    It begins at the best correction of the positions; where none explains the patterns from any turn, and then in any unit.
    """
    best: tuple[np.ndarray | None, Explained] = None, explain.NOTHING
    starts: tuple[Callable[[], np.ndarray | None], ...] = (
        lambda: _best_known(results),
        lambda: _best_turn(sample),
        lambda: _best_unit(sample),
    )
    for start in starts:
        turned = start()
        further = None if turned is None else _map(geometry.mapped(sample, turned), PASSES)
        if further is not None and turned is not None:
            linear = further[0] @ turned
            result = by(geometry.mapped(sample, linear))
            best = (linear, result) if _place(result) < _place(best[1]) else best
        if _place(best[1]) <= WELL or min(map(_place, results.values())) <= WELL:
            break
    if best[0] is None:
        return None, None, best[1]
    there = geometry.mapped(sample, best[0])
    halves = [_map(there.take(np.arange(begin, len(there), 2)), PASSES // 2) for begin in (0, 1)]
    even, odd = (np.full((2, 2), np.nan) if half is None else half[0] for half in halves)
    return best[0], np.abs(even - odd) / 2, best[1]


def _best_unit(sample: RawData) -> np.ndarray | None:
    """Return the factor on the positions under which these say most of the patterns, as a matrix."""
    factor = geometry.better_scale(sample)
    return factor * np.eye(2) if math.isfinite(factor) else None


def _best_known(results: Mapping[str, Explained]) -> np.ndarray:
    """Return the map (2, 2) of the positions that predicts best of those that are corrections."""
    known = [name for name in geometry.MAPS if name in results and math.isfinite(results[name].error)]
    return geometry.MAPS[min(known, key=lambda name: results[name].error)] if known else np.eye(2)


def _best_turn(sample: RawData) -> np.ndarray | None:
    """Return the turn, mirrored or not, from which a short look for an affine map comes to the least error."""
    errors: list[tuple[float, np.ndarray]] = []
    for degrees in TURNS:
        for mirror in (1, -1):
            start = geometry.turn(degrees) @ np.diag([mirror, 1])
            result = _map(geometry.mapped(sample, start), SHORT)
            if result is not None:
                errors.append((result[1], result[0] @ start))
    return min(errors, key=lambda each: each[0])[1] if errors else None


def parts(linear: np.ndarray) -> tuple[float, float, float, bool]:
    """Return the angle (degrees), the factor, the ratio of the stretches, and whether it mirrors, of a map (2, 2)."""
    left, stretches, right = np.linalg.svd(linear)
    turned = left @ right
    degrees = math.degrees(math.atan2(turned[1, 0], turned[0, 0]))
    factor = math.sqrt(float(stretches[0] * stretches[1]))
    return degrees, factor, float(stretches[0] / max(stretches[1], 1e-12)), bool(np.linalg.det(linear) < 0)


def _map(sample: RawData, passes: int) -> tuple[np.ndarray, float] | None:
    """Return the affine map (2, 2) to where the patterns want the positions, and the last error; None where that diverges."""
    settings = SolverConfig(
        passes=passes,
        random_passes=passes,
        probe="refine",
        positions="affine",
        positions_from=2,
        batch_patterns=8,
    )
    try:
        solution = engines.solve(sample, settings)
    except SolverDiverged:
        return None
    away, wanted = (where - where.mean(axis=0) for where in (sample.positions, solution.positions))
    linear, *_ = np.linalg.lstsq(away, wanted, rcond=None)
    return linear.T, float(solution.errors[-1])
