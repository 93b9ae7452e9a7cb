"""What counts as success. "No NaN" is not enough: each run is judged on every gate that applies to it.

A gate compares what was computed independently of what it judges, has been seen to fail, and says why where
it does not apply. No fixed limit of the data error tells swapped axes on a small scan, so the geometry of a
scan is compared with its alternatives. Training is judged by patterns that it never saw, against the
untrained network (epoch 0 of the history): at gridsize 2 physics alone nearly solves the problem (Pearson
0.991 on gs2_ideal), and no limit on the final quality would notice a training that does nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ptycho.evaluation.summary import Evaluation
from ptycho.network.bundle import Bundle
from ptycho.physics import probes, stitching
from ptycho.physics.stitching import Reconstruction
from ptycho.scan.damage import Damage
from ptycho.settings.params import Params
from ptycho.settings.sections import GatesConfig
from ptycho.solve import choose, readings
from ptycho.solve.choose import Choice
from ptycho.solve.readings import Readings

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
    reconstruction: Reconstruction,
    evaluation: Evaluation,
    result: Readings,
    bundle: Bundle,
    requested_groups: int,
    config: GatesConfig | Params,
    oracle: Callable[[], Choice] | None = None,
    wrong: Sequence[Damage] = (),
) -> tuple[Verdict, ...]:
    """Judge a reconstruction.

    Parameters
    ----------
    reconstruction : Reconstruction
    evaluation : Evaluation
        Of that reconstruction.
    result : Readings
        Of the scan.
    bundle : Bundle
        That made it.
    requested_groups : int
        Groups that inference was asked for.
    config : GatesConfig
    oracle : callable, optional
        Gives what solving the same patterns directly comes to; asked only where the object does not explain them.
    wrong : sequence of Damage, optional
        What makes all that comes of the scan doubtful.
    """
    data, structure = evaluation.data, evaluation.structure
    # A fitted factor is a diagnostic: what is judged is the object before it.
    fitted = data["prediction_scale"]
    return (
        _finite(reconstruction, structure["nonfinite_px"]),
        _verdict(
            "groups",
            reconstruction.n_patches == requested_groups > 0,
            reconstruction.n_patches,
            f"== {requested_groups}",
            f"{reconstruction.n_patches} of {requested_groups} groups were reconstructed",
        ),
        _fits_canvas(reconstruction, evaluation.coverage["kept_fraction"]),
        limit_verdict(
            "coverage",
            evaluation.coverage["covered_fraction"],
            config.min_coverage,
            "min",
            "share of the scan's bounding box that is lit",
        ),
        limit_verdict(
            "not_flat",
            structure["std_over_mean"],
            config.min_structure,
            "min",
            "std/mean of the scanned object",
        ),
        inspection_verdict(wrong),
        geometry_verdict(result, config.geometry_margin),
        learned_verdict(bundle, result.noise, config.max_learned_ratio),
        consistency_verdict(data, config.max_unexplained, oracle),
        limit_verdict(
            "data_scale",
            abs(data["stitched_scale"] * fitted - 1),
            config.scale_tolerance,
            "max",
            "|c - 1| of the factor c that fits its patterns to the measured ones",
        ),
        *_against_truth(evaluation.direct, fitted, config),
    )


def _finite(reconstruction: Reconstruction, pixels: float) -> Verdict:
    return _verdict(
        "finite",
        reconstruction.n_nonfinite == 0 and pixels == 0,
        reconstruction.n_nonfinite + pixels,
        "== 0",
        f"{reconstruction.n_nonfinite} of {reconstruction.n_patches} patches and {int(pixels)} lit pixels of the object "
        "hold a NaN or an infinity",
    )


def _fits_canvas(reconstruction: Reconstruction, lit_fraction: float) -> Verdict:
    """Judge both what stitching could place and what the canvas holds of the scan's own light."""
    kept = min(reconstruction.kept_fraction, lit_fraction)
    fits = reconstruction.fits_canvas and abs(lit_fraction - 1) <= stitching.FIT_TOLERANCE
    return _verdict(
        "fits_canvas",
        fits,
        kept,
        "== 1",
        f"the canvas holds {kept:.6%} of the patches' weight; {reconstruction.n_outside} patches reach beyond it",
    )


def inspection_verdict(wrong: Sequence[Damage]) -> Verdict:
    """Judge whether the patterns are what they are read as; `wrong` is what the inspection of the scan says against it."""
    if wrong:
        lines = "; ".join(damage.line() for damage in wrong)
        return Verdict("inspection", "fail", len(wrong), "<= 0", f"the patterns are {lines}")
    reason = "what was noticed of frames and pixels is left out, or named beside the verdict"
    return Verdict("inspection", "pass", 0, "<= 0", reason)


def geometry_verdict(comparison: Readings, least: float) -> Verdict:
    """Judge the scan as given against other readings of it."""
    status, margin, reason = readings.judge(comparison, least)
    return Verdict("geometry", status, margin, f">= {least:g}", reason)


def learned_verdict(bundle: Bundle, noise: float, most: float) -> Verdict:
    """Judge whether training lowered the error on patterns that it never saw, where there was anything to learn."""
    limit = _bound("max", most)
    before, after = bundle.untrained_error, bundle.trained_error
    where = (
        f"{bundle.held_out_patterns} held-out patterns"
        if bundle.held_out_patterns
        else "training patterns (none were held out)"
    )
    words = f"the data error on {where} is {before:.3g} untrained and {after:.3g} trained"
    if bundle.gridsize == 1 and probes.is_twin_ambiguous(bundle.probe):
        why = "single patterns under this probe cannot tell the object from its twin, and nothing can be learned from them"
        return Verdict("learned", "not_applicable", None, limit, f"{why}; {words}")
    if before <= 2 * noise:
        why = f"physics alone explains the patterns down to the photon noise ({noise:.3g})"
        return Verdict("learned", "not_applicable", None, limit, f"{why}; {words}")
    ratio = after / before if before > 0 else math.nan
    return limit_verdict("learned", ratio, most, "max", f"{words}: the ratio")


def consistency_verdict(
    data: Mapping[str, float], most: float, oracle: Callable[[], Choice] | None = None
) -> Verdict:
    """Judge how well the object explains the patterns, between photon noise and mean pattern.

    Where it does not, the oracle is asked whether any object could.
    """
    error, noise, mean = data["stitched_error"], data["photon_noise"], data["mean_pattern"]
    words = (
        f"data error {error:.3g}, of which photon noise makes {noise:.3g}; the mean pattern leaves {mean:.3g}"
    )
    limit = _bound("max", most)
    place = data["unexplained"] if math.isfinite(error) else math.nan
    if math.isfinite(error) and not math.isfinite(place):
        why = "the patterns differ from their mean by no more than photon noise, and nothing can be told"
        return Verdict("data_consistency", "fail", None, limit, f"{why} ({words})")
    result = limit_verdict(
        "data_consistency", place, most, "max", f"the unexplained share of what positions tell ({words})"
    )
    if result.status == "pass" or oracle is None:
        return result
    return replace(result, reason=f"{result.reason}; {choose.verdict(oracle(), most)}")


def _against_truth(
    direct: Mapping[str, float], fitted: float, config: GatesConfig | Params
) -> tuple[Verdict, ...]:
    rows = (
        ("scale", config.scale_tolerance, "max", "|mean|pred| / mean|truth| - 1|"),
        ("pearson", config.min_pearson, "min", "Pearson correlation of the amplitude"),
        ("ssim", config.min_ssim, "min", "SSIM of the amplitude"),
    )
    if not direct:
        why = "the scan has no truth to compare with"
        return tuple(
            Verdict(name, "not_applicable", None, _bound(kind, bound), why) for name, bound, kind, _ in rows
        )
    values = {**direct, "scale": abs(direct["amplitude_ratio"] / fitted - 1)}
    return tuple(
        limit_verdict(name, values[name], bound, kind, meaning) for name, bound, kind, meaning in rows
    )


def passed(verdicts: Sequence[Verdict]) -> bool:
    """Whether no gate failed."""
    return all(verdict.status != "fail" for verdict in verdicts)


def _verdict(name: str, good: bool, value: float, limit: str, reason: str) -> Verdict:
    return Verdict(name, "pass" if good else "fail", float(value), limit, reason)


def _bound(kind: str, bound: float) -> str:
    return f"{'>=' if kind == 'min' else '<='} {bound:g}"


def limit_verdict(name: str, value: float, bound: float, kind: str, meaning: str) -> Verdict:
    """Compare with a bound; a value that is not a number fails."""
    if not math.isfinite(value):
        return Verdict(name, "fail", None, _bound(kind, bound), f"{meaning} is undefined")
    good = value >= bound if kind == "min" else value <= bound
    return _verdict(name, good, value, _bound(kind, bound), f"{meaning} is {value:.4g}")
