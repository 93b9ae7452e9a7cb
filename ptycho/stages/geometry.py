"""The geometry: the scan as it is given against swapped, flipped, turned, stretched and other readings of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ptycho.artifacts.stage import Execution, Table
from ptycho.base import atomic, documents, layout
from ptycho.scan import geometry
from ptycho.settings.params import Params
from ptycho.solve import engines, readings
from ptycho.solve.readings import Readings

KIND = Readings
FILE = layout.GEOMETRY


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Readings:
    """Compare the scan with other readings of it."""
    return readings.compare(inputs["inspect"].scan)


def telemetry(comparison: Readings) -> dict[str, float]:
    """Return the errors and what else was measured."""
    x, y = comparison.centre_xy
    numbers = {
        "patterns": comparison.patterns,
        "overlap": comparison.overlap,
        "noise": comparison.noise,
        "mean_pattern": comparison.mean_pattern,
    }
    return {**comparison.errors, **numbers, "centre_x_px": x, "centre_y_px": y}


def invariants(comparison: Readings) -> Iterator[tuple[str, bool]]:
    """Errors are errors, and the null is among them."""
    yield "an error must not be negative", not any(error < 0 for error in comparison.errors.values())
    yield (
        "the given geometry must stand beside the null",
        not comparison.errors or {readings.GIVEN, readings.SHUFFLED} <= set(comparison.errors),
    )


def notes(comparison: Readings, params: Params) -> Iterator[str]:
    """Say where another reading of the scan predicts better, or none can be told for want of overlap."""
    judgement, _, reason = readings.judge(comparison, params.gates.geometry_margin)
    if judgement == "fail":
        yield f"Geometry: {reason} (asked of a sample, with one mode and nothing but the probe refined; the verdict counts)."
    elif comparison.errors and not comparison.tells:
        yield f"Geometry: {reason}."
    elif not comparison.errors and comparison.patterns >= geometry.FEWEST:
        yield (
            f"Geometry: {reason}. Are the positions in pixels? If they are in another unit add --geometry {geometry.SCALE}=FACTOR."
        )


def tables(comparison: Readings) -> Iterator[Table]:
    """Show every reading of the scan with its error, the best first, and the nulls."""
    rows = sorted(comparison.errors.items(), key=lambda item: (math.isnan(item[1]), item[1]))
    nulls = (
        [("photon noise alone", comparison.noise), ("the mean pattern", comparison.mean_pattern)]
        if rows
        else []
    )
    title = "Geometry: data error of left-out patterns, on a sample of overlapping ones"
    yield Table(title, ("the scan", "data error"), (*rows, *nulls))


def versions(params: Params) -> dict[str, str]:
    """Return the versions of what the engine computes with."""
    return engines.versions(readings.settings())


def save(comparison: Readings, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the numbers."""
    atomic.write_json(folder / FILE, asdict(comparison))


def load(folder: Path, inputs: Mapping[str, Any]) -> Readings:
    """Read them back."""
    values = atomic.with_nan(documents.read_json(folder / FILE))
    pairs = {name: tuple(map(tuple, values[name])) for name in ("linear", "spread")}
    return Readings(**{**values, **pairs, "centre_xy": tuple(values["centre_xy"])})
