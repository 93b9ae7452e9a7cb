"""The geometry: the scan as it is given against swapped, flipped, conjugated and other readings of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ptycho.artifacts.stage import Execution, Table
from ptycho.base import atomic, layout
from ptycho.scan import geometry
from ptycho.scan.geometry import Geometry
from ptycho.settings.params import Params

KIND = Geometry
FILE = layout.GEOMETRY


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Geometry:
    """Compare the scan with its alternatives."""
    return geometry.compare(inputs["inspect"].scan)


def telemetry(comparison: Geometry) -> dict[str, float]:
    """Return the errors and what else was measured."""
    x, y = comparison.centre_xy
    numbers = {"patterns": comparison.patterns, "overlap": comparison.overlap, "noise": comparison.noise}
    return {**comparison.errors, **numbers, "centre_x_px": x, "centre_y_px": y}


def invariants(comparison: Geometry) -> Iterator[tuple[str, bool]]:
    """Errors are errors, and the null is among them."""
    yield "an error must not be negative", not any(error < 0 for error in comparison.errors.values())
    yield (
        "the given geometry must stand beside the null",
        not comparison.errors or ({geometry.GIVEN, geometry.SHUFFLED} < set(comparison.errors)),
    )


def notes(comparison: Geometry, params: Params) -> Iterator[str]:
    """Say where another reading of the scan fits better, or none can be told for want of overlap."""
    judgement, _, reason = geometry.judge(comparison, params.gates.geometry_margin)
    if judgement == "fail":
        yield f"Geometry: {reason}."
    elif not comparison.errors and comparison.patterns >= geometry.FEWEST:
        yield (
            f"Geometry: neighbouring patterns share {comparison.overlap:.2g} of their light, and then their places say nothing. "
            f"Are the positions in pixels? If they are in another unit add --geometry {geometry.SCALE}=FACTOR."
        )


def tables(comparison: Geometry) -> Iterator[Table]:
    """Show every reading of the scan with its error, the best first."""
    rows = tuple(sorted(comparison.errors.items(), key=lambda item: (math.isnan(item[1]), item[1])))
    yield Table("Geometry, on a sample of overlapping patterns", ("the scan", "data error"), rows)


def save(comparison: Geometry, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the numbers."""
    atomic.write_json(folder / FILE, asdict(comparison))


def load(folder: Path, inputs: Mapping[str, Any]) -> Geometry:
    """Read them back."""
    values = atomic.with_nan(json.loads((folder / FILE).read_text(encoding="utf-8")))
    return Geometry(**{**values, "centre_xy": tuple(values["centre_xy"])})
