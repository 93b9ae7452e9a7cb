"""The numbers of the direct solution: how well it explains the data, and how near it is to the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ptycho.artifacts.stage import Execution, Table
from ptycho.base import atomic, layout
from ptycho.evaluation import summary
from ptycho.evaluation.summary import Evaluation
from ptycho.scan.raw import RawData
from ptycho.settings.params import Params
from ptycho.solve.solution import Solution
from ptycho.stages import evaluate

KIND = Evaluation
FILE = layout.SOLUTION_METRICS


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Evaluation:
    """Measure the solved object, under the probe and at the positions that belong to it."""
    raw: RawData = inputs["inspect"].scan
    solution: Solution = inputs["solve"]
    truth = raw.object_guess if params.evaluation.use_object_guess else None
    scan = raw.without_truth().at(solution.positions)
    return summary.evaluate(solution.reconstruction, truth, scan, solution.probe, params.evaluation)


def telemetry(evaluation: Evaluation) -> dict[str, float]:
    """Return all numbers under dotted names."""
    return evaluate.telemetry(evaluation)


def invariants(evaluation: Evaluation) -> Iterator[tuple[str, bool]]:
    """Check that a share is one."""
    return evaluate.invariants(evaluation)


def notes(evaluation: Evaluation, params: Params) -> Iterator[str]:
    """Say where nothing can be compared."""
    if not evaluation.compared:
        yield "No truth: the scan has no objectGuess, and the solution is judged by the data alone."


def tables(evaluation: Evaluation) -> Iterator[Table]:
    """Put what matters at the top, then what the pipeline's own result is measured by."""
    rows = [
        ("sum (A_pred - A)^2 / sum A^2", evaluation.data["stitched_error"]),
        ("factor that fits the predicted patterns", evaluation.data["stitched_scale"]),
        *((name, evaluation.direct[name]) for name in evaluate.AGAINST_TRUTH if name in evaluation.direct),
    ]
    yield Table("Direct solution", ("", ""), tuple(rows), headline=True)
    yield from evaluate.tables(evaluation)


def save(evaluation: Evaluation, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the numbers."""
    atomic.write_json(folder / FILE, evaluation.to_dict())


def load(folder: Path, inputs: Mapping[str, Any]) -> Evaluation:
    """Read them back."""
    return evaluate.read(folder / FILE)
