"""The verdict: every gate that applies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ptycho.artifacts.stage import Execution, Table
from ptycho.base import atomic, documents, layout
from ptycho.evaluation import gates
from ptycho.evaluation.gates import Verdict
from ptycho.scan.groups import GroupedData
from ptycho.settings.params import Params
from ptycho.solve import choose
from ptycho.stages import grouped

KIND: type = tuple
FILE = layout.VERDICTS


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> tuple[Verdict, ...]:
    """Judge the result."""
    groups: GroupedData = inputs["group_test"]
    return gates.judge(
        inputs["stitch"],
        inputs["evaluate"],
        inputs["geometry"],
        inputs["train"],
        requested_groups(groups, params),
        params.gates,
        lambda: choose.whether_solvable(grouped.under(groups, inputs["train"])),
        inputs["inspect"].wrong,
    )


def requested_groups(groups: GroupedData, params: Params) -> int:
    """Return how many groups were asked for: by number, or all that the test part has patterns for."""
    if params.inference.n_groups is not None:
        return int(params.inference.n_groups)
    if params.grouping.method == "consecutive":
        return len(groups.raw) // groups.gridsize**2
    return len(groups.raw)


def telemetry(verdicts: tuple[Verdict, ...]) -> dict[str, float]:
    """Return 1 for each gate that passed, 0 for each that failed, NaN where it does not apply."""
    numbers = {"pass": 1.0, "fail": 0.0, "not_applicable": math.nan}
    return {verdict.name: numbers[verdict.status] for verdict in verdicts}


def invariants(verdicts: tuple[Verdict, ...]) -> Iterator[tuple[str, bool]]:
    """Every gate speaks once."""
    names = [verdict.name for verdict in verdicts]
    yield "every gate must give one verdict", 0 < len(names) == len(set(names))


def passed(verdicts: tuple[Verdict, ...]) -> bool:
    """Whether no gate failed."""
    return gates.passed(verdicts)


def heading(verdicts: tuple[Verdict, ...]) -> str:
    """Say what the verdict rests on: which gates failed, or that there was no truth."""
    failed = [verdict.name for verdict in verdicts if verdict.status == "fail"]
    if failed:
        return f"FAIL: {', '.join(failed)}"
    compared = any(verdict.name == "pearson" and verdict.status == "pass" for verdict in verdicts)
    return "PASS" if compared else "PASS: data explained; no truth to compare with"


def tables(verdicts: tuple[Verdict, ...]) -> Iterator[Table]:
    """Show the headline of every run."""
    rows = tuple((v.name, v.status.replace("_", " "), v.value, v.limit, v.reason) for v in verdicts)
    yield Table("Gates", ("gate", "verdict", "measured", "limit", "reason"), rows, headline=True)


def write(path: Path, verdicts: tuple[Verdict, ...]) -> None:
    """Write the verdicts."""
    atomic.write_json(path, [asdict(verdict) for verdict in verdicts])


def read(path: Path, inputs: Any = None) -> tuple[Verdict, ...]:
    """Read them back."""
    return tuple(Verdict(**item) for item in documents.read_json(path))
