"""Whether positions, probe and patterns belong together, and what else they could be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ptycho.diagnose import diagnosis
from ptycho.diagnose.case import Case
from ptycho.diagnose.diagnosis import Diagnosis
from ptycho.solve import readings

QUESTION = (
    "Do positions, probe and patterns belong together, or does another reading of the scan explain them?"
)
VERDICT, WORDS = "verdict", "in words"


def ask(cases: Sequence[Case]) -> Diagnosis:
    """Compare each side's scan with other readings of it."""
    title = "unexplained share of what positions tell, on a sample"
    return diagnosis.measured("geometry", QUESTION, title, cases, measure, _sentence)


def measure(case: Case) -> dict[str, Any]:
    """Return the verdict, and the place of every reading between photon noise and mean pattern."""
    comparison = case.measure(lambda: case.get("geometry"))
    if isinstance(comparison, str):
        return {VERDICT: comparison}
    status, _, words = readings.judge(comparison, case.config.gates.geometry_margin)
    places = {name: comparison.place(name) for name in comparison.errors} if comparison.tells else {}
    return {
        VERDICT: status.replace("_", " "),
        **dict(sorted(places.items(), key=lambda item: item[1])),
        "patterns": comparison.patterns,
        "overlap of neighbours": comparison.overlap,
        WORDS: words,
    }


def _sentence(values: Mapping[str, Any]) -> str:
    words = values.get(WORDS)
    return f"{words[0].upper()}{words[1:]}." if words else f"Not known ({values[VERDICT]})."
