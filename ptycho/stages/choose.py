"""What the solver refines and how smooth its object is, chosen by how well it predicts patterns that are left out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ptycho.artifacts.stage import Execution, Table
from ptycho.base import atomic, documents, layout
from ptycho.scan.raw import RawData
from ptycho.settings.params import Params
from ptycho.solve import choose, engines
from ptycho.solve.choose import Choice

KIND = Choice
FILE = layout.CHOICE


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Choice:
    """Try what is left free, on patterns about the middle of the scan."""
    raw: RawData = inputs["inspect"].scan
    return choose.choose(raw, params.solver, params.seed)


def versions(params: Params) -> dict[str, str]:
    """Return the versions of what the engine computes with."""
    return engines.versions(params.solver)


def telemetry(choice: Choice) -> dict[str, float]:
    """Return the errors of left-out patterns, and their nulls."""
    if not choice.tried:
        return {}
    nulls = {"photon noise": choice.noise, "mean pattern": choice.mean_pattern, "shuffled": choice.shuffled}
    return {**choice.tried, **nulls, "patterns": choice.patterns}


def invariants(choice: Choice) -> Iterator[tuple[str, bool]]:
    """Check that an error is one."""
    yield "an error must not be negative", not any(error < 0 for error in choice.tried.values())


def notes(choice: Choice, params: Params) -> Iterator[str]:
    """Say what was chosen, and why."""
    if not choice.tried or not math.isfinite(choice.unexplained):
        return
    yield f"Chosen by {choice.patterns} patterns: {choice.sentence}."


def tables(choice: Choice) -> Iterator[Table]:
    """Show all that was tried, the best first, between its nulls."""
    if choice.tried:
        rows = sorted(choice.tried.items(), key=lambda item: (math.isnan(item[1]), item[1]))
        nulls = [
            ("photon noise alone", choice.noise),
            ("the mean pattern", choice.mean_pattern),
            ("the best choice at shuffled positions", choice.shuffled),
        ]
        yield Table("What was tried, and the data error of left-out patterns", ("", ""), (*rows, *nulls))


def save(choice: Choice, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the numbers."""
    atomic.write_json(folder / FILE, asdict(choice))


def load(folder: Path, inputs: Mapping[str, Any]) -> Choice:
    """Read them back."""
    return Choice(**atomic.with_nan(documents.read_json(folder / FILE)))
