"""What each row does by itself: BAD's way on GOOD's inputs. Nothing is searched for.

What changes nothing there is put into GOOD in every later experiment: so the search has it in BAD's company, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ptycho.artifacts.stage import Stage
from ptycho.isolate.differences import Difference
from ptycho.isolate.laboratory import BudgetSpent, Laboratory
from ptycho.stages import pipeline
from ptycho.stages.pipeline import PipelineResult


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
    good, inputs = laboratory.outcome(()), laboratory.run(()).artifacts
    for row in rows:
        here = [each for each in candidates if row.name in each.rows and each.kind != "data"]
        if laboratory.seconds > laboratory.budget:
            raise BudgetSpent
        laboratory.tell(f"stage {row.name} by itself: BAD's way on GOOD's inputs")
        names = tuple(each.name for each in here)
        outcome = _alone(laboratory, row, inputs, here)
        if isinstance(outcome, str):
            result.append(Local(row.name, names, False, outcome))
            continue
        record = outcome.records[row.name]
        same = record.digest == good.digests.get(row.name)
        changed = {} if same else _changed(good.telemetry.get(row.name, {}), record.telemetry)
        result.append(Local(row.name, names, same, changed=changed))
    return result


def first_changed(laboratory: Laboratory, difference: Difference) -> str:
    """Return the first row that a difference changes, or ends, by itself; the first in which it acts where it changes none."""
    good, inputs = laboratory.outcome(()), laboratory.run(()).artifacts
    for row in (row for row in pipeline.STAGES if row.name in difference.rows):
        outcome = _alone(laboratory, row, inputs, [difference])
        if isinstance(outcome, str) or outcome.records[row.name].digest != good.digests.get(row.name):
            return row.name
    return difference.rows[0]


def clear(candidates: Iterable[Difference], seen: Sequence[Local]) -> dict[Difference, str]:
    """Return the differences that change no row by itself, with the words that say so."""
    same = {each.row for each in seen if each.same}
    return {
        each: f"{', '.join(each.rows)} comes out the same with it and without, on GOOD's inputs, and no later experiment shows it"
        for each in candidates
        if each.kind != "data" and set(each.rows) <= same
    }


def _alone(
    laboratory: Laboratory, row: Stage, good: Mapping[str, Any], taken: Iterable[Difference]
) -> PipelineResult | str:
    """Return what a row makes by BAD's way on GOOD's inputs, or what ended it."""
    return laboratory.attempt(taken, given={name: good[name] for name in row.inputs}, until=row.name)


def _changed(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return the numbers that differ, the largest change first."""
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
