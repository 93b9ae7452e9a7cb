"""The same patterns solved directly from a flat object: what is to be had of them, whatever the network makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ptycho.artifacts.stage import Execution
from ptycho.base import layout
from ptycho.settings.params import Params
from ptycho.solve.solution import Solution
from ptycho.stages import solve

KIND = Solution
FILE = layout.ORACLE


def check(params: Params) -> None:
    """Raise ConfigError where the engine that is asked for is not there."""
    solve.check(params)


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Solution:
    """Solve from flat."""
    return solve.of_groups(inputs["group_test"], inputs["train"], params, execution)


def telemetry(solution: Solution) -> dict[str, float]:
    """Say how well it explains the patterns."""
    return solve.telemetry(solution)


def invariants(solution: Solution) -> Iterator[tuple[str, bool]]:
    """Whatever was found are numbers."""
    return solve.invariants(solution)


def save(solution: Solution, folder: Path, about: Mapping[str, Any]) -> None:
    """Write it into one file."""
    solve.write(folder / FILE, solution)


def load(folder: Path, inputs: Mapping[str, Any]) -> Solution:
    """Read it back."""
    return solve.read(folder / FILE)
