"""The verdict: every gate that applies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ptycho import gates
from ptycho.data import GroupedData
from ptycho.evaluation.summary import Evaluation
from ptycho.gates import Verdict
from ptycho.io import atomic
from ptycho.params import Params
from ptycho.rows import Execution, Table

KIND = tuple
FILE = "verdicts.json"


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> tuple[Verdict, ...]:
    """Judge the result."""
    groups: GroupedData = inputs["group_test"]
    found: Evaluation = inputs["evaluate"]
    return gates.judge(inputs["stitch"], found.to_dict(), len(groups), params.gates)


def telemetry(verdicts: tuple[Verdict, ...]) -> dict[str, float]:
    """Return 0 for each gate that failed and 1 for each other."""
    return {verdict.name: float(verdict.status != "fail") for verdict in verdicts}


def invariants(verdicts: tuple[Verdict, ...]) -> Iterator[tuple[str, bool]]:
    """Every gate speaks once."""
    names = [verdict.name for verdict in verdicts]
    yield "every gate must give one verdict", 0 < len(names) == len(set(names))


def passed(verdicts: tuple[Verdict, ...]) -> bool:
    """Whether no gate failed."""
    return gates.passed(verdicts)


def tables(verdicts: tuple[Verdict, ...]) -> Iterator[Table]:
    """Show the headline of every run."""
    rows = tuple((v.name, v.status.replace("_", " "), v.value, v.limit, v.reason) for v in verdicts)
    yield Table("Gates", ("gate", "verdict", "measured", "limit", "reason"), rows, headline=True)


def save(verdicts: tuple[Verdict, ...], folder: Path, about: Mapping[str, Any]) -> None:
    """Write the verdicts."""
    atomic.write_json(folder / FILE, [asdict(verdict) for verdict in verdicts])


def load(folder: Path, inputs: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """Read them back."""
    return tuple(Verdict(**item) for item in json.loads((folder / FILE).read_text(encoding="utf-8")))
