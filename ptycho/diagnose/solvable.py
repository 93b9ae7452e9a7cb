"""Whether the scan is at fault, or what was made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ptycho.diagnose import diagnosis
from ptycho.diagnose.case import Case, Unknown
from ptycho.diagnose.diagnosis import Diagnosis
from ptycho.scan.raw import RawData
from ptycho.solve import explain
from ptycho.stages import grouped

QUESTION = "Can the scan be solved at all, and what is the best data consistency to be had?"


def ask(cases: Sequence[Case]) -> Diagnosis:
    """Solve the patterns of all sides directly, without a network."""
    return diagnosis.measured("solvable", QUESTION, "sum (A_pred - A)^2 / sum A^2", cases, measure, _sentence)


def measure(case: Case) -> dict[str, Any]:
    """Return what solving leaves, in the order of the scan and in a shuffled one, and what the run's own object leaves."""
    result = case.measure(lambda: patterns(case))
    if isinstance(result, str):
        return {"solved from flat": result}
    scan = explain.sample(result)
    order = np.random.default_rng(0).permutation(len(scan))
    return {
        "solved from flat": explain.best_error(scan),
        "the same, positions in a shuffled order": explain.best_error(scan.at(scan.positions[order])),
        "the run's object": case.measure(lambda: case.get("evaluate").data["stitched_error"]),
        "allowed (gates.max_data_error)": case.config.gates.max_data_error,
        "patterns solved": len(scan),
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
    solved = values["solved from flat"]
    if not diagnosis.is_number(solved):
        return f"The scan was not solved ({solved})."
    limit, own = values["allowed (gates.max_data_error)"], values["the run's object"]
    if solved > limit:
        return (
            f"It cannot: solved directly, its patterns are explained to {solved:.2g} and no better. Look at geometry, probe and "
            "patterns, not at the network."
        )
    if values["the same, positions in a shuffled order"] <= 2 * solved:
        return f"It can, to {solved:.2g}, but in any order as well: its patterns hardly overlap, and their places say nothing."
    beside = f"; the run's object leaves {own:.2g}" if diagnosis.is_number(own) else ""
    fault = ": the network is at fault" if diagnosis.is_number(own) and own > limit else ""
    return f"It can: solved directly, its patterns are explained to {solved:.2g}{beside}{fault}."
