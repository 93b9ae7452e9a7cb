"""Brightness from the raw patterns to the object: every gain by name, and what no gain explains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.artifacts.stage import Table
from ptycho.diagnose import diagnosis
from ptycho.diagnose.case import Case
from ptycho.diagnose.diagnosis import Diagnosis
from ptycho.physics import scaling
from ptycho.scan.groups import PtychoDataContainer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUESTION = "Which step between raw patterns and object changes the brightness, and is each change undone?"
TOLERANCE = 0.05
"""By which the product of what no gain explains may differ from 1."""
PRODUCT, WORST = "product of all unexplained factors", "step of the largest unexplained factor"


def ask(cases: Sequence[Case]) -> Diagnosis:
    """Follow the brightness through the stages of all sides."""
    chains = {case.name: chain(case) for case in cases}
    numbers = {case.name: {**summary(chains[case.name]), **modes(case)} for case in cases}
    columns = ("step", "mean before", "mean after", "ratio", "gain", "its name", "unexplained")
    tables = tuple(
        Table(f"{name}: brightness", columns, tuple(rows), headline=True) for name, rows in chains.items()
    )
    of_test = tuple(
        Table(f"{case.name}: brightness of the test part", columns, tuple(chain_of_test(case)))
        for case in cases
    )
    answer = diagnosis.joined({name: _sentence(values) for name, values in numbers.items()})
    return Diagnosis(
        "intensity",
        QUESTION,
        answer,
        (*tables, *of_test, diagnosis.side_by_side("Photon scale, both ways", cases, numbers)),
        numbers,
        lambda: draw(chains),
    )


def chain(case: Case) -> list[tuple[Any, ...]]:
    """Return a row for each step that is known: name, means of amplitude before and after, ratio, gain, its name, the rest."""
    steps: list[tuple[str, Any]] = [
        ("raw -> grouped", case.measure(lambda: _grouped(case, "group_train"))),
        ("grouped -> scaled", case.measure(lambda: _scaled(case, "group_train"))),
        ("scaled -> network input", case.measure(lambda: _network_input(case))),
        ("measured -> predicted patterns", case.measure(lambda: _predicted(case))),
        ("truth -> object", case.measure(lambda: _object(case))),
    ]
    return _rows(steps)


def chain_of_test(case: Case) -> list[tuple[Any, ...]]:
    """Return the rows of the test part until the network: its gain is that of the training part."""
    return _rows(
        [
            ("raw -> grouped", case.measure(lambda: _grouped(case, "group_test"))),
            ("grouped -> scaled", case.measure(lambda: _scaled(case, "group_test"))),
        ]
    )


def _rows(steps: Sequence[tuple[str, Any]]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for name, result in steps:
        if isinstance(result, str):
            rows.append((name, result, "", "", "", "", ""))
            continue
        before, after, gain, called = result
        ratio = after / before if before else math.nan
        rows.append((name, before, after, ratio, gain, called, ratio / gain))
    return rows


def _grouped(case: Case, stage: str) -> tuple[float, float, float, str]:
    groups = case.get(stage)
    means = groups.raw.diff3d.mean(axis=(1, 2), dtype=np.float64)
    return float(means.mean()), float(means[groups.nn_indices].mean()), 1.0, "none: patterns are repeated"


def _scaled(case: Case, stage: str) -> tuple[float, float, float, str]:
    groups, scales = case.get(stage), case.get("scale").scales
    rows = np.arange(min(len(groups), 256))
    before = float(groups.diffraction(rows).mean(dtype=np.float64))
    after = float(PtychoDataContainer(groups, scales).X(rows).mean(dtype=np.float64))
    return before, after, scales.statistical, "g, statistical"


def _network_input(case: Case) -> tuple[float, float, float, str]:
    bundle, groups = case.get("train"), case.get("group_train")
    data = PtychoDataContainer(groups, bundle.scales)
    rows = np.arange(min(len(groups), 256))
    fed = float(data.X(rows).mean(dtype=np.float64))
    amplitude = np.maximum(data.batch(rows)["amplitude"], 0)  # below zero nothing was measured
    seen = float(amplitude.mean(dtype=np.float64)) / bundle.trained_photon_scale
    return fed, seen, bundle.scales.photon_scale / bundle.trained_photon_scale, "s / exp(w), photon scale"


def _predicted(case: Case) -> tuple[float, float, float, str]:
    factor = case.get("evaluate").data["stitched_scale"]
    measured = float(case.get("group_test").raw.diff3d.mean(dtype=np.float64))
    return measured, measured / factor, 1.0, "none: 1 / (g s / exp(w)) has been applied"


def _object(case: Case) -> tuple[float, float, float, str]:
    evaluation = case.get("evaluate")
    if not evaluation.compared:
        return math.nan, evaluation.structure["mean_amplitude"], 1.0, "no truth"
    ratio = evaluation.direct["amplitude_ratio"]
    mean = evaluation.structure["mean_amplitude"]
    return mean / ratio, mean, 1.0, "none: in the truth's units"


def modes(case: Case) -> dict[str, Any]:
    """Return the photon scale as recorded and in closed form, and which array each belongs to."""
    result = case.measure(lambda: case.get("scale").scales)
    if isinstance(result, str):
        return {"s of the scaled array": result}
    N = case.config.N
    return {
        "s of the scaled array (recorded; mean energy (N/2)^2)": result.photon_scale,
        "sqrt(photons) / (N/2), closed form: right for the scaled array": scaling.closed_form(
            result.nphotons, N
        ),
        "s g, of the raw array: right for diff3d alone": result.photon_scale * result.statistical,
        "photons per pattern that follow": result.nphotons,
    }


def summary(rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """Return the product of what no gain explains, and the step where that is largest."""
    rests = {row[0]: row[-1] for row in rows if diagnosis.is_number(row[-1]) and row[-1] > 0}
    if not rests:
        return {PRODUCT: "n/a", WORST: "n/a"}
    worst = max(rests, key=lambda name: abs(math.log(rests[name])))
    return {PRODUCT: math.prod(rests.values()), WORST: f"{worst} ({rests[worst]:.4g})"}


def _sentence(values: Mapping[str, Any]) -> str:
    product = values[PRODUCT]
    if not diagnosis.is_number(product):
        return "No step is known."
    within = "within" if abs(product - 1) <= TOLERANCE else "beyond"
    return (
        f"What no named gain explains multiplies to {product:.4g}, {within} {TOLERANCE:.0%} of 1; the largest part is "
        f"{values[WORST]}."
    )


def draw(chains: Mapping[str, Sequence[tuple[Any, ...]]]) -> Figure:
    """Draw what no gain explains, step by step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axis = figure.subplots()
    for name, rows in chains.items():
        rests = [row[-1] if diagnosis.is_number(row[-1]) else math.nan for row in rows]
        axis.plot(range(len(rows)), rests, marker="o", label=name)
        axis.set_xticks(range(len(rows)), [row[0].replace(" -> ", "\n-> ") for row in rows])
    axis.axhline(1, color="0.5", linestyle="--")
    axis.set(title="ratio / named gain (1: explained)")
    if chains:
        axis.legend()
    return figure
