"""What each row does by itself: BAD's way on GOOD's inputs, and GOOD's way on BAD's. Nothing is searched for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ptycho.base.errors import PtychoError
from ptycho.isolate.differences import Difference
from ptycho.isolate.laboratory import BudgetSpent, Laboratory, Outcome, Taken
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
        Whether its artifact is the same by both ways, on the inputs of both sides.
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


def look(laboratory: Laboratory, candidates: Sequence[Difference], everything: Taken) -> list[Local]:
    """Run every row in which something differs by itself.

    Parameters
    ----------
    laboratory : Laboratory
    candidates : sequence of Difference
    everything : frozenset
        All of BAD.
    """
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
        one, error = _alone(laboratory, row.name, (), here)
        if error or one != good.digests.get(row.name):
            changed = {} if error else _changed(laboratory, row.name, here, good)
            result.append(Local(row.name, names, False, error, changed))
            continue
        laboratory.tell(f"stage {row.name} by itself: GOOD's way on BAD's inputs")
        bad = laboratory.outcome(everything)
        other, error = _alone(laboratory, row.name, everything, everything - frozenset(here))
        result.append(Local(row.name, names, not error and other == bad.digests.get(row.name), error))
    return result


def clear(candidates: Iterable[Difference], seen: Sequence[Local]) -> dict[Difference, str]:
    """Return the differences that change no row by itself, with the words that say so."""
    same = {each.row for each in seen if each.same}
    return {
        each: f"{', '.join(each.rows)} comes out the same with it and without, on the inputs of both sides"
        for each in candidates
        if each.kind != "data" and set(each.rows) <= same
    }


def _alone(
    laboratory: Laboratory, row: str, inputs_of: Iterable[Difference], taken: Iterable[Difference]
) -> tuple[str, str]:
    """Return the digest of a row's artifact on the inputs of one side, or what ended it."""
    try:
        result = _ran(laboratory, row, inputs_of, taken)
    except (PtychoError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return "", f"{type(error).__name__}: {error}"
    return str(result.records[row].digest), ""


def _ran(
    laboratory: Laboratory, row: str, inputs_of: Iterable[Difference], taken: Iterable[Difference]
) -> Any:
    stage = pipeline.stage_named(row)
    inputs = {}
    if stage.inputs:
        there = laboratory.run(inputs_of).artifacts
        inputs = {name: there[name] for name in stage.inputs}
    return laboratory.run(taken, given=inputs, until=row)


def _changed(
    laboratory: Laboratory, row: str, taken: Iterable[Difference], good: Outcome
) -> dict[str, tuple[float, float]]:
    """Return the numbers of a row that differ, the largest change first."""
    theirs = _ran(laboratory, row, (), taken).records[row].telemetry
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
