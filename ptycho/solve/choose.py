"""What to refine, and how smooth an object is: settings of the solver chosen by the patterns that are left out.

On patterns about the middle of the scan each choice is tried: probe and positions are refined on all of them (or not), then
the even and the odd ones are solved apart, and each half's object predicts the other's patterns. Few photons show here, and
only here: an object that follows their noise has the lower error on its own patterns, and the higher one on the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ptycho.base.errors import SolverDiverged
from ptycho.physics import probes
from ptycho.scan import geometry
from ptycho.scan.raw import RawData
from ptycho.settings import sections
from ptycho.settings.params import Params
from ptycho.settings.sections import SolverConfig
from ptycho.solve import engines, explain, halves
from ptycho.solve.explain import Explained
from ptycho.solve.solution import Solution

PIXELS, FEWEST, MOST = 160 * 64**2, 64, 256
"""Size of the sample: so many detector pixels, of at least and at most so many patterns."""
BETTER, SURE = 0.9, 3.0
"""A choice is better where it leaves less above the noise than this share of what the simpler one leaves, by so many standard
errors."""
MODES = 3
"""Modes that are tried beside one."""

FEW_PHOTONS: Mapping[str, Any] = {"likelihood": "poisson", "random_passes": 0}
"""Settings of an object of few photons, beside its smoothness."""
SMOOTH = (0.3, 0.1, 1.0)
"""Smoothness that is tried with them, the first one before anything is refined."""
TRIAL, APART, LONG, LONGEST = 12, 8, 20, 60
"""Passes of a trial that refines, of each half, of a whole scan where something is refined, and of one with positions far off."""
FAR_OFF, BELIEVED = 3.0, 0.1
"""Pixels (root mean square) from which on positions moved far, and unexplained share of left-out patterns up to which that is
believed: patterns in a wrong order find places, too, at which they leave a fifth to a third."""
LITTLE = 0.5
"""Unexplained share above which positions may be so far off that a trial does not come to them."""
LEAST = 16
"""Patterns below which nothing is tried."""
NOISY = 0.25
"""Share of the mean pattern's error that photon noise makes, from which on a smooth object is tried."""
FITTED = 0.5
"""Counts by which a number that was fitted to all patterns explains one of them too well: a quarter, the variance of a root of
counts, and as much again that it costs other patterns (Akaike, IEEE Trans. Autom. Control 19, 716, 1974)."""
KNOWN: Mapping[str, Any] = {"probe": "fixed", "positions": "fixed", "modes": None}
"""What a half, and an object of few photons, is solved with: probe and positions are known by then."""
REFINING: tuple[Mapping[str, Any], ...] = (
    {"probe": "refine"},
    {"probe": "refine", "modes": MODES},
    {"positions": "refine"},
)
"""What may be refined beside what already is, in this order."""

FROM_AFAR: Mapping[str, Any] = {"probe": "refine", "positions": "refine", "passes": LONGEST}
"""What is tried where nothing explains the patterns, and positions may be far off."""


@dataclass(frozen=True)
class Choice:
    """Settings that explain left-out patterns best.

    Attributes
    ----------
    refined : mapping
        Settings of the solver under which probe and positions are refined; empty for neither.
    smoothed : mapping
        Settings of few photons under which the object is then solved from flat; empty where that of the refinement is as good.
    tried : mapping of str to float
        The error of left-out patterns with each choice that was tried, by its name.
    noise, mean_pattern, shuffled : float
        What photon noise leaves of it, what the mean pattern does, and what the best choice does at shuffled positions.
    patterns : int
        Size of the sample.
    """

    refined: Mapping[str, Any] = field(default_factory=dict)
    smoothed: Mapping[str, Any] = field(default_factory=dict)
    tried: Mapping[str, float] = field(default_factory=dict)
    noise: float = math.nan
    mean_pattern: float = math.nan
    shuffled: float = math.nan
    patterns: int = 0

    @property
    def unexplained(self) -> float:
        """The best error's place between noise (0) and mean pattern (1); NaN where nothing was tried, or these are not apart."""
        return self._place(min(self.tried.values(), default=math.nan))

    @property
    def sentence(self) -> str:
        """What was tried and what it reached, for people."""
        best = min(self.tried, key=self.tried.__getitem__)
        given = next(iter(self.tried))
        words = f"solved directly ({best}), left-out patterns are predicted but for {self.unexplained:.0%} of what positions tell"
        return words if best == given else f"{words} ({given}: {self._place(self.tried[given]):.0%})"

    @property
    def command(self) -> str:
        """Options of `ptycho solve` that ask for what was chosen."""
        return " ".join(
            f"--set solver.{name}={value}" for name, value in {**self.refined, **self.smoothed}.items()
        )

    def _place(self, error: float) -> float:
        apart = self.mean_pattern - self.noise
        return (error - self.noise) / apart if apart > 0 else math.nan


@dataclass(frozen=True)
class _Trial:
    """What was tried, and how well it explains left-out patterns; nothing where it diverged."""

    refined: Mapping[str, Any]
    smoothed: Mapping[str, Any]
    result: Explained
    moved_px: float = 0.0

    @property
    def name(self) -> str:
        words = [f"{key} = {value}" for key, value in {**self.refined, **self.smoothed}.items()]
        return ", ".join(word for word in words if not word.startswith("random_passes")) or "as given"

    def beats(self, other: _Trial) -> bool:
        """Whether it is better, beyond chance, than a simpler choice."""
        ours, theirs = self.result, other.result
        if not math.isfinite(theirs.error):
            return math.isfinite(ours.error)
        gain = theirs.error - ours.error
        return gain > (1 - BETTER) * (theirs.error - theirs.noise) and ours.better_by(theirs) > SURE


def choose(raw: RawData, config: SolverConfig | Params, seed: int = 0) -> Choice:
    """Try what `config.choose` names on patterns about the middle of the scan, and return what explains left-out ones best.

    With a scan of too few patterns to be halved, or of patterns that hardly overlap, nothing is tried.
    """
    given = settings_of(config)
    if not given.free or len(raw) < LEAST:
        return Choice()
    sample = middle(raw.without_truth(), PIXELS, FEWEST, MOST)
    if geometry.overlap(sample) < geometry.MIN_OVERLAP:
        return Choice()
    trials = [_tried(sample, given, {}, {}, seed)]
    few = _few_photons(trials[0].result, given)
    if few:
        trials += [_tried(sample, given, {}, {**FEW_PHOTONS, "smoothness": SMOOTH[0]}, seed)]
    best = _best(trials)
    for step in REFINING:
        if set(step) <= set(given.free):
            more = {**best.refined, **step}
            further = [_tried(sample, given, more, best.smoothed, seed)]
            trials += further
            best = _best([best, *further])
    if may_be_far_off(best.result, given):
        further = [_tried(sample, given, FROM_AFAR, best.smoothed, seed)]
        trials += further
        best = _best([best, *further])
    if few:
        further = [
            _tried(sample, given, best.refined, smoothed, seed)
            for smoothed in ({}, *({**FEW_PHOTONS, "smoothness": each} for each in SMOOTH))
            if smoothed != best.smoothed
        ]
        trials += further
        best = _best([best, *further])
    null = _tried(geometry.shuffled(sample, seed), given, best.refined, best.smoothed, seed)
    return Choice(
        refined=best.refined and {**best.refined, **_long_enough(given, best.moved_px)},
        smoothed=best.smoothed,
        tried={trial.name: trial.result.error for trial in trials if len(trial.result)},
        noise=best.result.noise,
        mean_pattern=best.result.mean_pattern,
        shuffled=null.result.error,
        patterns=len(sample),
    )


def believable(moved_px: float, unexplained: float) -> bool:
    """Whether positions that moved so far (root mean square), px, are believed: far ones only where nearly all is explained."""
    return moved_px <= FAR_OFF or unexplained <= BELIEVED


def whether_solvable(raw: RawData) -> Choice:
    """Try everything that may be chosen: how well can the patterns of a scan be explained at all."""
    return choose(raw, SolverConfig(choose=",".join(sections.CHOSEN)))


def verdict(choice: Choice, most: float) -> str:
    """Say what is at fault where a network's object leaves too much unexplained: more than the share `most`."""
    if not choice.tried:
        return "the patterns are too few to be solved apart, and nobody knows whether scan or network is at fault"
    if choice.unexplained <= most:
        by = f" (ptycho solve {choice.command})" if choice.command else ""
        return f"{choice.sentence}{by}: the network is at fault, not the scan"
    return f"{choice.sentence}, and no better: look at the scan's geometry, probe and patterns, not at the network"


def solve(
    raw: RawData, config: SolverConfig | Params, choice: Choice, *, key: str = "", **how: Any
) -> Solution:
    """Solve a scan as was chosen; `how` as for :func:`ptycho.solve.engine.solve`.

    Of few photons probe and positions are refined first, and then the object is solved again from flat under those.
    """
    settings = settings_of(config, **choice.refined)
    if not choice.smoothed:
        return engines.solve(raw, settings, key=key, **how)
    if "refine" in (settings.probe, settings.positions):
        first = engines.solve(raw, settings, key=f"{key} refining", **how)
        raw = raw.at(first.positions).derived(probe=first.probe)
    return engines.solve(raw, settings_of(settings, **KNOWN, **choice.smoothed), key=key, **how)


def settings_of(config: SolverConfig | Params, **changes: Any) -> SolverConfig:
    """Return the settings of a config but for what they start from, and with changes."""
    names = [name for name in SolverConfig.model_fields if name != "start"]
    return SolverConfig(**{**{name: getattr(config, name) for name in names}, **changes})


def _tried(
    sample: RawData, given: SolverConfig, refined: Mapping[str, Any], smoothed: Mapping[str, Any], seed: int
) -> _Trial:
    return _Trial(refined, smoothed, *_predicted(sample, given, refined, smoothed, seed))


def predicted(
    sample: RawData,
    given: SolverConfig,
    refined: Mapping[str, Any],
    smoothed: Mapping[str, Any],
    seed: int = 0,
) -> Explained:
    """Refine probe and positions on all patterns, then have both halves predict each other; of no pattern where that diverges.

    What is left out has had a say in probe and positions, and that is taken off what it is explained by.
    """
    return _predicted(sample, given, refined, smoothed, seed)[0]


def _predicted(
    sample: RawData,
    given: SolverConfig,
    refined: Mapping[str, Any],
    smoothed: Mapping[str, Any],
    seed: int,
) -> tuple[Explained, float]:
    """Return what is said of left-out patterns, and how far positions moved, px (root mean square)."""
    trial = settings_of(given, **{"passes": min(TRIAL, given.passes), **refined})
    apart = settings_of(trial, **KNOWN, **{"passes": min(APART, given.passes), **smoothed})
    fitted = moved = 0.0
    try:
        if "refine" in (trial.probe, trial.positions):
            solution = engines.solve(sample, trial, seed=seed)
            moved = solution.moved_px(sample.positions)
            sample = sample.at(solution.positions).derived(probe=solution.probe)
            fitted = _fitted(trial, solution)
        solutions = halves.solve(sample, lambda half, number: engines.solve(half, apart, seed=seed + number))
    except SolverDiverged:
        return explain.NOTHING, moved
    return halves.left_out(sample, solutions).worse_by(FITTED * fitted), moved


def _fitted(config: SolverConfig, solution: Solution) -> float:
    """Return how many real numbers of probe and positions were fitted for each pattern."""
    numbers = 2.0 if config.positions == "refine" else 0.0
    if config.probe == "refine":
        area = probes.area(solution.probe)
        numbers += 2 * len(solution.probe) * area / len(solution.positions)
    return numbers


def _best(trials: list[_Trial]) -> _Trial:
    """Return the best of trials, of which a later one has to be better beyond chance."""
    best = trials[0]
    for trial in trials[1:]:
        best = trial if trial.beats(best) else best
    return best


def may_be_far_off(result: Explained, given: SolverConfig) -> bool:
    """Whether so little is explained that positions may be far off, and whether they may be refined for as long as that takes."""
    return {"probe", "positions", "passes"} <= set(given.free) and not result.unexplained <= LITTLE


def _few_photons(result: Explained, given: SolverConfig) -> bool:
    """Whether photon noise is much of what the mean pattern leaves, and the object's smoothness is free."""
    free = {"likelihood", "smoothness"} <= set(given.free)
    able = FEW_PHOTONS["likelihood"] in engines.ENGINES[given.engine].likelihoods
    return free and able and not result.noise < NOISY * result.mean_pattern


def _long_enough(given: SolverConfig, moved_px: float) -> dict[str, Any]:
    enough = LONGEST if moved_px > FAR_OFF else LONG
    return {"passes": max(enough, given.passes)} if "passes" in given.free else {}


def middle(raw: RawData, pixels: int, fewest: int, most: int) -> RawData:
    """Return the patterns nearest to the middle of the scan, which overlap as all do: so many detector pixels, within bounds."""
    count = int(np.clip(pixels // raw.N**2, fewest, most))
    if len(raw) <= count:
        return raw
    away = np.linalg.norm(raw.positions - np.median(raw.positions, axis=0), axis=1)
    return raw.take(np.sort(np.argsort(away, kind="stable")[:count]))
