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
CENTRE_SHARE = 1 / 32
"""Share of N by which the patterns' centre may be off without a word."""


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
    """Say where the beam's centre is off."""
    x, y = comparison.centre_xy
    if (
        comparison.errors
        and max(abs(x), abs(y)) > max(1.0, CENTRE_SHARE * params.N)
        and not _unshifted(comparison, params.N)
    ):
        yield (
            f"Beam centre: the patterns lie about ({x}, {y}) px off the zero frequency. That is no more than a linear "
            "phase of the object; roll the patterns back to be rid of it."
        )


def tables(comparison: Geometry) -> Iterator[Table]:
    """Show every reading of the scan with its error, the best first."""
    rows = tuple(sorted(comparison.errors.items(), key=lambda item: (math.isnan(item[1]), item[1])))
    yield Table("Geometry, on a sample of overlapping patterns", ("the scan", "data error"), rows)


def _unshifted(comparison: Geometry, N: int) -> bool:
    return max(map(abs, comparison.centre_xy)) > N // 4


def save(comparison: Geometry, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the numbers."""
    atomic.write_json(folder / FILE, asdict(comparison))


def load(folder: Path, inputs: Mapping[str, Any]) -> Geometry:
    """Read them back."""
    values = atomic.with_nan(json.loads((folder / FILE).read_text(encoding="utf-8")))
    return Geometry(**{**values, "centre_xy": tuple(values["centre_xy"])})
