"""Compares the object with its truth: bias, percentiles, ratio, best factor, inside and outside of the coverage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.diagnose import diagnosis
from ptycho.diagnose.case import Case, Unknown
from ptycho.diagnose.diagnosis import Diagnosis
from ptycho.evaluation import frames, metrics
from ptycho.evaluation.frames import Comparison
from ptycho.physics import scaling

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUESTION = "How far is the amplitude from the truth, and would one factor mend it?"
PERCENTILES = (5, 25, 50, 75, 95)
ONE = 0.02
"""Relative difference below which a factor is 1."""
RELATED = 0.5
"""Pearson from which on the object is the truth's at all."""


def ask(cases: Sequence[Case]) -> Diagnosis:
    """Compare the stitched object of all sides with the truth."""
    return diagnosis.measured(
        "bias", QUESTION, "Amplitude against the truth", cases, measure, _sentence, draw
    )


def truth_of(case: Case) -> np.ndarray:
    """Return the truth (H, W); raise Unknown where there is none."""
    scan = case.get("group_test").raw
    if scan.object_guess is None or not case.config.evaluation.use_object_guess:
        raise Unknown("the scan has no objectGuess to compare with")
    return np.asarray(scan.object_guess)


def pair_of(case: Case) -> Comparison:
    """Return object and truth in one frame, in coverage; raise Unknown where there is no truth or no object."""
    result, settings = case.get("stitch"), case.config.evaluation
    return frames.compare_frames(result, truth_of(case), settings.coverage_threshold, settings.border_px)


def measure(case: Case) -> dict[str, Any]:
    """Return the numbers in coverage, registered, and over the whole truth with zero where nothing was reconstructed."""
    pair = case.measure(lambda: pair_of(case))
    if isinstance(pair, str):
        return {"in coverage": pair}
    shift = frames.find_shift(pair)
    result = describe("in coverage", *_amplitudes(pair))
    result |= describe("registered", *_amplitudes(frames.apply_shift(pair, shift)))
    result |= {"shift x (px)": shift[0], "shift y (px)": shift[1]}
    return result | describe("whole truth, unmasked", *whole(case))


def _amplitudes(pair: Comparison) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.abs(part[pair.mask]).astype(float) for part in (pair.prediction, pair.truth))


def whole(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Return the amplitudes of object and truth over the truth's frame, 0 where nothing was reconstructed.

    Both are (H, W) float64.
    """
    truth = truth_of(case)
    pair = frames.compare_frames(case.get("stitch"), truth, case.config.evaluation.coverage_threshold)
    (left, top), (height, width) = pair.origin_xy, pair.mask.shape
    placed = np.zeros(truth.shape)
    placed[top : top + height, left : left + width] = np.where(pair.mask, np.abs(pair.prediction), 0)
    return placed.ravel(), np.abs(truth).astype(float).ravel()


def describe(label: str, result: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Return bias, percentiles, correlation, ratio and what a factor mends, of amplitudes of the same pixels.

    Both amplitudes are (K,) float64, pixel by pixel.
    """
    if not np.isfinite(result).all():
        return {f"{label}: finite": "no"}
    difference = result - truth
    factor = scaling.least_squares_factor(result, truth)
    ratio = result[truth > 0] / truth[truth > 0]
    return {
        f"{label}: pixels": len(result),
        f"{label}: bias, mean": float(difference.mean()),
        f"{label}: bias, median": float(np.median(difference)),
        **{f"{label}: bias, {p}th percentile": float(np.percentile(difference, p)) for p in PERCENTILES},
        f"{label}: MAE": float(np.abs(difference).mean()),
        f"{label}: Pearson": metrics.pearson(result, truth),
        f"{label}: mean ratio": float(result.mean() / truth.mean()),
        **{f"{label}: ratio, {p}th percentile": float(np.percentile(ratio, p)) for p in PERCENTILES},
        f"{label}: least-squares factor": factor,
        f"{label}: MAE after that factor": float(np.abs(factor * result - truth).mean())
        if diagnosis.is_number(factor)
        else math.nan,
    }


def _sentence(values: Mapping[str, Any]) -> str:
    ratio = values.get("in coverage: mean ratio")
    if not diagnosis.is_number(ratio):
        return f"Nothing can be compared ({values.get('in coverage', 'the object is not finite')})."
    factor, correlation = values["in coverage: least-squares factor"], values["in coverage: Pearson"]
    before, after = values["in coverage: MAE"], values["in coverage: MAE after that factor"]
    if not correlation > RELATED:
        words = "the structure is another, which no factor mends"
    elif abs(factor - 1) < ONE:
        words = "no factor is missing"
    else:
        mends = "would mend" if after < before / 2 else "would not mend"
        words = f"a factor of {factor:.3g} is missing, and {mends} most of the error"
    blind = values["whole truth, unmasked: bias, mean"]
    return (
        f"In coverage the amplitude is {ratio:.4g} times the truth's, Pearson {correlation:.4g}: {words}; "
        f"over the whole truth, unmasked, the bias would read {blind:.3g}."
    )


def draw(cases: Sequence[Case]) -> Figure:
    """Draw the amplitude of object against truth as a map of counts, and the distribution of their ratio."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 3.6 * len(cases)), layout="constrained")
    for row, case in zip(figure.subplots(len(cases), 2, squeeze=False), cases, strict=True):
        pair = case.measure(lambda case=case: pair_of(case))  # type: ignore[misc]
        if isinstance(pair, str):
            row[0].text(0.5, 0.5, pair, ha="center", wrap=True)
            continue
        result, truth = _amplitudes(pair)
        top = float(np.percentile(truth, 99.9)) * 1.2
        row[0].hist2d(truth, result, bins=80, range=((0, top), (0, top)), norm="log", cmap="viridis")
        row[0].plot((0, top), (0, top), color="red", linewidth=0.8)
        row[0].set(title=case.label, xlabel="truth", ylabel="object")
        row[1].hist(result[truth > 0] / truth[truth > 0], bins=80, range=(0, 2))
        row[1].axvline(1, color="red", linewidth=0.8)
        row[1].set(title="object / truth, in coverage")
    return figure
