"""The family of the rows that solve patterns directly: their telemetry, invariants and files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.artifacts.stage import Execution
from ptycho.base import archive
from ptycho.base.errors import DataContractError
from ptycho.network.bundle import Bundle
from ptycho.physics.stitching import Reconstruction
from ptycho.scan.groups import GroupedData
from ptycho.settings.params import Params
from ptycho.solve import engines
from ptycho.solve.solution import Solution
from ptycho.stages import grouped, stitch

KIND = Solution
ARRAYS: Mapping[str, tuple[int, str]] = {"probe": (3, "c"), "positions": (2, "f"), "errors": (1, "f")}
"""What the file holds beside object and frame: dimensions and kind."""


def check(params: Params) -> None:
    """Raise ConfigError where the engine that is asked for is not there, or does not do what is asked."""
    engines.check(params.solver)


def versions(params: Params) -> dict[str, str]:
    """Return the versions of what the engine computes with."""
    return engines.versions(params.solver)


def of_groups(
    groups: GroupedData,
    bundle: Bundle,
    params: Params,
    execution: Execution,
    start: Reconstruction | None = None,
) -> Solution:
    """Solve the patterns of groups under the probe of a bundle: what the network had, all at once."""
    return engines.solve(
        grouped.under(groups, bundle),
        params.solver,
        start=start,
        seed=params.seed,
        listener=execution.listener,
    )


def telemetry(solution: Solution) -> dict[str, float]:
    """Say how well it explains the patterns, and what became of probe and positions."""
    power = np.square(np.abs(solution.probe), dtype=np.float64).sum(axis=(1, 2))
    return {
        "passes": len(solution.errors),
        "first_error": float(solution.errors[0]),
        "last_error": float(solution.errors[-1]),
        "modes": len(solution.probe),
        "share_of_first_mode": float(power[0] / power.sum()),
        "nonfinite_px": solution.reconstruction.n_nonfinite,
    }


def invariants(solution: Solution) -> Iterator[tuple[str, bool]]:
    """Check that everything that was solved for is a number."""
    yield from stitch.invariants(solution.reconstruction)
    yield "the probe must be finite", bool(np.isfinite(solution.probe).all())
    yield "positions must be finite", bool(np.isfinite(solution.positions).all())
    yield "the error of every pass must be known", bool(np.isfinite(solution.errors).all())


def write(path: Path, solution: Solution) -> None:
    """Write a solution."""
    stitch.write(path, solution.reconstruction, {name: getattr(solution, name) for name in ARRAYS})


def read(path: Path, inputs: Any = None) -> Solution:
    """Read a solution; raise DataContractError where the file holds the object alone."""
    arrays = archive.read_arrays(path)
    for name, (dimensions, kind) in ARRAYS.items():
        array = arrays.get(name)
        if array is None or array.ndim != dimensions or array.dtype.kind != kind:
            raise DataContractError(
                f"{path}: not a solution: {name} is missing, or no {dimensions}-dimensional array of it"
            )
    size = arrays["probe"].shape[-1]
    if arrays["probe"].shape[1:] != (size, size) or arrays["positions"].shape[1] != 2 or not size:
        raise DataContractError(
            f"{path}: not a solution: probe {arrays['probe'].shape} and positions {arrays['positions'].shape} are to be (P, N, N) "
            "and (M, 2)"
        )
    if not all(np.isfinite(arrays[name]).all() for name in ("probe", "positions")):
        raise DataContractError(f"{path}: not a solution: probe or positions are not finite")
    return Solution(stitch.read(path), *(arrays[name] for name in ARRAYS))
