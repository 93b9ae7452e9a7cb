"""The pytest plugin of golden files: the fixtures `golden` and `golden_json`, ``--calibrate``, ``--golden-propose``.

Loaded with every pytest run of an environment that has the package, so that it imports nothing but pytest until asked.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from ptycho.testing import plugin as findings

WRITING = {
    **findings.FORBIDDEN,
    "golden_propose": "--golden-propose",
    "calibrate": "--calibrate",
}
"""Options that write golden files."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("golden files", "golden files that cannot lie")
    group.addoption(
        "--calibrate",
        action="store_true",
        help="compute every golden under each condition and each fault, and write what its tolerance rests on",
    )
    group.addoption("--calibrate-json", metavar="FILE", help="with --calibrate: write what is wrong as JSON")
    group.addoption(
        "--golden-propose",
        action="store_true",
        help="write goldens that changed as NAME.new.npz beside the old ones: ptycho golden review",
    )
    group.addoption(
        "--golden-pending", action="store_true", help="use proposed goldens in place of the accepted ones"
    )
    group.addoption(
        "--golden-record", metavar="DIR", help="compare nothing; write what each golden test computes"
    )


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Refuse to write where CI is set, and what cannot be meant together."""
    asked = [option for name, option in WRITING.items() if getattr(config.option, name, False)]
    if asked and os.environ.get("CI"):
        raise pytest.UsageError(f"{asked[0]}: CI is set, and golden files are never written there")
    if config.option.calibrate and (
        len(asked) > 1 or getattr(config.option, "prove", False) or getattr(config.option, "fault", None)
    ):
        raise pytest.UsageError("--calibrate stands alone: it puts in every fault and changes no value")
    if config.option.golden_propose and len(asked) > 1:
        raise pytest.UsageError(f"--golden-propose and {asked[0]}: propose or write, not both")
    if config.option.golden_record:
        from ptycho.testing.golden import conditions, fixture

        conditions.use_transforms_asked_for()
        config.stash[fixture.RECORDING] = Path(config.option.golden_record)
    if config.option.calibrate:
        for name, value in (("dist", "no"), ("disable_unused_snapshots", True)):
            if hasattr(config.option, name):
                setattr(config.option, name, value)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Compare arrays with those stored for this test, strictly: ``golden.check({"name": array})``, once."""
    from ptycho.testing.golden.fixture import Golden

    datadir, folder = request.getfixturevalue("lazy_datadir"), request.getfixturevalue("original_datadir")
    result = Golden(request, datadir, folder)
    yield result
    call = request.node.stash.get(CALLED, None)
    if call == "passed" and not result.checks:
        pytest.fail(f"{request.node.nodeid} takes `golden` and never checks anything", pytrace=False)


@pytest.fixture
def golden_json(request: pytest.FixtureRequest) -> Any:
    """Compare plain values with a syrupy snapshot, as JSON in one file a test; arrays and what is not finite are refused."""
    from ptycho.testing.golden.snapshots import StrictJSON

    return request.getfixturevalue("snapshot").use_extension(StrictJSON)


CALLED = pytest.StashKey[str]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """Remember what became of a test's body, for its fixtures."""
    report: Any = yield
    if report.when == "call":
        item.stash[CALLED] = report.outcome
    return report


COLLECTED = pytest.StashKey[dict[Path, set[str]]]()
"""By module: the names of all its tests' goldens, before any were deselected."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note which tests there are, before any are deselected."""
    from ptycho.testing.golden import files

    collected: dict[Path, set[str]] = {}
    for item in items:
        collected.setdefault(Path(item.path), set()).add(files.name_of(item.nodeid))
    config.stash[COLLECTED] = collected


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Calibrate instead of running."""
    config = session.config
    if config.option.collectonly or not config.option.calibrate:
        return None
    if session.testsfailed:
        raise session.Interrupted(
            f"{session.testsfailed} errors during collection: nothing can be calibrated"
        )
    from ptycho.testing import prover
    from ptycho.testing.golden import calibrate

    killing = (*prover.KILLING, findings.own_errors(config))
    registered, jobs = findings.faults_of(config), findings.jobs(config)
    findings.preload(config)
    config.stash[CALIBRATION] = result = calibrate.calibrate(session, registered, jobs, killing)
    session.testsfailed = len(result.complaints)
    if config.option.calibrate_json:
        message = [dataclasses.asdict(complaint) for complaint in result.complaints]
        Path(config.option.calibrate_json).write_text(json.dumps(message), encoding="utf-8")
    return True


CALIBRATION = pytest.StashKey[Any]()
SAID = pytest.StashKey[list[str]]()
OUTPUT = "ptycho-golden"


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn a green run red that leaves orphans, or goldens without evidence."""
    config = session.config
    proves = getattr(config.option, "prove", False)  # of the other plugin, which may be left out
    if config.option.collectonly or proves or config.option.calibrate:
        return
    words = _said(config)
    if not hasattr(config, "workerinput") or COLLECTED in config.stash:
        words += _found(config)
    if hasattr(config, "workerinput"):
        config.workeroutput[OUTPUT] = words  # type: ignore[attr-defined]
        return
    config.stash[SAID] = sorted(set(words))
    if words and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker of xdist complains of."""
    words = getattr(node, "workeroutput", {}).get(OUTPUT, [])
    node.config.stash.setdefault(SAID, []).extend(words)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what was proposed, calibrated, and what is wrong."""
    result = config.stash.get(CALIBRATION, None)
    if result is not None:
        terminalreporter.section("golden x noise floor x separation")
        for line in result.lines:
            terminalreporter.write_line(line)
        for complaint in result.complaints:
            terminalreporter.write_line(str(complaint), red=True)
    for line in _said(config):
        terminalreporter.write_line(f"golden: {line}", red=True)


def _said(config: pytest.Config) -> list[str]:
    words: list[str] = config.stash.setdefault(SAID, [])
    return list(words)


def _found(config: pytest.Config) -> list[str]:
    """Return what is wrong with the goldens of this process's modules."""
    from ptycho.testing.golden import fixture, orphans

    whole = not any("::" in argument for argument in config.args)
    collected: dict[Path, set[str]] = config.stash.get(COLLECTED, {})
    words = orphans.orphans(collected) if whole else []
    option = config.option
    writes = option.force_regen or option.regen_all or option.golden_propose or option.golden_record
    complaints: list[str] = config.stash.get(fixture.COMPLAINTS, [])
    return words if writes else words + complaints
