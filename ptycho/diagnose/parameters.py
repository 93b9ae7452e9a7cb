"""Which parameters differ between two sides, and which stages read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ptycho.artifacts.stage import Table
from ptycho.diagnose.case import Case
from ptycho.diagnose.diagnosis import Diagnosis
from ptycho.stages import pipeline

QUESTION = "Which parameters differ, and which stage reads them first?"
UNDEFINED = "not defined"
LABELS = ("name", "description")
"""What no stage reads."""


def ask(cases: Sequence[Case]) -> Diagnosis:
    """Compare every resolved parameter of all sides; of one alone list them."""
    sides = {case.name: flat(case.config.to_dict()) for case in cases}
    paths = sorted({path for values in sides.values() for path in values} - set(LABELS))
    rows = [
        (path, *(_shown(values.get(path, UNDEFINED)) for values in sides.values()), first_reader(path))
        for path in paths
    ]
    differing = [row for row in rows if len(set(row[1:-1])) > 1]
    columns = ("parameter", *sides, "first read by")
    tables = (
        Table("Parameters that differ", columns, tuple(differing), headline=True),
        Table("All parameters", columns, tuple(rows), headline=len(cases) == 1),
    )
    return Diagnosis("params", QUESTION, _answer(len(rows), differing, len(cases)), tables, sides)


def _answer(count: int, differing: Sequence[tuple[str, ...]], sides: int) -> str:
    if sides == 1:
        return f"{count} parameters are resolved; name a second side to compare them."
    if not differing:
        return f"None of {count} parameters differs."
    order = [stage.name for stage in pipeline.STAGES]
    read = [row[-1] for row in differing if row[-1] in order]
    if not read:
        return f"{len(differing)} of {count} parameters differ, and no stage reads any of them."
    first = min(read, key=order.index)
    named = ", ".join(row[0] for row in differing if row[-1] == first)
    return f"{len(differing)} of {count} parameters differ; the first stage that can differ is {first} ({named})."


def first_reader(path: str) -> str:
    """Return the first stage that reads a parameter, or nothing."""
    for stage in pipeline.STAGES:
        if any(path == read or path.startswith(f"{read}.") for read in stage.reads):
            return stage.name
    return ""


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables as one with dotted names."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[f"{prefix}{name}"] = value
    return result


def _shown(value: Any) -> str:
    return value if value == UNDEFINED else repr(value)
