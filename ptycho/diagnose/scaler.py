"""Compares the photon scale before and after training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ptycho.diagnose import diagnosis
from ptycho.diagnose.case import Case
from ptycho.diagnose.diagnosis import Diagnosis

QUESTION = "Has the trained scale of the network drifted from the recorded one?"
DRIFT = 0.01
"""Relative difference from which on a scale has drifted."""


def ask(cases: Sequence[Case]) -> Diagnosis:
    """Compare the scales of the saved bundles of all sides."""
    return diagnosis.measured("scaler", QUESTION, "Scales of the bundle", cases, measure, _sentence)


def measure(case: Case) -> dict[str, Any]:
    """Return recorded and trained photon scale, their ratio, and what each gain does to the object."""
    bundle = case.measure(lambda: case.get("train"))
    if isinstance(bundle, str):
        return {"recorded photon scale s": bundle}
    scales = bundle.scales
    return {
        "recorded photon scale s": scales.photon_scale,
        "it comes from": scales.source,
        "trained photon scale exp(w)": bundle.trained_photon_scale,
        "trained / recorded": bundle.trained_photon_scale / scales.photon_scale,
        "statistical gain g": scales.statistical,
        "gain that predictions are divided by": scales.statistical
        * scales.photon_scale
        / bundle.trained_photon_scale,
        "factor that fits predicted patterns": bundle.prediction_scale,
    }


def _sentence(values: Mapping[str, Any]) -> str:
    ratio = values.get("trained / recorded")
    if ratio is None:
        return f"There is no bundle ({values['recorded photon scale s'].removeprefix('n/a: ')})."
    trained, recorded = values["trained photon scale exp(w)"], values["recorded photon scale s"]
    if abs(ratio - 1) < DRIFT:
        return f"The trained scale {trained:.6g} is the recorded one to {abs(ratio - 1):.1g}: the scaler is innocent."
    return f"The trained scale {trained:.6g} is {ratio:.3g} times the recorded one, {recorded:.6g}."
