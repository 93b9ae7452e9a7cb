"""The same scan solved by pty-chi, an independent engine on PyTorch, which nobody here wrote; an extra of its own.

What differs there and is taken out here: its Fourier transform has no normalisation, so that intensities are N^2 times
ours; the middle of a patch of N pixels is (N - 1)/2, ours N/2; and it scales the probe that it is given, whose power is put back
into the object.
"""

from __future__ import annotations

import importlib
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.base import progress
from ptycho.base.errors import SolverDiverged
from ptycho.base.progress import Listener, Progress
from ptycho.physics.stitching import Reconstruction
from ptycho.scan.raw import RawData
from ptycho.settings.params import Params
from ptycho.settings.sections import SolverConfig
from ptycho.solve import solution
from ptycho.solve.solution import Solution

METHOD = "RPIE"
"""Of pty-chi's: the one that is nearest to ours."""


def solve(
    raw: RawData,
    config: SolverConfig | Params,
    *,
    start: Reconstruction | None = None,
    seed: int = 0,
    key: str = "",
    state_dir: Path | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> Solution:
    """Reconstruct a scan by rPIE; as :func:`ptycho.solve.engine.solve`, but nothing is kept to go on from, nor left out.

    Raises
    ------
    SolverDiverged
        A NaN or infinity appeared.
    """
    torch: Any = importlib.import_module("torch")
    begins = solution.beginning(raw, config, start)
    where, probe = begins.places, begins.probe
    local = raw.positions - np.array(where.origin_xy)
    with _as_it_was(torch), torch.random.fork_rng():
        torch.manual_seed(seed)
        tasks: Any = importlib.import_module("ptychi.api.task")
        task = tasks.PtychographyTask(
            _options(config, torch.cuda.is_available()),
            diffraction_data=np.square(raw.diff3d * np.float32(raw.N)),
            object_data=begins.canvas[None],
            probe_data=np.asarray(probe[None], np.complex64),
            probe_position_x_px=local[:, 0].astype(np.float32),
            probe_position_y_px=local[:, 1].astype(np.float32),
        )
        errors = list(_passes(task, config.passes, len(raw) / begins.energy, listener))
        obj, result, places_yx = (
            np.asarray(task.get_data_to_cpu(name, as_numpy=True))
            for name in ("object", "probe", "probe_positions")
        )
    factor = math.sqrt(begins.power / float(np.sum(np.abs(result) ** 2, dtype=np.float64)))
    positions = places_yx[:, ::-1].astype(np.float64) + np.array(where.origin_xy)
    return solution.solution_of(
        obj[0] / factor, result[0] * factor, replace(where, positions=positions), errors
    )


def _options(config: SolverConfig | Params, on_gpu: bool) -> Any:
    """Return pty-chi's options."""
    api: Any = importlib.import_module("ptychi.api")
    options = getattr(api, f"{METHOD}Options")()
    run, obj = options.reconstructor_options, options.object_options
    run.num_epochs, run.batch_size = config.passes, config.batch_patterns or 32
    run.default_device = api.Devices.GPU if on_gpu else api.Devices.CPU
    obj.pixel_size_m = 1.0
    if METHOD == "RPIE":
        obj.alpha = config.damping
    obj.determine_position_origin_coords_by = api.ObjectPosOriginCoordsMethods.SPECIFIED
    obj.position_origin_coords = np.array([-0.5, -0.5], np.float32)
    options.probe_options.optimizable = config.probe == "refine"
    options.probe_options.optimization_plan.start = config.probe_from
    options.probe_position_options.optimizable = config.positions == "refine"
    options.probe_position_options.optimization_plan.start = config.positions_from
    return options


def _passes(task: Any, count: int, unit: float, listener: Listener | None) -> Iterator[float]:
    """Run pass after pass; yield the error of each, in units of the data's energy."""
    for number in range(1, count + 1):
        task.run(1)
        result = float(task.reconstructor.loss_tracker.table["loss"].iloc[-1]) * unit
        if not math.isfinite(result):
            raise SolverDiverged(
                f"pty-chi diverged in pass {number}: the error is {result}; raise solver.damping"
            )
        message = f"pass {number}/{count} error {result:.3g}"
        progress.tell(listener, Progress("solve", number, count, message, milestone=True))
        yield result


@contextmanager
def _as_it_was(torch: Any) -> Iterator[None]:
    """Put back what pty-chi sets for the whole process; its log and its warnings are not ours."""
    device, theirs = torch.get_default_device(), logging.getLogger("ptychi")
    level = theirs.level
    theirs.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_device(device)
        theirs.setLevel(level)
