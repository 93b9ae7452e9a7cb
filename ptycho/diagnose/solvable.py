"""Whether the scan is at fault, or what was made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ptycho.diagnose import diagnosis
from ptycho.diagnose.case import Case, Unknown
from ptycho.diagnose.diagnosis import Diagnosis
from ptycho.scan.raw import RawData
from ptycho.solve import choose
from ptycho.stages import grouped

SOLVED, OWN = "unexplained, solved directly", "unexplained, the run's object"
ALLOWED, WORDS = "allowed (gates.max_unexplained)", "in words"
QUESTION = "Can the scan be solved at all, and what is the best data consistency to be had?"


def ask(cases: Sequence[Case]) -> Diagnosis:
    """Solve the patterns of all sides directly, without a network."""
    return diagnosis.measured("solvable", QUESTION, "share of what positions tell", cases, measure, _sentence)


def measure(case: Case) -> dict[str, Any]:
    """Return what solving leaves of patterns that are left out, beside its nulls, and what the run's own object leaves."""
    result = case.measure(lambda: patterns(case))
    if isinstance(result, str):
        return {SOLVED: result}
    choice = choose.whether_solvable(result)
    own = case.measure(lambda: case.get("evaluate").data)
    return {
        SOLVED: choice.unexplained,
        **{f"data error of left-out patterns, {name}": error for name, error in choice.tried.items()},
        "the same, positions in a shuffled order": choice.shuffled,
        "the same, the mean pattern": choice.mean_pattern,
        "the same, photon noise alone": choice.noise,
        OWN: own if isinstance(own, str) else own["unexplained"],
        ALLOWED: case.config.gates.max_unexplained,
        "patterns solved": choice.patterns,
        WORDS: choice.sentence if choice.tried else "",
    }


def patterns(case: Case) -> RawData:
    """Return the patterns that a run reconstructed, under its probe; without a run the scan."""
    try:
        groups, bundle = case.get("group_test"), case.get("train")
    except Unknown:
        scan: RawData = case.get("scan")
        return scan.without_truth()
    return grouped.under(groups, bundle).without_truth()


def _sentence(values: Mapping[str, Any]) -> str:
    solved = values[SOLVED]
    if isinstance(solved, str):
        return f"The scan was not solved ({solved})."
    if not diagnosis.is_number(solved):
        return (
            "Nobody knows: the patterns hardly overlap, or differ from their mean by no more than photon noise, and none "
            "predicts another."
        )
    words, limit, own = values[WORDS], values[ALLOWED], values[OWN]
    if not solved <= limit:
        return f"It cannot: {words}, and no better. Look at geometry, probe and patterns, not at the network."
    beside = f"; the run's own object leaves {own:.0%}" if diagnosis.is_number(own) else ""
    fault = ": the network is at fault" if diagnosis.is_number(own) and own > limit else ""
    return f"It can: {words}{beside}{fault}."
