"""What an isolation comes to: causes with their shares, what was cleared, the judge, in words and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ptycho.isolate.blind import Judgement
from ptycho.isolate.differences import Difference
from ptycho.isolate.laboratory import Outcome
from ptycho.isolate.local import Local

SMALL = 0.1
"""Share of the gap below which a cause is a small one."""
WORSE = 1.1
"""Share of the gap from which on a repair made things worse."""


@dataclass(frozen=True)
class Cause:
    """A difference that must be repaired.

    Attributes
    ----------
    difference : Difference
    stage : str
        The row in which it first shows.
    alone : float
        Share of the gap from GOOD to BAD that it makes by itself in GOOD.
    left : float
        Share of the gap that is left in BAD where it alone is repaired.
    alone_says, left_says : str
        What those two experiments came to.
    finding : str
        The known bug of the ledger that it is, with its remedy; nothing where it is none.
    """

    difference: Difference
    stage: str
    alone: float
    left: float
    alone_says: str
    left_says: str
    finding: str = ""

    @property
    def weight(self) -> float:
        """The larger share of the gap that it explains, put in or taken out."""
        return max(0.0, min(self.alone, 1.0), min(1 - self.left, 1.0))

    @property
    def words(self) -> str:
        """The cause in a few words."""
        share = f", {_percent(self.weight)} of the gap" if math.isfinite(self.alone) else ""
        return f"{self.difference.name} (stage {self.stage}{share})"

    @property
    def sentence(self) -> str:
        """The cause and its evidence, for people."""
        words = f"stage {self.stage}: {self.difference.sentence}: alone in GOOD it makes {_percent(self.alone)} of the gap "
        words += f"({self.alone_says}); BAD without it keeps {_percent(self.left)} ({self.left_says})"
        if self.left > WORSE:
            words += "; repaired alone it makes BAD worse, so that something else hides it"
        elif self.alone < SMALL and self.left > 1 - SMALL:
            words += "; a small effect, or one that needs the others"
        return f"{words}; {self.finding}" if self.finding else words

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            **self.difference.to_dict(),
            "stage": self.stage,
            "alone": self.alone,
            "left": self.left,
            "alone_says": self.alone_says,
            "left_says": self.left_says,
            "finding": self.finding,
        }


@dataclass(frozen=True)
class Hidden:
    """Differences that no repair needs, but whose repair changes BAD as it is: they act in the company of the causes.

    Attributes
    ----------
    differences : tuple of Difference
        One, or several that were repaired together.
    left : float
        Share of the gap that is left in BAD without them.
    says : str
        What that experiment came to.
    """

    differences: tuple[Difference, ...]
    left: float
    says: str

    @property
    def name(self) -> str:
        """What they are called together."""
        return " + ".join(each.name for each in self.differences)

    @property
    def sentence(self) -> str:
        """What repairing them does, for people."""
        words = f"{self.name}: acts only in the company of the causes; BAD without it keeps {_percent(self.left)} ({self.says})"
        return f"{words}: to repair it alone makes BAD worse" if self.left > WORSE else words


@dataclass(frozen=True)
class Verdict:
    """The answer to: which stage, which parameter, data or code.

    Attributes
    ----------
    good, bad : str
        Names of the sides.
    complete : bool
        Whether all experiments were done; otherwise the budget ended.
    outcomes : mapping of str to Outcome
        Of GOOD, BAD, and BAD repaired.
    symptoms : mapping of str to float
        Numbers by which BAD shows, in standard deviations over seeds.
    causes : tuple of Cause
        The smallest repair, the largest share first.
    hidden : tuple of Hidden
        What acts only in the company of the causes.
    breaks : tuple of tuple of str
        The smallest sets that break GOOD.
    judges : tuple of Difference
        Differences in the judges that change the verdict on one and the same object.
    judge : Judgement
    rows : tuple of Local
    cleared : mapping of str to str
        What is no cause, and how that is known.
    reach : str
        What solving BAD's scan directly comes to.
    experiments : int
    executions : int
        Rows that were computed.
    seconds : float
    notes : tuple of str
        What a person should know beside this.
    last : str
        The row that has the verdict of both sides.
    """

    good: str
    bad: str
    complete: bool = True
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    symptoms: Mapping[str, float] = field(default_factory=dict)
    causes: tuple[Cause, ...] = ()
    hidden: tuple[Hidden, ...] = ()
    breaks: tuple[tuple[str, ...], ...] = ()
    judges: tuple[Difference, ...] = ()
    judge: Judgement = field(default_factory=Judgement)
    rows: tuple[Local, ...] = ()
    cleared: Mapping[str, str] = field(default_factory=dict)
    reach: str = ""
    experiments: int = 0
    executions: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    last: str = ""

    def with_note(self, line: str) -> Verdict:
        """Return it with one more note."""
        return replace(self, notes=(*self.notes, line))

    @property
    def evidence(self) -> tuple[str, ...]:
        """A line for each cause, and for each that acts in their company."""
        return (*(each.sentence for each in self.causes), *(each.sentence for each in self.hidden))

    @property
    def isolated(self) -> bool:
        """Whether a cause is named, or nothing is wrong."""
        return self.complete and bool(self.causes or self.judges or not self.symptoms)

    @property
    def sentence(self) -> str:
        """The verdict in one paragraph."""
        parts = [self._headline]
        if self.causes and self.causes[0].finding:
            words = self.causes[0].finding.rstrip(".")
            parts.append(f"{words[0].upper()}{words[1:]}.")
        if self.judge.blind:
            parts.append(f"{self.judge.sentence[0].upper()}{self.judge.sentence[1:]}.")
        if self.judges:
            named = ", ".join(each.name for each in self.judges)
            parts.append(
                f"The judges differ in {named}, which changes the verdict on one and the same object."
            )
        if self.hidden:
            named = ", ".join(each.name for each in self.hidden if len(each.differences) == 1)
            parts.append(f"In the company of these act {named}.")
        together = [each for each in self.breaks if len(each) > 1]
        if together and all(len(each) > 1 for each in self.breaks):
            parts.append(f"None breaks GOOD alone; {' and '.join(together[0])} do together.")
        if not self.complete:
            parts.append("The budget ended before all experiments were done: this verdict is partial.")
        return " ".join(parts)

    @property
    def _headline(self) -> str:
        if self.causes:
            named = ", ".join(each.words for each in self.causes)
            return f"{self.bad} differs from {self.good} by {named}."
        if not self.symptoms and self.judges:
            return f"{self.bad} makes the object that {self.good} makes."
        if not self.symptoms:
            if not self.outcomes:
                return "Nothing is known yet."
            return f"No visible effect: {self.bad} differs from {self.good} by no more than other seeds do."
        return f"{self.bad} differs from {self.good}, and no cause is isolated."

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "good": self.good,
            "bad": self.bad,
            "complete": self.complete,
            "verdict": self.sentence,
            "outcomes": {
                name: {"says": each.sentence, "failed": list(each.failed), "values": dict(each.values)}
                for name, each in self.outcomes.items()
            },
            "symptoms": dict(self.symptoms),
            "causes": [each.to_dict() for each in self.causes],
            "hidden": [
                {"names": [one.name for one in each.differences], "left": each.left, "says": each.says}
                for each in self.hidden
            ],
            "breaks": [list(each) for each in self.breaks],
            "judges": [each.to_dict() for each in self.judges],
            "judge": self.judge.sentence,
            "stages": [
                {
                    "stage": each.row,
                    "same": each.same,
                    "differences": list(each.names),
                    "error": each.error,
                    "changed": {name: list(pair) for name, pair in each.changed.items()},
                }
                for each in self.rows
            ],
            "cleared": dict(self.cleared),
            "reach": self.reach,
            "experiments": self.experiments,
            "executions": self.executions,
            "seconds": self.seconds,
            "notes": list(self.notes),
        }


def _percent(share: float) -> str:
    return f"{share:.0%}" if math.isfinite(share) else "an unknown share"
