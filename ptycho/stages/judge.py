"""The verdict on a solved object: by what it predicts, what two halves of the patterns agree on, and what became of the probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ptycho.artifacts.stage import Execution
from ptycho.base import layout
from ptycho.evaluation import solved
from ptycho.evaluation.gates import Verdict
from ptycho.scan.inspection import Inspection
from ptycho.settings.params import Params
from ptycho.stages import gate

KIND = gate.KIND
FILE = layout.JUDGEMENT


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> tuple[Verdict, ...]:
    """Judge the solved object."""
    inspected: Inspection = inputs["inspect"]
    halves = inputs["halves"]
    return solved.judge(
        inputs["solve"],
        inputs["evaluate_solution"],
        inputs["geometry"],
        halves.left_out,
        halves.detail_px(0.5),
        params.gates,
        inspected.scan.positions,
        inspected.wrong,
    )


def heading(verdicts: tuple[Verdict, ...]) -> str:
    """Say which gates failed, or what the verdict rests on."""
    failed = [verdict.name for verdict in verdicts if verdict.status == "fail"]
    return f"FAIL: {', '.join(failed)}" if failed else "PASS: each half of the patterns predicts the other"
