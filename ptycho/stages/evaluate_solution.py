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
from ptycho.stages import evaluate, solve

KIND = Evaluation
FILE = layout.SOLUTION_METRICS


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Evaluation:
    """Measure the solved object, under the probe and at the positions that belong to it."""
    raw: RawData = inputs["scan"]
    solution: Solution = inputs["solve"]
    truth = raw.object_guess if params.evaluation.use_object_guess else None
    scan = raw.without_truth().at(solution.positions)
    bad = solve.bad_pixels(params, raw.N)
    return summary.evaluate(solution.reconstruction, truth, scan, solution.probe, params.evaluation, bad)


def telemetry(found: Evaluation) -> dict[str, float]:
    """Return all numbers under dotted names."""
    return evaluate.telemetry(found)


def invariants(found: Evaluation) -> Iterator[tuple[str, bool]]:
    """Check that a share is one."""
    return evaluate.invariants(found)


def notes(found: Evaluation, params: Params) -> Iterator[str]:
    """Say where nothing can be compared."""
    if not found.compared:
        yield "No truth: the scan has no objectGuess, and the solution is judged by the data alone."


def tables(found: Evaluation) -> Iterator[Table]:
    """Put what matters at the top, then what the pipeline's own result is measured by."""
    rows = [
        ("sum (A_pred - A)^2 / sum A^2", found.data["stitched_error"]),
        ("factor that fits the predicted patterns", found.data["stitched_scale"]),
        *((name, found.direct[name]) for name in evaluate.AGAINST_TRUTH if name in found.direct),
    ]
    yield Table("Direct solution", ("", ""), tuple(rows), headline=True)
    yield from evaluate.tables(found)


def save(found: Evaluation, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the numbers."""
    atomic.write_json(folder / FILE, found.to_dict())


def load(folder: Path, inputs: Mapping[str, Any]) -> Evaluation:
    """Read them back."""
    return evaluate.read(folder / FILE)
