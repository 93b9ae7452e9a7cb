"""The numbers: how well the object explains the data, and how near it is to the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ptycho.artifacts.stage import Execution, Table
from ptycho.base import atomic, documents, layout
from ptycho.evaluation import summary
from ptycho.evaluation.summary import Evaluation
from ptycho.network.bundle import Bundle
from ptycho.scan.groups import GroupedData
from ptycho.scan.raw import Split
from ptycho.settings.params import Params
from ptycho.stages import grouped

KIND = Evaluation
FILE = layout.METRICS
AGAINST_TRUTH = ("pearson", "ssim", "amplitude_ratio")
"""What of the comparison with a truth is told at the top."""


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Evaluation:
    """Measure the stitched object."""
    groups: GroupedData = inputs["group_test"]
    bundle: Bundle = inputs["train"]
    truth = grouped.truth_of(groups, params)
    result = summary.evaluate(inputs["stitch"], truth, grouped.used(groups), bundle.probe, params.evaluation)
    return replace(result, part=part_of(inputs["split"]))


def part_of(split: Split) -> str:
    """Say which patterns of a scan are judged."""
    if len(split.test_rows) == len(split.scan):
        return f"the whole scan, {len(split.scan)} patterns"
    return f"the part that was held out, {len(split.test_rows)} of {len(split.scan)} patterns"


def telemetry(evaluation: Evaluation) -> dict[str, float]:
    """Return all numbers under dotted names."""
    return evaluation.summary()


def invariants(evaluation: Evaluation) -> Iterator[tuple[str, bool]]:
    """Check that a share is one."""
    yield "the covered share must lie in [0, 1]", 0 <= evaluation.coverage["covered_fraction"] <= 1


def notes(evaluation: Evaluation, params: Params) -> Iterator[str]:
    """Say where nothing can be compared."""
    if evaluation.part:
        yield f"Metrics and gates are of {evaluation.part}."
    if not evaluation.compared:
        yield "No truth: the scan has no objectGuess; gates that need one are not applicable."


def tables(evaluation: Evaluation) -> Iterator[Table]:
    """Against the truth in both frames, then what is known of every scan."""
    if evaluation.compared:
        names = [
            *evaluation.direct,
            *(name for name in evaluation.registered if name not in evaluation.direct),
        ]
        rows = tuple(
            (name, evaluation.direct.get(name, ""), evaluation.registered.get(name, "")) for name in names
        )
        factor = evaluation.data["prediction_scale"]
        fitted = "no fitted scale" if factor == 1 else f"multiplied by the fitted factor {factor:.4g}"
        title = f"Against the truth, in coverage, {fitted}"
        yield Table(title, ("", "object frame", "registered"), rows)
    for part in ("data", "coverage", "structure"):
        yield Table(part.capitalize(), ("", ""), tuple(getattr(evaluation, part).items()))


def save(evaluation: Evaluation, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the numbers."""
    atomic.write_json(folder / FILE, evaluation.to_dict())


def load(folder: Path, inputs: Mapping[str, Any]) -> Evaluation:
    """Read them back."""
    return read(folder / FILE)


def read(path: Path) -> Evaluation:
    """Read numbers that were written as JSON."""
    return Evaluation(**atomic.with_nan(documents.read_json(path)))
