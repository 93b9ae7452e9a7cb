"""The object that explains the whole scan, found directly, without a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ptycho.artifacts.stage import Execution, Table
from ptycho.base import identity, layout
from ptycho.scan.inspection import Inspection
from ptycho.scan.raw import RawData
from ptycho.settings.params import Params
from ptycho.solve import choose, engines, places
from ptycho.solve.solution import Solution
from ptycho.stages import solutions, stitch

KIND = Solution
FILE = layout.RECONSTRUCTION
SCAN = "scan"
"""Under this name a solution says which scan it was made from."""
ROWS = "rows"
"""Under this one, which of its patterns."""
WHY = "why"
"""Under this one, what a scan says that takes its probe and positions from it."""


def check(params: Params) -> None:
    """Raise ConfigError where the engine that is asked for is not there, or does not do what is asked."""
    engines.check(params.solver)


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Solution:
    """Solve the scan."""
    inspected: Inspection = inputs["inspect"]
    raw = inspected.scan
    solution = choose.solve(
        raw,
        params.solver,
        inputs["choose"],
        start=None if params.solver.start is None else stitch.read_start(params.solver.start),
        seed=params.seed,
        key=execution.key,
        state_dir=execution.folder,
        resume=execution.resume,
        listener=execution.listener,
    )
    made_from = {SCAN: origin(inputs["scan"]), ROWS: inspected.kept_text}
    named = replace(solution.reconstruction, made_from=made_from, pixel_m=stitch.pixel_of(raw))
    return replace(solution, reconstruction=named)


def origin(raw: RawData) -> str:
    """Return what tells a scan's patterns, and where they lie, from any others."""
    return identity.digest((raw.positions, raw.diff3d))


def notes(solution: Solution, params: Params) -> Iterator[str]:
    """Say where positions could not move as far as they would have."""
    edge = solution.at_edge
    if params.solver.positions == "refine" and edge.any():
        yield (
            f"{int(edge.sum())} of {len(edge)} positions moved as far as the solver lets them ({places.MARGIN} px beyond the "
            f"scan), first in row {int(np.argmax(edge))}: they may lie farther off still."
        )


def tables(solution: Solution) -> Iterator[Table]:
    """Show the error met in each pass, and the power of the modes."""
    yield Table("Passes and modes", ("", ""), tuple(solutions.telemetry(solution).items()))
    rows = tuple((str(number), float(error)) for number, error in enumerate(solution.errors, 1))
    yield Table("Error met in each pass", ("pass", "sum (A_pred - A)^2 / sum A^2"), rows)
