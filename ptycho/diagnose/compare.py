"""Two or more results side by side, with notes that are measured and not seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.diagnose import bias, diagnosis
from ptycho.diagnose.case import Case
from ptycho.diagnose.diagnosis import Diagnosis
from ptycho.evaluation import metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUESTION = "Which result is better, and what is wrong with the others?"
SHIFTED_PX, BLANK, TILED, COHERENT, STRONG = 0.5, 0.1, 0.3, 0.5, 0.8
"""From which shift, blank share, correlation of error and footprints' edges, and Pearson on a note is made."""
NOTES, FAILED = "notes", "gates that fail"


def ask(cases: Sequence[Case]) -> Diagnosis:
    """Put the results of all sides beside each other."""
    numbers = {case.name: measure(case) for case in cases}
    return Diagnosis(
        "compare",
        QUESTION,
        _answer(numbers),
        (diagnosis.side_by_side("Results", cases, numbers),),
        numbers,
        lambda: draw(cases),
    )


def measure(case: Case) -> dict[str, Any]:
    """Return data error, what there is against a truth, and notes."""
    evaluation = case.measure(lambda: case.get("evaluate"))
    if isinstance(evaluation, str):
        return {"data error": evaluation}
    gates = case.measure(lambda: case.get("gate"))
    failed = [] if isinstance(gates, str) else [verdict.name for verdict in gates if verdict.status == "fail"]
    values: dict[str, Any] = {
        "data error": evaluation.data["stitched_error"],
        "the network's own": evaluation.data["network_error"],
        "covered share": evaluation.coverage["covered_fraction"],
        **{
            name: evaluation.direct[name]
            for name in ("pearson", "ssim", "amplitude_ratio", "frc_1_2")
            if evaluation.compared
        },
        **{name: evaluation.registered[name] for name in ("shift_x_px", "shift_y_px") if evaluation.compared},
        FAILED: ", ".join(failed) or "none",
    }
    edges = case.measure(lambda: tiling(case))
    if diagnosis.is_number(edges):
        values["error along the edges of footprints"] = edges
    return {**values, NOTES: "; ".join(notes(values)) or "nothing is amiss"}


def tiling(case: Case) -> float:
    """Return the correlation of the amplitude's error with the slope of the coverage: tiles leave their edges in both."""
    pair = bias.pair_of(case)
    slope = np.hypot(*np.gradient(np.asarray(pair.coverage, float)))
    error = np.abs(np.abs(pair.prediction) - np.abs(pair.truth)).astype(float)
    return metrics.pearson(error[pair.mask], slope[pair.mask])


def notes(values: Mapping[str, Any]) -> list[str]:
    """Say what an inspection would: failed gates, structure, shift, tiles, blank areas."""
    failed = values.get(FAILED, "none")
    words = [] if failed == "none" else [f"fails {failed}"]
    pearson = values.get("pearson")
    if pearson is not None:
        if not math.isfinite(pearson):
            words.append("flat: no structure at all")
        elif pearson < COHERENT:
            words.append(f"no coherent structure of the truth (Pearson {pearson:.2f})")
        elif pearson < STRONG:
            words.append(f"the truth's structure is weak (Pearson {pearson:.2f})")
    shift = math.hypot(values.get("shift_x_px", 0.0), values.get("shift_y_px", 0.0))
    if shift > SHIFTED_PX:
        words.append(f"shifted by {shift:.2f} px")
    if values.get("error along the edges of footprints", 0.0) > TILED:
        words.append("tiles: errors lie along the edges of footprints")
    blank = 1 - values["covered share"]
    if blank > BLANK:
        words.append(f"{blank:.0%} of the scanned window is blank")
    return words


def _answer(numbers: Mapping[str, Mapping[str, Any]]) -> str:
    errors = {
        name: values["data error"]
        for name, values in numbers.items()
        if diagnosis.is_number(values["data error"])
    }
    if not errors:
        return "No side has a result."
    best = min(errors, key=lambda name: errors[name])
    others = [
        f"{name} {error / errors[best]:.3g} times as much ({numbers[name][NOTES]})"
        for name, error in errors.items()
        if name != best
    ]
    message = f"{best} explains its patterns best (data error {errors[best]:.3g}; {numbers[best][NOTES]})"
    return f"{message}; {', '.join(others)}." if others else f"{message}."


def draw(cases: Sequence[Case]) -> Figure:
    """Draw the amplitude of every result in coverage, and what differs from the truth."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.8 * len(cases)), layout="constrained")
    for row, case in zip(figure.subplots(len(cases), 2, squeeze=False), cases, strict=True):
        for axis in row:
            axis.set(xticks=[], yticks=[])
        result = case.measure(lambda case=case: case.get("stitch"))  # type: ignore[misc]
        if isinstance(result, str):
            row[0].set(title=f"{case.label}: {result}"[:60])
            continue
        lit = result.coverage > case.config.evaluation.coverage_threshold
        figure.colorbar(
            row[0].imshow(np.where(lit, np.abs(result.object), np.nan), cmap="viridis"), ax=row[0], shrink=0.8
        )
        row[0].set(title=f"{case.label}: amplitude")
        pair = case.measure(lambda case=case: bias.pair_of(case))  # type: ignore[misc]
        if isinstance(pair, str):
            row[1].set(title=pair[:60])
            continue
        error = np.where(pair.mask, np.abs(pair.prediction) - np.abs(pair.truth), np.nan)
        reach = float(np.nanpercentile(np.abs(error), 99)) or 1.0
        figure.colorbar(row[1].imshow(error, cmap="RdBu_r", vmin=-reach, vmax=reach), ax=row[1], shrink=0.8)
        row[1].set(title="object - truth")
    return figure
