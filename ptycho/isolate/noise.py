"""How far numbers of one and the same run lie apart under other seeds, and what lies beyond that."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from functools import cached_property

import numpy as np
from scipy import stats

from ptycho.isolate import differences
from ptycho.isolate.differences import Comparison, Side
from ptycho.isolate.laboratory import NOTHING, Laboratory, Outcome, Taken
from ptycho.settings import config as configs
from ptycho.settings import fields
from ptycho.stages import pipeline

CHANCE = 1e-5
"""Chance with which another seed alone takes one of about fifty numbers so far (Student's prediction interval)."""
UNSURE = 4.0
"""Standard deviations within which a number is no news, however few seeds are known."""
FEWEST, MOST, REPEATED = 3, 8, 4
"""Runs of GOOD under other seeds that are known at first, and when it is hard to tell; then so many of what is compared."""
FLOOR = 1e-6
"""Share of a number by which it may differ without a reason: sums in another order."""


class Noise:
    """The numbers of GOOD, or of another mixture `base`, under several seeds, had when they are asked for.

    `gates` says that only gates count: of a twin that is always as noisy as its scan was once, every number differs.
    """

    def __init__(
        self,
        laboratory: Laboratory,
        good: Side,
        bad: Side,
        comparison: Comparison,
        gates: bool = False,
        base: Taken = NOTHING,
    ) -> None:
        self.laboratory, self.gates, self.base = laboratory, gates, base
        self.paths = seeds_of(good, bad, comparison)
        self.samples: list[Outcome] = []

    @cached_property
    def first(self) -> Outcome:
        """The mixture as it is."""
        return self.laboratory.outcome(self.base)

    def ask(self, count: int) -> None:
        """Have so many runs of GOOD, its own among them."""
        wanted = range(len(self.samples), min(count, MOST))
        self.laboratory.ahead((self.base, self.seeds(number) if number else {}) for number in wanted)
        if not self.samples:
            self.samples.append(self.first)
        while len(self.samples) < min(count, MOST):
            outcome = self.laboratory.outcome(self.base, self.seeds(len(self.samples)))
            self.samples.append(outcome if not outcome.error else self.first)

    def seeds(self, number: int) -> dict[str, int]:
        """Return the seeds of a repetition, by their paths."""
        own = self.laboratory.good.config.to_dict()
        return {path: (int(configs.lookup(own, path)) + 101 * number) % 2**32 for path in self.paths}

    def scores(self, outcome: Outcome) -> dict[str, float]:
        """Return by how many standard deviations the numbers of an outcome lie off those of GOOD.

        Infinity where only one of the two is a number.
        """
        result = {}
        for name in self.first.values:
            known = np.array([each.values.get(name, math.nan) for each in self.samples])
            ours, theirs = known[np.isfinite(known)], outcome.values.get(name, math.nan)
            if len(ours) == len(known) and math.isfinite(theirs):
                mean = float(ours.mean())
                spread = float(ours.std(ddof=1)) if len(ours) > 1 else 0.0
                result[name] = (theirs - mean) / max(spread, FLOOR * abs(mean), 1e-12)
            elif len(ours) == len(known) or (len(ours) == 0 and math.isfinite(theirs)):
                result[name] = math.inf
        return result

    def limit(self, count: int) -> float:
        """Return the standard deviations of `count` seeds beyond which a number is not explained by seeds."""
        if count < 2:
            return math.inf
        return float(stats.t.ppf(1 - CHANCE / 2, count - 1) * math.sqrt(1 + 1 / count))

    def visible(self, taken: Taken) -> dict[str, float]:
        """Return the numbers of GOOD with some of BAD that no seed explains, with their distance in standard deviations.

        More seeds are tried while that is hard to tell: of GOOD first, then of both.
        """
        outcome = self.laboratory.outcome(taken)
        if outcome.error:
            return {"error": math.inf}
        self.ask(FEWEST)
        if self.gates:
            scores = self.scores(outcome)
            return {
                self.gate(name): scores.get(self.gate(name), math.inf) for name in self.newly_failed(outcome)
            }
        while True:
            scores = self.scores(outcome)
            limit = self.limit(len(self.samples))
            beyond = {name: score for name, score in scores.items() if abs(score) > limit}
            unsure = [name for name, score in scores.items() if UNSURE < abs(score) <= limit]
            if beyond or not (unsure or self.newly_failed(outcome)):
                return beyond
            if len(self.samples) >= MOST:
                return self.repeated(taken, unsure)
            self.ask(len(self.samples) + 1)

    def repeated(self, taken: Taken, names: list[str]) -> dict[str, float]:
        """Return which numbers of GOOD with some of BAD differ from GOOD's over several seeds of both (Welch's test)."""
        self.laboratory.ahead((taken, self.seeds(number)) for number in range(1, REPEATED))
        ours = [self.laboratory.outcome(taken)]
        ours += [self.laboratory.outcome(taken, self.seeds(number)) for number in range(1, REPEATED)]
        result = {}
        for name in names:
            good, mixed = (
                np.array([each.values.get(name, math.nan) for each in some]) for some in (self.samples, ours)
            )
            if not (np.isfinite(good).all() and np.isfinite(mixed).all()):
                continue
            with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # all the same: the spread is zero
                chance = stats.ttest_ind(mixed, good, equal_var=False).pvalue
            if chance < CHANCE:
                result[name] = float((mixed.mean() - good.mean()) / max(good.std(ddof=1), 1e-12))
        # A gate that fails with every seed here, and with none there, shows too: by chance once in two thousand times at most.
        always = set.intersection(*(self.newly_failed(each) for each in ours))
        return result | {
            self.gate(name): self.scores(ours[0]).get(self.gate(name), math.inf) for name in always
        }

    def gate(self, name: str) -> str:
        """Return the name of the number that a gate judges."""
        return f"{self.laboratory.comparison.last}.{name}"

    def newly_failed(self, outcome: Outcome) -> set[str]:
        """Return the gates that an outcome fails and GOOD passes with every seed."""
        return set(outcome.failed) - {name for each in self.samples for name in each.failed}

    def mean(self, name: str) -> float:
        """Return the mean of a number over the seeds of GOOD."""
        return float(np.mean([each.values.get(name, math.nan) for each in self.samples]))


def seeds_of(good: Side, bad: Side, comparison: Comparison) -> tuple[str, ...]:
    """Return the paths of the seeds that count as noise: those of a run, and all in which the sides differ."""
    differ = {path for each in comparison.differences for path in each.parts}
    rows = [row for row in pipeline.needed_stages(good.given, comparison.last) if row.name not in good.given]
    result = []
    for path in configs.leaf_paths():
        field = configs.fields_on_the_way(path)[-1]
        if fields.unit_of(field) != "seed" or not differences.readers(path, rows):
            continue
        if path in differ or not path.startswith("simulation."):
            result.append(path)
    return tuple(result)


def share(outcome: Outcome, bad: Outcome, noise: Noise, names: Iterable[str]) -> float:
    """Return how much of the way from GOOD to BAD an outcome goes: 0 none, 1 all of it; the mean over the named numbers.

    An error is all of the way, where BAD ends in one.
    """
    if outcome.error or bad.error:
        return float(bool(outcome.error))
    parts = []
    for name in names:
        good, worst = noise.mean(name), bad.values.get(name, math.nan)
        here = outcome.values.get(name, math.nan)
        if math.isfinite(good) and math.isfinite(worst):
            # A number that went further than BAD's, or is lost, is all of the way.
            part = (here - good) / (worst - good) if math.isfinite(here) else 1.0
        else:  # a number on one side alone
            part = float(math.isfinite(here) == math.isfinite(worst))
        parts.append(float(np.clip(part, -1, 2)))
    return float(np.mean(parts)) if parts else 0.0
