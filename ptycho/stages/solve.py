"""The object that explains the whole scan, found directly, without a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ptycho.artifacts.stage import Execution, Table
from ptycho.base import archive, identity
from ptycho.base.errors import DataContractError
from ptycho.network.bundle import Bundle
from ptycho.physics.stitching import Reconstruction
from ptycho.scan.formats import npz
from ptycho.scan.groups import GroupedData
from ptycho.scan.raw import RawData
from ptycho.settings.params import Params
from ptycho.solve import engine, ptychi, tensors
from ptycho.solve.solution import Solution
from ptycho.stages import grouped, stitch

KIND = Solution
ENGINES: Mapping[str, ModuleType] = {"own": engine, "keras": tensors, "ptychi": ptychi}
FILE = stitch.FILE
SCAN = "scan"
"""Under this name a solution says which scan it was made from."""
ARRAYS: Mapping[str, tuple[int, str]] = {"probe": (3, "c"), "positions": (2, "f"), "errors": (1, "f")}
"""What the file holds beside object and frame: dimensions and kind."""


def check(params: Params) -> None:
    """Raise ConfigError where the engine that is asked for is not there, or does not do what is asked."""
    ptychi.check(params.solver)
    tensors.check(params.solver)


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Solution:
    """Solve the scan."""
    raw: RawData = inputs["scan"]
    solution: Solution = ENGINES[params.solver.engine].solve(
        raw,
        params.solver,
        start=None if params.solver.start is None else stitch.read(params.solver.start),
        bad=bad_pixels(params, raw.N),
        seed=params.seed,
        key=execution.key,
        state_dir=execution.folder,
        resume=execution.resume,
        listener=execution.listener,
    )
    made_from = {SCAN: origin(raw)}
    return replace(solution, reconstruction=replace(solution.reconstruction, made_from=made_from))


def origin(raw: RawData) -> str:
    """Return what tells a scan's patterns, and where they lie, from any others."""
    return identity.digest((raw.positions, raw.diff3d))


def bad_pixels(params: Params, N: int) -> np.ndarray | None:
    """Read the pixels (N, N) bool that are not to be believed, where they are told."""
    path = params.solver.bad_pixels
    return None if path is None else npz.read_bad_pixels(path, N)


def of_groups(
    groups: GroupedData,
    bundle: Bundle,
    params: Params,
    execution: Execution,
    start: Reconstruction | None = None,
) -> Solution:
    """Solve the patterns of groups under the probe of a bundle: what the network had, all at once."""
    return ENGINES[params.solver.engine].solve(
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
    """Whatever was found are numbers."""
    yield from stitch.invariants(solution.reconstruction)
    yield "the probe must be finite", bool(np.isfinite(solution.probe).all())
    yield "positions must be finite", bool(np.isfinite(solution.positions).all())
    yield "the error of every pass must be known", bool(np.isfinite(solution.errors).all())


def tables(solution: Solution) -> Iterator[Table]:
    """Show the error met in each pass, and the power of the modes."""
    yield Table("Passes and modes", ("", ""), tuple(telemetry(solution).items()))
    rows = tuple((str(number), float(error)) for number, error in enumerate(solution.errors, 1))
    yield Table("Error met in each pass", ("pass", "sum (A_pred - A)^2 / sum A^2"), rows)


def save(solution: Solution, folder: Path, about: Mapping[str, Any]) -> None:
    """Write object, frame, probe, positions and errors into one file."""
    write(folder / FILE, solution)


def load(folder: Path, inputs: Mapping[str, Any]) -> Solution:
    """Read them back."""
    return read(folder / FILE)


def write(path: Path, solution: Solution) -> None:
    """Write a solution."""
    stitch.write(path, solution.reconstruction, {name: getattr(solution, name) for name in ARRAYS})


def read(path: Path) -> Solution:
    """Read a solution; raise DataContractError where the file holds the object alone."""
    arrays = archive.read_arrays(path)
    for name, (dimensions, kind) in ARRAYS.items():
        array = arrays.get(name)
        if array is None or array.ndim != dimensions or array.dtype.kind != kind:
            raise DataContractError(
                f"{path}: not a solution: {name} is missing, or no {dimensions}-dimensional array of it"
            )
    return Solution(stitch.read(path), *(arrays[name] for name in ARRAYS))
