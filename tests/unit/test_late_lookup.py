"""One setattr puts any fault in: no call of a run goes past the name of the function that it calls."""

import functools
import importlib
import inspect
import pkgutil
import types
from collections import Counter

import pytest

import ptycho
from ptycho.artifacts.stage import Execution
from ptycho.artifacts.store import Store
from ptycho.physics import coords
from ptycho.runs import directory

KEPT = coords.channel_to_grid
"""What `from ptycho.physics.coords import channel_to_grid` would have kept."""


def public_functions():
    """[(module, name, function)] of every public function that a run may call, in all modules of the package.

    What tests the package is not called by a run, but by pytest, which keeps it.
    """
    found = []
    for info in pkgutil.walk_packages(ptycho.__path__, "ptycho."):
        if info.name.startswith("ptycho.testing"):
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            own = inspect.isfunction(value) and value.__module__ == info.name
            if own and not name.startswith("_") and value.__closure__ is None:
                found.append((module, name, value))
    return found


def renewed(function):
    """A copy of a function that shares nothing with it but its module."""
    copy = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def trap(name):
    """Code for the function object that somebody may have kept: it tells on them."""
    scope = {}
    exec(
        f"def kept(*args, **options):\n    raise AssertionError({name!r} ' was called past its name')", scope
    )
    return scope["kept"].__code__


@pytest.fixture
def replaced(monkeypatch):
    """Every public function replaced in its module by a counting copy; the object that stood there is a trap."""
    calls = Counter()

    def counting(function, key):
        @functools.wraps(function)
        def counted(*args, **options):
            calls[key] += 1
            return function(*args, **options)

        return counted

    for module, name, function in public_functions():
        key = f"{module.__name__}.{name}"
        monkeypatch.setattr(module, name, counting(renewed(function), key))
        for attribute, value in (
            ("__defaults__", None),
            ("__kwdefaults__", None),
            ("__code__", trap(key)),
        ):
            monkeypatch.setattr(function, attribute, value)
    return calls


@pytest.mark.slow
def test_every_public_function_that_a_run_calls_is_called_by_its_name(replaced, tiny_config, tmp_path):
    config = tiny_config("training.cluster_patterns=2", "training.epochs=1", "seed=5")
    store = Store(tmp_path / "cache")
    directory.execute(config, tmp_path / "run", Execution(cache=store))
    directory.execute(config, tmp_path / "again", Execution(cache=store))
    described = directory.read_metadata(tmp_path / "again")
    assert described["figure_errors"] == {}
    assert {record["how"] for record in described["stages"].values()} == {"loaded"}
    rooms = {key.split(".")[1] for key in replaced}
    assert len(replaced) > 110
    assert rooms == {
        *(
            "base",
            "settings",
            "physics",
            "scan",
            "network",
            "evaluation",
            "stages",
            "report",
            "runs",
            "solve",
        ),
    }
    modules = {key.rpartition(".")[0].partition(".")[2] for key in replaced}
    assert modules >= {
        *("physics.coords", "physics.forward", "physics.scaling", "physics.stitching", "scan.simulate"),
        *("scan.grouping", "network.training", "network.inference", "network.bundle", "evaluation.gates"),
        *("stages.pipeline", "runs.directory", "base.atomic", "base.archive", "base.identity"),
    }


def test_the_trap_springs(replaced):
    """The test above can fail: a function that was taken by its name earlier is called past it."""
    with pytest.raises(
        AssertionError, match=r"ptycho\.physics\.coords\.channel_to_grid was called past its name"
    ):
        KEPT(3, 2)
    assert coords.channel_to_grid(3, 2) == (1, 1)
    assert replaced == {"ptycho.physics.coords.channel_to_grid": 1}
