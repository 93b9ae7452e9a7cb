"""The probe: how it is normalised, what the forward model uses of it, whether it has a twin, how far it reaches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.diagnose import diagnosis
from ptycho.diagnose.case import Case
from ptycho.diagnose.diagnosis import Diagnosis
from ptycho.physics import probes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUESTION = "How is the probe normalised, and is it the one that the forward model uses?"
SAME = 1e-3
"""Relative difference below which two norms are the same."""
MEASURED = "the scan's file"
SUPPORT = 0.01
"""Share of the peak amplitude from which on a pixel belongs to the probe."""


def ask(cases: Sequence[Case]) -> Diagnosis:
    """Measure the probe of the scan and that of the forward model on all sides."""
    return diagnosis.measured("probe", QUESTION, "Probe", cases, measure, _sentence, draw)


def measure(case: Case) -> dict[str, Any]:
    """Return the normalisation by both routes, statistics, ratio, symmetry and support."""
    own = case.measure(lambda: case.get("scan").probe)
    used = case.measure(lambda: case.get("scale").probe)
    result: dict[str, Any] = {"comes from": MEASURED if case.measured else "the scenario"}
    for label, probe in (("scan", own), ("forward model", used)):
        if isinstance(probe, str):
            result[f"{label}"] = probe
            continue
        amplitude = np.sqrt(np.sum(np.abs(probe.astype(np.complex128)) ** 2, axis=0))
        mask = probes.normalization_mask(probe.shape[-1])
        result |= {
            f"{label}: modes": len(probe),
            f"{label}: factor (scale x mean of |mask P|)": case.config.probe.scale
            * float((mask * amplitude).mean()),
            **{
                f"{label}: {kind} |P|": float(getattr(np, kind)(amplitude)) for kind in ("min", "max", "mean")
            },
            f"{label}: L2": float(np.linalg.norm(amplitude)),
            f"{label}: support (share of pixels above {SUPPORT:.0%} of the peak)": float(
                (amplitude > SUPPORT * amplitude.max()).mean()
            ),
            f"{label}: radius that holds 99 % of the power (px)": radius_of(amplitude**2, 0.99),
            f"{label}: is its own twin": "yes" if probes.is_twin_ambiguous(probe) else "no",
        }
    if not isinstance(own, str) and not isinstance(used, str):
        result["forward model / scan: L2"] = float(np.linalg.norm(used) / np.linalg.norm(own))
    return result


def radius_of(power: np.ndarray, share: float) -> float:
    """Return the radius (px) about the centre of mass that holds a share of a power (N, N)."""
    y, x = np.indices(power.shape)
    total = power.sum()
    distance = np.hypot(y - (y * power).sum() / total, x - (x * power).sum() / total).ravel()
    order = np.argsort(distance)
    held = np.cumsum(power.ravel()[order])
    return float(distance[order][min(int(np.searchsorted(held, share * total)), len(order) - 1)])


def _sentence(values: Mapping[str, Any]) -> str:
    factor = values.get("scan: factor (scale x mean of |mask P|)", math.nan)
    ratio = values.get("forward model / scan: L2", math.nan)
    if not diagnosis.is_number(factor):
        return f"The scan's probe is not known: {values.get('scan', 'n/a')}."
    normalised = abs(factor - 1) < SAME
    if values["comes from"] == MEASURED:
        words = f"The scan brings its own probe, of norm {values['scan: L2']:.4g}"
    else:
        words = f"The scan's probe is {'' if normalised else 'not '}normalised as the scenario says (factor {factor:.4g})"
    if not diagnosis.is_number(ratio):
        return f"{words}; what the forward model uses is not known."
    same = abs(ratio - 1) < SAME
    return (
        f"{words}; the forward model uses {'it unchanged' if same else f'one of {ratio:.3g} times its norm'}."
    )


def draw(cases: Sequence[Case]) -> Figure:
    """Draw amplitude and phase of the first mode that the forward model uses, or of the scan's."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.0 * len(cases)), layout="constrained")
    for row, case in zip(figure.subplots(len(cases), 2, squeeze=False), cases, strict=True):
        mode = case.measure(lambda case=case: case.get("scale").probe[0])  # type: ignore[misc]
        if isinstance(mode, str):
            mode = case.measure(lambda case=case: case.get("scan").probe[0])  # type: ignore[misc]
        if isinstance(mode, str):
            row[0].set(title=f"{case.label}: no probe", xticks=[], yticks=[])
            row[1].set_axis_off()
            continue
        lit = np.abs(mode) > SUPPORT * np.abs(mode).max()
        shown = {
            "amplitude": (np.abs(mode), "viridis"),
            "phase (rad)": (np.where(lit, np.angle(mode), np.nan), "twilight"),
        }
        for axis, (what, (image, colours)) in zip(row, shown.items(), strict=True):
            figure.colorbar(axis.imshow(image, cmap=colours), ax=axis, shrink=0.8)
            axis.set(title=f"{case.label}: {what}", xticks=[], yticks=[])
    return figure
