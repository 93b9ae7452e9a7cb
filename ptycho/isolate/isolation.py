"""The steps of an isolation: what differs, each row by itself, the judges, the smallest sets, and the effects both ways."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

from ptycho.base.errors import ConfigError
from ptycho.isolate import blind, local, noise, reach, search
from ptycho.isolate.differences import Comparison, Difference
from ptycho.isolate.laboratory import NOTHING, BudgetSpent, Laboratory, Outcome, Taken
from ptycho.isolate.noise import Noise
from ptycho.isolate.verdict import WORSE, Cause, Hidden, Verdict
from ptycho.stages import pipeline

MOST_PAIRED, APART = 4, 0.1
"""So many of what acts in company are repaired in pairs, too, and shares of the gap by which a pair differs from its parts."""
Known = Callable[[Difference], str]
"""Says which known bug a difference is, and its remedy; nothing for none."""


def isolate(
    laboratory: Laboratory,
    *,
    known: Known = lambda _: "",
    reach: bool = True,
    gates: bool = False,
) -> Verdict:
    """Say which differences make BAD of GOOD.

    Where the budget ends the verdict is partial, and says so.

    Raises ConfigError where GOOD itself ends in an error.

    Parameters
    ----------
    laboratory : Laboratory
    known : callable
    reach : bool
        Whether to ask what solving BAD's scan directly comes to.
    gates : bool
        Whether only gates count, and not every number that no seed explains.
    """
    steps = _Steps(laboratory, known, gates)
    try:
        for step in (
            *(steps.sides, steps.said, steps.judges, steps.blindness, steps.rows, steps.repair),
            *(steps.breaks, steps.effects, steps.hidden, steps.flaky),
        ):
            step()
        if reach:
            steps.reach()
    except BudgetSpent:
        rest = f"{laboratory.experiments} experiments took {laboratory.seconds:.0f} s; go on with --resume and a larger --budget"
        steps.verdict = replace(steps.verdict, complete=False, notes=(*steps.verdict.notes, rest))
    return replace(
        steps.verdict,
        experiments=laboratory.experiments,
        executions=len(laboratory.executions),
        seconds=laboratory.seconds,
    )


class _Steps:
    """An isolation while it lasts: each step adds to the verdict."""

    def __init__(self, laboratory: Laboratory, known: Known, gates: bool) -> None:
        self.laboratory, self.known = laboratory, known
        self.comparison: Comparison = laboratory.comparison
        self.makers: Taken = frozenset(self.comparison.of(judging=False))
        self.all: Taken = frozenset(self.comparison.differences)
        self.noise = Noise(laboratory, laboratory.good, laboratory.bad, self.comparison, gates)
        self.needed: tuple[Difference, ...] = ()
        self.verdict = Verdict(
            laboratory.good.name,
            laboratory.bad.name,
            cleared=dict(self.comparison.cleared),
            last=self.comparison.last,
        )

    @property
    def bad(self) -> Outcome:
        """BAD's object under GOOD's judges."""
        return self.laboratory.outcome(self.makers)

    def shows(self, taken: Taken) -> bool:
        """Whether GOOD with some of BAD is off by more than seeds explain."""
        return bool(self.noise.visible(taken))

    def judged_otherwise(self, taken: Taken) -> bool:
        """Whether judges that differ say something else of GOOD's object."""
        failed = self.laboratory.outcome(NOTHING).failed
        return self.laboratory.outcome(taken).failed != failed or self.shows(taken)

    def share(self, outcome: Outcome) -> float:
        """How far an outcome goes from GOOD to BAD in the gates that BAD alone fails, or else in the numbers by which it shows."""
        gates = [self.noise.gate(name) for name in sorted(self.noise.newly_failed(self.bad))]
        return noise.share(outcome, self.bad, self.noise, gates or self.verdict.symptoms)

    def sides(self) -> None:
        """Do GOOD and BAD themselves, and say by which numbers BAD shows."""
        self.laboratory.ahead((taken, {}) for taken in (NOTHING, self.all, self.makers))
        good = self.laboratory.outcome(NOTHING)
        if good.error:
            raise ConfigError(
                f"GOOD itself, {self.laboratory.good.name}, ends in an error: {good.error}; give one that runs"
            )
        whole = self.laboratory.outcome(self.all)
        notes = [f"GOOD itself {good.sentence}"] if not good.passed else []
        notes += [f"BAD passes: {self.laboratory.bad.name} fails no gate"] if whole.passed else []
        self.verdict = replace(
            self.verdict,
            outcomes={"GOOD": good, "BAD": whole},
            symptoms=self.noise.visible(self.makers),
            notes=tuple(notes),
        )

    def judges(self) -> None:
        """Ask which differences in the judges change what they say of one object."""
        repair = search.smallest_repair(self.comparison.of(judging=True), self.judged_otherwise)
        cleared = {
            f"{each.name} in {', '.join(each.rows)}": "the judges say the same of one object with it and without"
            for each in repair.harmless
        }
        self.verdict = replace(
            self.verdict, judges=repair.needed, cleared={**self.verdict.cleared, **cleared}
        )

    def blindness(self) -> None:
        """Ask whether BAD's judges can tell a good object from a bad one at all."""
        whole = self.laboratory.outcome(self.all)
        if not whole.error and not self.bad.error:
            self.verdict = replace(self.verdict, judge=blind.ask(self.laboratory, self.all, self.makers))

    def rows(self) -> None:
        """Run every row that differs by itself, and clear what changes none."""
        if not self.verdict.symptoms:
            return
        candidates = self.comparison.of(judging=False)
        seen = local.look(self.laboratory, candidates)
        cleared = local.clear(candidates, seen)
        self.verdict = replace(
            self.verdict,
            rows=tuple(seen),
            cleared={
                **self.verdict.cleared,
                **{each.name: why for each, why in cleared.items()},
                **{f"stage {each.row}": "comes out the same by BAD's way" for each in seen if each.same},
            },
        )
        self.locally_clear: Taken = frozenset(cleared)

    def repair(self) -> None:
        """Find the smallest set of differences whose repair mends BAD."""
        if not self.verdict.symptoms:
            return
        candidates = [each for each in self.comparison.of(judging=False) if each not in self.locally_clear]
        result = search.smallest_repair(candidates, self.shows, self.locally_clear)
        self.needed = result.needed
        cleared = {
            each.name: "GOOD with it, and with everything else that is cleared, shows nothing beyond other seeds"
            for each in result.harmless - self.locally_clear
        }
        repaired = self.makers - frozenset(self.needed)
        if self.shows(repaired):
            line = "BAD with all of that repaired still shows: what was cleared stage by stage does not act alone"
            self.verdict = self.verdict.with_note(line)
        self.verdict = replace(
            self.verdict,
            causes=tuple(self._cause(each, self.bad, self.bad, done=False) for each in self.needed),
            cleared={**self.verdict.cleared, **cleared},
            outcomes={
                **self.verdict.outcomes,
                "BAD repaired": self.laboratory.outcome(repaired),
            },
        )

    def said(self) -> None:
        """Tell what BAD's scan says of itself and GOOD's does not: a twin image, another probe."""
        if not self.verdict.symptoms:
            return
        first = pipeline.STAGES[0].name
        both = [self.laboratory.attempt(taken, until=first) for taken in (NOTHING, self.makers)]
        if any(isinstance(each, str) for each in both):
            return
        ours, theirs = (each.records[first].notes for each in both if not isinstance(each, str))
        for note in theirs:
            if note not in ours:
                self.verdict = self.verdict.with_note(f"of BAD's scan alone it is said: {note}")

    def breaks(self) -> None:
        """Find the smallest sets that break GOOD: that fail a gate which BAD fails, or show where it fails none."""
        if not self.needed:
            return
        failed = self.noise.newly_failed(self.bad)

        def breaks(taken: Taken) -> bool:
            outcome = self.laboratory.outcome(taken)
            if self.bad.error or outcome.error:
                return bool(outcome.error) and not outcome.impossible
            return bool(failed & set(outcome.failed)) if failed else self.shows(taken)

        rest = self.makers - frozenset(self.needed)
        result = search.smallest_breaks(self.needed, rest, breaks)
        names = tuple(tuple(sorted(each.name for each in some)) for some in result)
        self.verdict = replace(self.verdict, breaks=names)

    def flaky(self) -> None:
        """Name the gates that GOOD itself fails with other seeds: of those nothing is concluded."""
        samples = self.noise.samples or [self.laboratory.outcome(NOTHING)]
        names = sorted({name for each in samples for name in each.failed} - set(samples[0].failed))
        lines = [f"GOOD fails {name} with other seeds: that gate tells nothing here" for name in names]
        self.verdict = replace(self.verdict, notes=(*self.verdict.notes, *lines))

    def effects(self) -> None:
        """Put each cause alone into GOOD, and take it alone out of BAD."""
        both = [({each}, self.makers - {each}) for each in self.needed]
        self.laboratory.ahead((taken, {}) for pair in both for taken in pair)
        causes = [
            self._cause(
                each,
                self.laboratory.outcome({each}),
                self.laboratory.outcome(self.makers - {each}),
            )
            for each in self.needed
        ]
        causes.sort(key=lambda cause: -cause.weight)
        self.verdict = replace(self.verdict, causes=tuple(causes))

    def hidden(self) -> None:
        """Find what no repair needs but changes BAD: it is not met in GOOD, or something else hides it there."""
        rest = [each for each in self.comparison.of(judging=False) if each not in self.needed]
        if not (self.needed and rest) or self.bad.error:
            return
        around = Noise(
            *(self.laboratory, self.laboratory.good, self.laboratory.bad, self.comparison), base=self.makers
        )
        acting = search.smallest_repair(
            rest, lambda repaired: bool(around.visible(self.makers - repaired))
        ).needed
        alone = [self._without(each) for each in acting]
        pairs = list(itertools.combinations(acting[:MOST_PAIRED], 2))
        for each in alone:
            if each.left > WORSE:  # something hides what it does: it may need that one repaired, too
                pairs += [
                    (each.differences[0], other)
                    for other in rest
                    if other not in acting and set(other.rows) & set(each.differences[0].rows)
                ]
        lefts = {each.differences[0]: each.left for each in alone}
        together = [self._without(*pair) for pair in pairs]
        acts = [
            each
            for each in together
            if all(abs(each.left - lefts.get(one, each.left + 1)) > APART for one in each.differences)
        ]
        hidden = (*alone, *acts)
        names = {each.name for each in acting}
        cleared = {name: why for name, why in self.verdict.cleared.items() if name not in names}
        self.verdict = replace(self.verdict, hidden=hidden, cleared=cleared)

    def _without(self, *repaired: Difference) -> Hidden:
        """Return what BAD comes to without some differences."""
        outcome = self.laboratory.outcome(self.makers - frozenset(repaired))
        return Hidden(repaired, self.share(outcome), outcome.sentence)

    def reach(self) -> None:
        """Ask what BAD's scan can be explained to, whatever the network does."""
        if not self.verdict.symptoms or self.laboratory.seconds > self.laboratory.budget:
            return
        self.verdict = replace(self.verdict, reach=reach.ask(self.laboratory, self.makers))

    def stage_of(self, difference: Difference, alone: Outcome) -> str:
        """Return the first row that a difference changes, by what GOOD comes to with it alone."""
        if alone.error and difference.kind != "data":  # of a run that ended nothing is known of any row
            return local.first_changed(self.laboratory, difference)
        good = self.laboratory.outcome(NOTHING)
        changed = (row for row in difference.rows if alone.digests.get(row) != good.digests.get(row))
        return next(changed, difference.rows[0])

    def _cause(self, difference: Difference, alone: Outcome, left: Outcome, done: bool = True) -> Cause:
        return Cause(
            difference,
            self.stage_of(difference, alone),
            self.share(alone) if done else float("nan"),
            self.share(left) if done else float("nan"),
            alone.sentence if done else "not done yet",
            left.sentence if done else "not done yet",
            self.known(difference),
        )
