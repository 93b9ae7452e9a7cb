"""What counts as success. "No NaN" is not enough: each run is judged on every gate that applies to it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ptycho.config import GatesConfig
from ptycho.stitching import Reconstruction

Status = Literal["pass", "fail", "not_applicable"]


@dataclass(frozen=True)
class Verdict:
    """The outcome of one gate: what was measured, what was demanded, and why it passed or failed."""

    name: str
    status: Status
    value: float | None
    limit: str
    reason: str


def judge(
    reconstruction: Reconstruction, evaluation: Mapping[str, Any], requested_groups: int, config: GatesConfig
) -> tuple[Verdict, ...]:
    """Judge a reconstruction.

    Parameters
    ----------
    reconstruction : Reconstruction
    evaluation : mapping
        As :meth:`ptycho.evaluation.Evaluation.to_dict` gives it; without `direct` there was no truth.
    requested_groups : int
        Groups that inference was asked for.
    config : GatesConfig
    """
    direct = evaluation.get("direct")
    structure = evaluation["structure"]["std_over_mean"]
    covered = evaluation["coverage"]["covered_fraction"]
    error = reconstruction.data_error
    ratio = None if direct is None else direct["amplitude_ratio"]
    return (
        _verdict(
            "finite",
            reconstruction.n_nonfinite == 0,
            reconstruction.n_nonfinite,
            "== 0",
            f"{reconstruction.n_nonfinite} of {reconstruction.n_patches} patches hold a NaN or an infinity",
        ),
        _verdict(
            "groups",
            reconstruction.n_patches == requested_groups > 0,
            reconstruction.n_patches,
            f"== {requested_groups}",
            f"{reconstruction.n_patches} of {requested_groups} groups were reconstructed",
        ),
        _verdict(
            "fits_canvas",
            reconstruction.fits_canvas,
            reconstruction.kept_fraction,
            "== 1",
            f"{reconstruction.kept_fraction:.6%} of the patches' weight lies on the canvas",
        ),
        _limit(
            "coverage", covered, config.min_coverage, "min", "share of the scan's bounding box that is lit"
        ),
        _limit("not flat", structure, config.min_structure, "min", "std/mean of the amplitude in coverage"),
        _limit(
            "data consistency",
            error,
            config.max_data_error,
            "max",
            "sum (A_pred - A)^2 / sum A^2 on test patterns",
        ),
        _needs_truth(
            "scale",
            None if ratio is None else abs(ratio - 1),
            config.scale_tolerance,
            "max",
            "|mean|pred| / mean|truth| - 1|",
        ),
        _needs_truth(
            "pearson",
            direct and direct["pearson"],
            config.min_pearson,
            "min",
            "Pearson correlation of the amplitude",
        ),
        _needs_truth("ssim", direct and direct["ssim"], config.min_ssim, "min", "SSIM of the amplitude"),
    )


def passed(verdicts: Sequence[Verdict]) -> bool:
    """Whether no gate failed."""
    return all(verdict.status != "fail" for verdict in verdicts)


def _verdict(name: str, good: bool, value: float, limit: str, reason: str) -> Verdict:
    return Verdict(name, "pass" if good else "fail", float(value), limit, reason)


def _limit(name: str, value: float, bound: float, side: str, meaning: str) -> Verdict:
    """Compare with a bound; a value that is not a number fails."""
    sign = ">=" if side == "min" else "<="
    if value is None or not math.isfinite(value):
        return Verdict(name, "fail", None, f"{sign} {bound:g}", f"{meaning} is undefined")
    good = value >= bound if side == "min" else value <= bound
    return Verdict(
        name, "pass" if good else "fail", float(value), f"{sign} {bound:g}", f"{meaning} is {value:.4g}"
    )


def _needs_truth(name: str, value: float | None, bound: float, side: str, meaning: str) -> Verdict:
    if value is None:
        sign = ">=" if side == "min" else "<="
        return Verdict(
            name, "not_applicable", None, f"{sign} {bound:g}", "the scan has no truth to compare with"
        )
    return _limit(name, value, bound, side, meaning)
