"""The one shape of all answers, and how it is written: for a terminal, as JSON, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ptycho.artifacts.stage import Table
from ptycho.diagnose.case import Case
from ptycho.report import write as report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Numbers = Mapping[str, Any]


@dataclass(frozen=True)
class Diagnosis:
    """An answered question.

    Attributes
    ----------
    name, question : str
    answer : str
        One sentence, computed from the numbers.
    tables : sequence of Table
    numbers : mapping of str to mapping
        Everything measured, by side; values that are not known are texts that say why.
    draw : callable or None
        Makes the picture.
    """

    name: str
    question: str
    answer: str
    tables: tuple[Table, ...]
    numbers: Mapping[str, Numbers]
    draw: Callable[[], Figure] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what a program reads: question, answer, numbers."""
        return {
            "name": self.name,
            "question": self.question,
            "answer": self.answer,
            "numbers": {side: dict(values) for side, values in self.numbers.items()},
        }

    def to_markdown(self) -> str:
        """Return a chapter: question, answer, tables."""
        parts = [f"## {self.name}: {self.question}", self.answer]
        parts += [report.markdown(table) for table in self.tables]
        return "\n\n".join(parts) + "\n"


def measured(
    name: str,
    question: str,
    title: str,
    cases: Sequence[Case],
    measure: Callable[[Case], Numbers],
    sentence: Callable[[Numbers], str],
    draw: Callable[[Sequence[Case]], Figure] | None = None,
    more: Sequence[Table] = (),
) -> Diagnosis:
    """Measure each side by itself: its numbers in a column, its sentence in the answer."""
    numbers = {case.name: measure(case) for case in cases}
    return Diagnosis(
        name,
        question,
        joined({side: sentence(values) for side, values in numbers.items()}),
        (side_by_side(title, cases, numbers), *more),
        numbers,
        None if draw is None else lambda: draw(cases),
    )


def side_by_side(title: str, cases: Sequence[Case], numbers: Mapping[str, Numbers]) -> Table:
    """Return a table with a row for each quantity and a column for each side."""
    names = list(dict.fromkeys(name for values in numbers.values() for name in values))
    rows = tuple((name, *(numbers[case.name].get(name, "n/a") for case in cases)) for name in names)
    return Table(title, ("", *(case.name for case in cases)), rows, headline=True)


def is_number(value: Any) -> bool:
    """Whether a value was measured: finite, and no text that says why it was not."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def joined(sentences: Mapping[str, str]) -> str:
    """Return one answer for all sides; their names only where there are several."""
    if len(sentences) == 1:
        return next(iter(sentences.values()))
    return "; ".join(f"{side}: {text.rstrip('.')}" for side, text in sentences.items()) + "."
