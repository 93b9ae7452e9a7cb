"""Twins: whether single patches look like their own truth or like the turned one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ptycho.artifacts.stage import Execution, Table
from ptycho.base import atomic, documents, layout
from ptycho.evaluation import consistency
from ptycho.evaluation.consistency import TwinCorrelation
from ptycho.network.bundle import Bundle
from ptycho.physics import stitching
from ptycho.physics.stitching import Prediction
from ptycho.scan.groups import GroupedData
from ptycho.settings.params import Params
from ptycho.stages import grouped

KIND = TwinCorrelation
FILE = layout.TWIN


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> TwinCorrelation:
    """Correlate a sample of the patches; of none without a truth."""
    groups: GroupedData = inputs["group_test"]
    bundle: Bundle = inputs["train"]
    prediction: Prediction = inputs["infer"]
    truth = grouped.truth_of(groups, params)
    lit = stitching.illumination(bundle.probe)
    return consistency.twin_correlation(prediction, truth, lit, params.evaluation.border_px)


def telemetry(twins: TwinCorrelation) -> dict[str, float]:
    """Return both correlations."""
    return asdict(twins)


def invariants(twins: TwinCorrelation) -> Iterator[tuple[str, bool]]:
    """Check that a correlation is one."""
    for name in ("own", "flipped"):
        value = getattr(twins, name)
        yield f"{name} must be a correlation or undefined", not abs(value) > 1 + 1e-9


def tables(twins: TwinCorrelation) -> Iterator[Table]:
    """Show them where there was a truth."""
    if twins.patches:
        yield Table("Twin", ("", ""), tuple(asdict(twins).items()))


def save(twins: TwinCorrelation, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the numbers."""
    atomic.write_json(folder / FILE, asdict(twins))


def load(folder: Path, inputs: Mapping[str, Any]) -> TwinCorrelation:
    """Read them back."""
    return TwinCorrelation(**atomic.with_nan(documents.read_json(folder / FILE)))
