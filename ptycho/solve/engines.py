"""The engines that can solve a scan, behind one door: what each can do, what it runs on, and whether it is there.

Each engine's module has ``solve(raw, config, *, start, seed, key, state_dir, resume, listener)``, see
:func:`ptycho.solve.engine.solve`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ptycho.base import provenance
from ptycho.base.errors import ConfigError
from ptycho.scan.raw import RawData
from ptycho.settings.params import Params
from ptycho.settings.sections import SolverConfig
from ptycho.solve import engine, ptychi, tensors
from ptycho.solve.solution import Solution


@dataclass(frozen=True)
class Engine:
    """An engine, and what it can do.

    Attributes
    ----------
    home : module
        With the function `solve`.
    libraries : tuple of str
        What its numbers come from, by the names that are imported.
    likelihoods : tuple of str
        Values of solver.likelihood that it knows.
    bad_pixels : bool
        Whether it leaves out pixels of the detector.
    affine : bool
        Whether it moves positions together.
    resumes : bool
        Whether it goes on from a checkpoint.
    device : str
        Where it runs, for people.
    remedy : str
        What to do where a library of its own is missing.
    """

    home: ModuleType
    libraries: tuple[str, ...]
    likelihoods: tuple[str, ...] = ("amplitude", "poisson")
    bad_pixels: bool = True
    affine: bool = True
    resumes: bool = True
    device: str = "CPU"
    remedy: str = ""


ENGINES: Mapping[str, Engine] = {
    "own": Engine(engine, ("numba",)),
    "keras": Engine(tensors, ("keras",), device="the device of Keras's backend"),
    "ptychi": Engine(
        ptychi,
        ("ptychi", "torch", "torchvision"),
        likelihoods=("amplitude",),
        bad_pixels=False,
        affine=False,
        resumes=False,
        device="a GPU where PyTorch sees one",
        remedy="pip install 'ptycho[ptychi]', or use solver.engine = own",
    ),
}


def check(config: SolverConfig | Params) -> None:
    """Raise ConfigError where the engine of a config is not there, or cannot do what is asked of it."""
    name = config.engine
    result = ENGINES[name]
    if "keras" in result.libraries:
        provenance.check_installed(f"solver.engine = {name}: ")
    missing = [library for library in result.libraries if importlib.util.find_spec(library) is None]
    if missing:
        raise ConfigError(f"solver.engine = {name}: {missing[0]} is not installed; {result.remedy}")
    _check_affine(config)
    if config.likelihood not in result.likelihoods:
        raise ConfigError(
            f"solver.likelihood = {config.likelihood}: with solver.engine = {name} only {', '.join(result.likelihoods)}"
        )


def _check_affine(config: SolverConfig | Params) -> None:
    if config.positions == "affine" and not ENGINES[config.engine].affine:
        able = " or ".join(name for name, each in ENGINES.items() if each.affine)
        raise ConfigError(
            f"solver.positions = affine: solver.engine = {config.engine} moves each position by itself; use {able}, or refine"
        )


def versions(config: SolverConfig | Params) -> dict[str, str]:
    """Return the versions of what the engine of a config computes with: they are part of a solution's key."""
    return provenance.library_versions(ENGINES[config.engine].libraries)


def solve(raw: RawData, config: SolverConfig | Params, **how: Any) -> Solution:
    """Solve a scan with the engine of a config; `how` as for :func:`ptycho.solve.engine.solve`.

    Raises
    ------
    ConfigError
        The engine is not there, or cannot do what is asked of it: leave out bad pixels, for one.
    SolverDiverged
        A NaN or infinity appeared.
    """
    check(config)
    if raw.bad_pixels is not None and not ENGINES[config.engine].bad_pixels:
        able = " or ".join(name for name, each in ENGINES.items() if each.bad_pixels)
        raise ConfigError(
            f"the scan has {int(raw.bad_pixels.sum())} bad pixels, and solver.engine = {config.engine} leaves none out; "
            f"use solver.engine = {able}, or --keep-pixels all where they are no more than doubtful"
        )
    result: Solution = ENGINES[config.engine].home.solve(raw, config, **how)
    return result
