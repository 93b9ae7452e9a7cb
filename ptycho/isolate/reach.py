"""Is it the scan or the network: what solving BAD's scan directly comes to, and what gradient steps alone make of its groups."""

from __future__ import annotations

from ptycho.base.errors import PtychoError
from ptycho.isolate import blind
from ptycho.isolate import laboratory as experiments
from ptycho.isolate.laboratory import Laboratory, Taken
from ptycho.solve import choose
from ptycho.stages import pipeline

PHYSICS = "physics"
"""The row that reconstructs by gradient steps alone: the null of what a network learned."""
UNEXPLAINED = "data.unexplained"
"""Of what judges measure: the share of what patterns tell that an object leaves unexplained."""


def ask(laboratory: Laboratory, makers: Taken) -> str:
    """Return a sentence on BAD's scan, solved directly, and one on physics alone beside BAD's network where both are known.

    Parameters
    ----------
    laboratory : Laboratory
    makers : frozenset
        All of BAD but its judges.
    """
    laboratory.tell("is it the scan: solving BAD's patterns directly")
    return "; ".join(filter(None, (_solved(laboratory, makers), _by_physics(laboratory, makers))))


def _solved(laboratory: Laboratory, makers: Taken) -> str:
    first = pipeline.STAGES[0].name
    try:
        choice = choose.whether_solvable(laboratory.run(makers, until=first).artifacts[first])
    except PtychoError as error:
        return f"BAD's scan cannot be solved: {error}"
    if not choice.tried:
        return ""
    able = choice.unexplained <= laboratory.good.config.gates.max_unexplained
    words = "BAD's scan is sound" if able else "BAD's scan itself cannot be explained"
    return f"{words}: {choice.sentence}"


def _by_physics(laboratory: Laboratory, makers: Taken) -> str:
    """Put what gradient steps alone reconstruct in the place of BAD's object, under GOOD's judges."""
    names = {row.name for row in pipeline.STAGES}
    if PHYSICS not in names or laboratory.comparison.last != pipeline.verdict_row().name:
        return ""
    alone = laboratory.attempt(makers, until=PHYSICS)
    if isinstance(alone, str):
        return f"physics alone ends in {alone}"
    row = blind.object_row(laboratory.comparison.last)
    shares = {}
    for name, given in (("physics alone", {row: alone.artifacts[PHYSICS]}), ("BAD's network", {})):
        result = laboratory.attempt(makers, given=given)
        if not isinstance(result, str):
            values = experiments.outcome_of(result, laboratory.comparison).values
            shares[name] = next(value for key, value in values.items() if key.endswith(UNEXPLAINED))
    if not shares:
        return ""
    words = ", ".join(f"{name} leaves {value:.0%}" for name, value in shares.items())
    return f"of what its patterns tell, {words} unexplained"
