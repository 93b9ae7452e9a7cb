"""The course of a training: what fell, what rose, and where the first number that is none stands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ptycho.artifacts.stage import Table
from ptycho.diagnose import diagnosis
from ptycho.diagnose.case import Case, Unknown
from ptycho.diagnose.diagnosis import Diagnosis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUESTION = "Did training get anywhere, and did anything become NaN on the way?"


def ask(cases: Sequence[Case]) -> Diagnosis:
    """Read the history of the training of all sides."""
    more = [table for case in cases for table in _course(case)]
    return diagnosis.measured("history", QUESTION, "Training", cases, measure, _sentence, draw, more)


def measure(case: Case) -> dict[str, Any]:
    """Return first, best and last errors, and the first NaN."""
    bundle = case.measure(lambda: case.get("train"))
    if isinstance(bundle, str):
        return {"epochs": bundle}
    rows = bundle.history
    errors = [float(row["val_error"]) for row in rows]
    finite = [error for error in errors if math.isfinite(error)]
    return {
        "epochs": len(rows) - 1,
        "error untrained": errors[0],
        "least error": min(finite, default=math.nan),
        "epoch of the least error": errors.index(min(finite)) if finite else "none",
        "error at the end": bundle.trained_error,
        "first NaN": first_nonfinite(rows),
        "ended": bundle.stopped,
    }


def first_nonfinite(rows: Sequence[Mapping[str, Any]]) -> str:
    """Name epoch and terms of the first row that holds a number that is none, or say that none does."""
    for row in rows:
        broken = [n for n, v in row.items() if isinstance(v, (int, float)) and not math.isfinite(v)]
        if broken:
            return f"epoch {row['epoch']}: {', '.join(broken)}"
    return "none"


def _sentence(values: Mapping[str, Any]) -> str:
    if isinstance(values["epochs"], str):
        return f"There is no training ({values['epochs'].removeprefix('n/a: ')})."
    if values["first NaN"] != "none":
        return f"Training broke: the first number that is none stands in {values['first NaN']}."
    before, after = values["error untrained"], values["error at the end"]
    change = after / before if before else math.nan
    word = "lowered" if change < 1 else "did not lower"
    return f"{values['epochs']} epochs {word} the validation error: {before:.3g} before, {after:.3g} after ({change:.2f} times)."


def _course(case: Case) -> list[Table]:
    bundle = case.measure(lambda: case.get("train"))
    if isinstance(bundle, str):
        return []
    names = list(dict.fromkeys(name for row in bundle.history for name in row))
    rows = tuple(tuple(row.get(name, "") for name in names) for row in bundle.history)
    return [Table(f"{case.name}: every epoch", tuple(names), rows)]


def draw(cases: Sequence[Case]) -> Figure:
    """Draw the validation error by epoch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axis = figure.subplots()
    for case in cases:
        try:
            rows = case.get("train").history
        except Unknown:
            continue
        axis.semilogy(
            [r["epoch"] for r in rows], [r["val_error"] for r in rows], marker=".", label=case.label
        )
    axis.set(xlabel="epoch", title="sum (A_pred - A)^2 / sum A^2, validation")
    axis.grid(alpha=0.3, which="both")
    if axis.get_legend_handles_labels()[0]:
        axis.legend()
    return figure
