"""A toy table of stages: numbers instead of patterns. An experiment takes milliseconds, and every effect is known by heart."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest

from ptycho.artifacts.stage import Execution, Stage
from ptycho.artifacts.store import Store
from ptycho.base import atomic
from ptycho.evaluation.gates import Verdict
from ptycho.isolate import differences
from ptycho.isolate.differences import Side
from ptycho.isolate.laboratory import Laboratory
from ptycho.physics.stitching import Reconstruction
from ptycho.settings.config import Config
from ptycho.stages import pipeline

TRUTH = np.linspace(1, 2, 64).reshape(8, 8)


@dataclass(frozen=True)
class Scan:
    """What a toy scan holds."""

    values: np.ndarray
    object_guess: np.ndarray


@dataclass(frozen=True)
class Numbers:
    """What a toy judge measures."""

    error: float
    scale: float


def scan_of(inputs, params, execution):
    """The truth and some noise."""
    noise = np.random.default_rng(params.seed).normal(size=TRUTH.shape)
    return Scan(TRUTH + noise / np.sqrt(params.simulation.nphotons), TRUTH.astype(np.complex64))


def gain(inputs, params):
    """A factor, which is 1 where the momentum is as usual; only without a clip, weights of the loss act, and only together."""
    both = params.training.loss.mae > 0 and params.training.loss.total_variation > 0
    return params.model.momentum / 0.95 * (1.5 if both else 1.0)


def make(inputs, params, execution):
    """An object: the scan times the gain; few epochs hide half of what the gain does."""
    factor = sys.modules["toy_make"].gain(inputs, params)
    if params.training.epochs < 3:
        factor = 1 + (factor - 1) / 2
    if params.training.learning_rate > 0.5:
        raise ArithmeticError("the toy diverged")
    values = inputs["scan"].values * factor
    return Reconstruction(values.astype(np.complex64), np.ones_like(TRUTH, np.float32), (0, 0), 1.0, 4)


def look(inputs, params, execution):
    """Error and scale against the truth."""
    obj = np.abs(inputs["make"].object)
    if params.evaluation.border_px > 5:
        obj = obj[::-1]
    return Numbers(float(np.sqrt(np.mean((obj - TRUTH) ** 2))), float(obj.mean() / TRUTH.mean()))


def judge(inputs, params, execution):
    """One gate for each."""
    numbers, most = inputs["look"], params.gates.scale_tolerance
    off = abs(numbers.scale - 1)
    return (
        Verdict("error", "pass" if numbers.error <= 0.1 else "fail", numbers.error, "<= 0.1", ""),
        Verdict("scale", "pass" if off <= most else "fail", off, f"<= {most}", ""),
    )


def _module(name, kind, run, telemetry, **more):
    """A module as the contract of a row asks for."""
    module = ModuleType(name, f"The toy's {name}.")
    module.__file__ = __file__
    module.KIND, module.run, module.telemetry = kind, run, telemetry
    module.invariants = lambda artifact: iter([("it must be there", artifact is not None)])
    module.FILE = "artifact.pickle"

    def write(path, artifact):
        import pickle

        with atomic.replacing(path) as stream:
            stream.write(pickle.dumps(artifact))

    def read(path, inputs=None):
        import pickle

        return pickle.loads(path.read_bytes())

    module.write, module.read = write, read
    for key, value in more.items():
        setattr(module, key, value)
    return module


@pytest.fixture
def toy(monkeypatch):
    """Put the toy's table in place of the package's; returns its modules by name."""
    modules = {
        "scan": _module("toy_scan", Scan, scan_of, lambda scan: {"mean": float(scan.values.mean())}),
        "make": _module(
            "toy_make",
            Reconstruction,
            make,
            lambda made: {"mean": float(np.abs(made.object).mean())},
            gain=gain,
        ),
        "look": _module(
            "toy_look", Numbers, look, lambda numbers: {"error": numbers.error, "scale": numbers.scale}
        ),
        "judge": _module(
            "toy_judge",
            tuple,
            judge,
            lambda gates: {gate.name: float(gate.status == "pass") for gate in gates},
            passed=lambda gates: all(gate.status == "pass" for gate in gates),
        ),
    }
    for module in modules.values():
        monkeypatch.setitem(sys.modules, module.__name__, module)
    table = (
        Stage("scan", modules["scan"], reads=("seed", "simulation.nphotons")),
        Stage(
            "make",
            modules["make"],
            inputs=("scan",),
            reads=(
                "model.momentum",
                "training.epochs",
                "training.learning_rate",
                "training.loss",
                "training.clip_norm",
            ),
        ),
        Stage("look", modules["look"], inputs=("scan", "make"), reads=("evaluation.border_px",)),
        Stage("judge", modules["judge"], inputs=("look",), reads=("gates.scale_tolerance",)),
    )
    monkeypatch.setattr(pipeline, "STAGES", table)
    return modules


@pytest.fixture
def sides():
    """Make a good side, and a bad one with other values at some paths."""

    def make_sides(code=(), good=None, **changes):
        base = {"simulation": {"nphotons": 1e6}, **(good or {})}
        values = {**Config.from_dict(base).to_dict()}
        other = Config.from_dict(base).to_dict()
        for path, value in changes.items():
            table = other
            *sections, last = path.split("__")
            for section in sections:
                table = table[section]
            table[last] = value
        return Side("good", Config.from_dict(values)), Side("bad", Config.from_dict(other), code=tuple(code))

    return make_sides


@pytest.fixture
def laboratory(toy, tmp_path):
    """Return a laboratory for two sides."""

    def build(good, bad, budget=math.inf, record=None):
        comparison = differences.between(good, bad)
        return Laboratory(good, bad, comparison, Execution(cache=Store(tmp_path / "store")), budget, record)

    return build
