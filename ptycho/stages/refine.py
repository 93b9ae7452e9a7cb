"""The network's object, sharpened by the direct solver on the patterns that it was made from."""

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
FILE = layout.REFINED


def check(params: Params) -> None:
    """Raise ConfigError where the engine that is asked for is not there."""
    solve.check(params)


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Solution:
    """Go on from the stitched object."""
    return solve.of_groups(inputs["group_test"], inputs["train"], params, execution, inputs["stitch"])


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
