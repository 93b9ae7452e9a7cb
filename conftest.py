"""Settings and fixtures of the whole test suite.

The environment is set before anything can import TensorFlow: thread counts are read once, at its import,
and a result may depend on them.
"""

from __future__ import annotations

import os

for _variable in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
):
    os.environ.setdefault(_variable, "2")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import sys  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402
from hypothesis import HealthCheck, Phase, settings  # noqa: E402

# Derandomised: the same examples everywhere. `ci` looks for more of them.
_COMMON = {
    "derandomize": True,
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow],
}
settings.register_profile("dev", max_examples=25, **_COMMON)
settings.register_profile("ci", max_examples=100, **_COMMON)
# Under a fault the first example that fails says enough.
settings.register_profile("proof", max_examples=25, phases=[Phase.explicit, Phase.generate], **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

pytest_plugins = ["pytester"]

REPOSITORY = Path(__file__).resolve().parent
sys.path.insert(0, str(REPOSITORY / "tests"))

import manifest  # noqa: E402
import tiers  # noqa: E402

from ptycho.testing import device, prover  # noqa: E402


def command_line(config: pytest.Config) -> tuple[list[str], str]:
    """Paths and ids relative to the repository, and the -m expression; a proof asks for the slow tests too."""
    arguments = []
    for argument in config.args:
        path, colons, name = argument.partition("::")
        place = (config.invocation_params.dir / path).resolve()
        inside = place.relative_to(REPOSITORY).as_posix() if place.is_relative_to(REPOSITORY) else path
        arguments.append(inside + colons + name)
    return arguments, config.option.markexpr or ("slow" if config.option.prove else "")


NARROWED = (
    *("keyword", "deselect", "ignore", "ignore_glob", "lf", "stepwise"),
    *("prove", "findings_report", "collectonly"),
)
"""Options with which a command does not run a whole tier."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests that share a device stay in one worker.

    By their ids: xdist 3.8's own way, the mark `xdist_group`, does nothing with pytest 9.2, and says nothing
    (pytest-xdist issue 1386).
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return tiers.unit_of_work(nodeid)

    return Scheduling(config, log) if config.option.dist in ("load", "loadgroup") else None


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Count what is executed where a whole tier runs; refuse benchmarks that would measure nothing; prove in short.

    Only the tests of the GPU see one, unless --device says otherwise: there no two trainings end in the same bits.
    """
    if config.option.device == "auto" and "gpu" not in config.option.markexpr:
        os.environ.update(device.environment("cpu"))
    if config.option.prove:
        settings.load_profile("proof")
    tier = manifest.tier_of_command(*command_line(config))
    parallel = getattr(config.option, "numprocesses", None)
    if tier == "bench" and (getattr(config.option, "benchmark_disable", True) or parallel):
        raise pytest.UsageError("benchmarks are disabled by --benchmark-disable and by -n: leave them out")
    narrowed = any(getattr(config.option, name, None) for name in NARROWED)
    if tier and not narrowed and not hasattr(config, "workerinput"):
        config.pluginmanager.register(manifest.Counting(tier, manifest.required()), "counting")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a test's report say which findings it pins, and that it compares with a stored result."""
    item.user_properties += [("finding", mark.args[0]) for mark in item.iter_markers("finding")]
    item.user_properties += [("golden", True) for _ in item.iter_markers("golden")]


def pytest_report_header(config: pytest.Config) -> list[str]:
    return tiers.header(*command_line(config))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tiers that the command does not ask for."""
    asked = command_line(config)
    wanted = {
        item: tiers.is_wanted(item.nodeid, [mark.name for mark in item.iter_markers()], *asked)
        for item in items
    }
    if not all(wanted.values()):
        config.hook.pytest_deselected(items=[item for item in items if not wanted[item]])
        items[:] = [item for item in items if wanted[item]]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep the exit code of a run that stopped early: or-ed with syrupy's for unused snapshots it would be 3, a crash."""
    if session.exitstatus == pytest.ExitCode.INTERNAL_ERROR:
        session.exitstatus = exitstatus


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A cache of the session's own: no test reads or fills the user's. The clean processes of a proof share one."""
    shared = prover.shared_folder(request.config)
    folder = shared / "cache" if shared else tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PTYCHO_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def data_folder() -> Iterator[Path | None]:
    """The folder of measured data; a test that is not given it runs the same with and without one."""
    named = os.environ.get("PTYCHO_DATA_DIR")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PTYCHO_DATA_DIR", raising=False)
        yield Path(named) if named else None


@pytest.fixture(scope="session")
def measured(data_folder: Path | None) -> Callable[[str], Path]:
    """Give a file of measured data by its name below the data folder; skip where there is none."""

    def find(name: str) -> Path:
        if data_folder is None:
            pytest.skip("no measured data: set PTYCHO_DATA_DIR to the folder that holds them")
        if not (data_folder / name).is_file():
            pytest.skip(f"PTYCHO_DATA_DIR = {data_folder} holds no {name}")
        return data_folder / name

    return find
