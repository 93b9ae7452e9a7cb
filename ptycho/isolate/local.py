"""What each row does by itself: BAD's way on GOOD's inputs. Nothing is searched for.

What changes nothing there is put into GOOD in every later experiment: so the search has it in BAD's company, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ptycho.base.errors import PtychoError
from ptycho.isolate.differences import Difference
from ptycho.isolate.laboratory import BudgetSpent, Laboratory, Outcome
from ptycho.stages import pipeline


@dataclass(frozen=True)
class Local:
    """What the differences of one row do to its own artifact.

    Attributes
    ----------
    row : str
    names : tuple of str
        The differences that act in it.
    same : bool
        Whether its artifact is the same by both ways.
    error : str
        What ended it, where something did: a broken invariant above all.
    changed : mapping of str to (float, float)
        Numbers that describe it, by GOOD's way and by BAD's on the same inputs, where they differ.
    """

    row: str
    names: tuple[str, ...]
    same: bool
    error: str = ""
    changed: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def look(laboratory: Laboratory, candidates: Sequence[Difference]) -> list[Local]:
    """Run every row in which some of the candidates act by itself."""
    result = []
    rows = [
        row
        for row in pipeline.STAGES
        if any(row.name in each.rows and each.kind != "data" for each in candidates)
    ]
    good = laboratory.outcome(())
    for row in rows:
        here = [each for each in candidates if row.name in each.rows and each.kind != "data"]
        if laboratory.seconds > laboratory.budget:
            raise BudgetSpent
        laboratory.tell(f"stage {row.name} by itself: BAD's way on GOOD's inputs")
        names = tuple(each.name for each in here)
        one, error = _alone(laboratory, row.name, here)
        if error or one != good.digests.get(row.name):
            changed = {} if error else _changed(laboratory, row.name, here, good)
            result.append(Local(row.name, names, False, error, changed))
            continue
        result.append(Local(row.name, names, True))
    return result


def clear(candidates: Iterable[Difference], seen: Sequence[Local]) -> dict[Difference, str]:
    """Return the differences that change no row by itself, with the words that say so."""
    same = {each.row for each in seen if each.same}
    return {
        each: f"{', '.join(each.rows)} comes out the same with it and without, on GOOD's inputs, and no later experiment shows it"
        for each in candidates
        if each.kind != "data" and set(each.rows) <= same
    }


def _alone(laboratory: Laboratory, row: str, taken: Iterable[Difference]) -> tuple[str, str]:
    """Return the digest of a row's artifact by BAD's way on GOOD's inputs, or what ended it."""
    try:
        result = _ran(laboratory, row, taken)
    except (PtychoError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return "", f"{type(error).__name__}: {error}"
    return str(result.records[row].digest), ""


def _ran(laboratory: Laboratory, row: str, taken: Iterable[Difference]) -> Any:
    stage = pipeline.stage_named(row)
    there = laboratory.run(()).artifacts if stage.inputs else {}
    return laboratory.run(taken, given={name: there[name] for name in stage.inputs}, until=row)


def _changed(
    laboratory: Laboratory, row: str, taken: Iterable[Difference], good: Outcome
) -> dict[str, tuple[float, float]]:
    """Return the numbers of a row that differ, the largest change first."""
    theirs = _ran(laboratory, row, taken).records[row].telemetry
    ours = good.telemetry.get(row, {})
    apart = {
        name: (float(ours[name]), float(theirs[name]))
        for name in ours
        if name in theirs
        and not (ours[name] == theirs[name] or (math.isnan(ours[name]) and math.isnan(theirs[name])))
    }
    return dict(sorted(apart.items(), key=lambda item: -_relative(*item[1])))


def _relative(good: float, bad: float) -> float:
    size = max(abs(good), abs(bad))
    return abs(bad - good) / size if size and math.isfinite(good - bad) else math.inf
