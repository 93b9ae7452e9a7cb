"""The pytest plugin: the `finding` marker, ``--prove``, ``--findings-report``, ``--artifacts`` and ``--fault``.

It is loaded with every pytest run of an environment that has the package, so that it imports nothing but pytest until it
is asked for something.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

FORBIDDEN = {
    "force_regen": "--force-regen",
    "regen_all": "--regen-all",
    "update_snapshots": "--snapshot-update",
}
"""Options that make golden files agree with whatever runs; under a fault that would be the fault."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, and where a project keeps its ledger and its faults."""
    group = parser.getgroup("findings", "regression tests that are proven")
    group.addoption(
        "--prove",
        action="store_true",
        help="run every finding's tests clean and under each of its faults: at least one must fail under each",
    )
    group.addoption(
        "--finding",
        action="append",
        default=[],
        metavar="ID",
        help="with --prove: only this finding; repeatable",
    )
    group.addoption("--prove-json", metavar="FILE", help="with --prove: write what happened as JSON")
    group.addoption(
        "--prove-limit",
        type=float,
        default=300,
        metavar="SECONDS",
        help="with --prove: of a finding's tests under a fault",
    )
    group.addoption(
        "--findings-report",
        action="store_true",
        help="run no test: print for each stage how many findings are live, tested and proven",
    )
    group.addoption(
        "--artifacts",
        metavar="DIR",
        help="a folder for each failing test: what was expected and measured as pictures and arrays; and a page of all",
    )
    group.addoption("--artifacts-always", action="store_true", help="with --artifacts: for passing tests too")
    group.addoption(
        "--device",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        help="where networks run: cpu hides GPUs, gpu fails where there is none",
    )
    group.addoption("--fault", metavar="ID", help="run the tests with this fault put in")
    parser.addini("findings_ledger", "TOML ledger of findings")
    parser.addini("findings_faults", "module with a tuple FAULTS")
    parser.addini(
        "findings_errors",
        "base class of the project's own errors, module:Class (default: ptycho's); a test that fails on one is killed",
    )
    parser.addini("findings_preload", "modules that --prove imports before its processes fork", type="args")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; refuse what cannot be meant; the prover has its own processes instead of xdist's."""
    config.addinivalue_line("markers", "finding(id): pins an entry of the findings ledger, named by its ID")
    for option in ("--artifacts", "--prove-json"):
        # Before it knows our options pytest looks for its settings above any argument that exists.
        if config.inipath is None and option in config.invocation_params.args:
            raise pytest.UsageError(
                f"pytest finds no settings of a project; if there are any, write {option}=PLACE"
            )
    _leave_artifacts(config)
    if config.option.device != "auto":
        from ptycho.testing import device

        os.environ.update(device.environment(config.option.device))
    if not config.option.prove:
        return
    for name, option in FORBIDDEN.items():
        if getattr(config.option, name, False):
            raise pytest.UsageError(f"--prove and {option}: golden files would agree with any fault")
    if not config.option.prove_limit > 0:
        raise pytest.UsageError(f"--prove-limit {config.option.prove_limit:g}: must be more than 0 seconds")
    if config.option.fault:
        raise pytest.UsageError("--prove puts every fault in by itself; leave --fault out")
    for name, value in (("dist", "no"), ("disable_unused_snapshots", True)):
        if hasattr(config.option, name):
            setattr(config.option, name, value)


def _leave_artifacts(config: pytest.Config) -> None:
    if not config.option.artifacts:
        if config.option.artifacts_always:
            raise pytest.UsageError("--artifacts-always: say where with --artifacts DIR")
        return
    if config.option.prove:
        raise pytest.UsageError(
            "--prove leaves no artifacts; see one fault's with --fault ID --artifacts DIR"
        )
    from ptycho.testing import artifacts

    root = (config.invocation_params.dir / config.option.artifacts).resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
        (root / ".writable").touch()
        (root / ".writable").unlink()
    except OSError as error:
        raise pytest.UsageError(f"--artifacts {root}: cannot be written: {error.strerror}") from None
    worker = hasattr(config, "workerinput")
    plugin = artifacts.Artifacts(root, config.option.artifacts_always, _findings_of, worker)
    config.pluginmanager.register(plugin, "ptycho-artifacts")


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> Any:
    """Keep what the test shows on request: ``compare(name, actual, expected)``, ``note(name=number)``, see --artifacts."""
    from ptycho.testing import artifacts

    return artifacts.evidence_of(request.node)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """Tell of a test that fails which finding it pins, what must hold, and what was measured instead."""
    report: Any = yield
    if report.failed and call.excinfo is not None and any(item.iter_markers("finding")):
        from ptycho.testing import evidence

        seen = evidence.Evidence()
        seen.take_frames(call.excinfo.tb)
        lines = [f"{f['id']} (stage {f['stage']}): {f['invariant']}" for f in _findings_of(item)]
        report.sections.append(("findings", "\n".join([*lines, *evidence.measured(seen.compared)])))
    return report


def _findings_of(item: pytest.Item) -> list[dict[str, str]]:
    """Return what the ledger says of a test's findings; one that it does not know is left out."""
    known = {entry.id: entry for entry in _ledger(item.config)}
    result = []
    for mark in item.iter_markers("finding"):
        entry = known.get(mark.args[0]) if mark.args else None
        if entry is not None:
            result.append({name: getattr(entry, name) for name in ("id", "title", "stage", "invariant")})
    return result


@pytest.fixture(scope="session", autouse=True)
def _one_fault(request: pytest.FixtureRequest) -> Iterator[None]:
    """With --fault, the fault is in before any other fixture is built."""
    name = request.config.option.fault
    if not name:
        yield
        return
    from ptycho.testing import fault as faults

    with faults.injected(_fault_named(request.config, name)):
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note which findings have tests before any are deselected."""
    if config.option.findings_report:
        config.stash[TESTED] = set(_tests_by_finding(items, {entry.id for entry in _ledger(config)}))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Prove instead of running; or report and run nothing."""
    if session.config.option.collectonly:
        return None
    if not session.config.option.prove:
        return True if session.config.option.findings_report else None
    if session.testsfailed:
        raise session.Interrupted(f"{session.testsfailed} errors during collection: nothing can be proven")
    proof = _prove(session)
    session.testsfailed = len(proof.complaints)
    session.config.stash[PROOF] = proof
    _remember(session.config, proof)
    return True


PROOF = pytest.StashKey[Any]()
TESTED = pytest.StashKey[Collection[str]]()
PROVEN = "ptycho/proven"
"""Where pytest's cache keeps, by finding, the hash of the sources that it was proven with."""


def _remember(config: pytest.Config, proof: Any) -> None:
    """Keep what was proven, for --findings-report."""
    from ptycho.testing import census

    cache = getattr(config, "cache", None)
    if cache is not None:
        tried = {trial.finding for trial in (*proof.clean, *proof.faulty)}
        kept = {name: of for name, of in cache.get(PROVEN, {}).items() if name not in tried}
        of = census.source_hash(faults_of(config))
        cache.set(PROVEN, kept | dict.fromkeys(sorted(_proven(proof)), of))


def _proven(proof: Any) -> set[str]:
    return {trial.finding for trial in proof.faulty} - {complaint.finding for complaint in proof.complaints}


def _report_findings(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table stage x live x tested x proven."""
    from ptycho.testing import census

    cache = getattr(config, "cache", None)
    known = cache.get(PROVEN, {}) if cache is not None else {}
    source = census.source_hash(faults_of(config))
    rows, stale = census.census(_ledger(config), config.stash.get(TESTED, ()), known, source)
    terminalreporter.section("findings")
    terminalreporter.write_line(f"{'stage':<14}{'live':>6}{'tested':>8}{'proven':>8}")
    for row in rows:
        complete = row.live == row.tested == row.proven
        line = f"{row.stage:<14}{row.live:>6}{row.tested:>8}{row.proven:>8}"
        terminalreporter.write_line(line, green=complete, yellow=not complete)
    if stale:
        terminalreporter.write_line(
            f"{stale} were proven with other sources and do not count: run pytest --prove"
        )


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table finding x fault x killed by, and what is not proven."""
    if config.option.findings_report:
        _report_findings(terminalreporter, config)
    proof = config.stash.get(PROOF, None)
    if proof is None:
        return
    terminalreporter.section("findings x faults x killed by")
    for trial in proof.faulty:
        killers = ", ".join(test.rpartition("/")[2] for test in trial.killed_by[:2]) or "NOTHING"
        more = f" and {len(trial.killed_by) - 2} more" if len(trial.killed_by) > 2 else ""
        terminalreporter.write_line(f"{trial.fault}  <-  {killers}{more}")
    again = [trial.fault or trial.finding for trial in (*proof.clean, *proof.faulty) if trial.again]
    if again:
        terminalreporter.write_line(f"processes that died and were started once more: {', '.join(again)}")
    terminalreporter.section(f"{len(_proven(proof))} findings proven, {len(proof.complaints)} complaints")
    for complaint in proof.complaints:
        terminalreporter.write_line(str(complaint), red=True)


def _prove(session: pytest.Session) -> Any:
    from ptycho.base import provenance
    from ptycho.testing import prover

    config = session.config
    for name in ("findings_ledger", "findings_faults"):
        if not config.getini(name):
            raise pytest.UsageError(f"--prove: pytest.ini does not say where they are; set {name}")
    entries, registered = _ledger(config), faults_of(config)
    tests = _tests_by_finding(session.items, {entry.id for entry in entries})
    _check_faults(registered, {entry.id for entry in entries})
    demanded = [
        entry.id
        for entry in entries
        if entry.status == "live" and (entry.tier != "scenario" or tests.get(entry.id))
    ]
    wanted = config.option.finding
    for name in wanted:
        if name not in demanded:
            raise pytest.UsageError(f"--finding {name}: no live finding of that ID")
    demanded = [name for name in demanded if not wanted or name in wanted]
    limit, at_once = config.option.prove_limit, jobs(config)
    killing = (*prover.KILLING, own_errors(config))

    def starts(with_faults: bool) -> Iterator[Any]:
        for name in demanded:
            items = tests.get(name, [])
            for fault in [f for f in registered if f.finding == name] if with_faults else [None]:
                if items:
                    yield lambda i=items, f=fault, n=name: prover.run_in_child(
                        session, i, f, n, limit, killing
                    )

    preload(config)
    with tempfile.TemporaryDirectory(prefix="ptycho-proof-") as shared:
        config.stash[prover.SHARED] = Path(shared)
        clean = tuple(prover.trials_of(starts(False), at_once))
    faulty = tuple(prover.trials_of(starts(True), at_once))
    ids = {name: [item.nodeid for item in items] for name, items in tests.items()}
    proof = prover.Proof(clean, faulty, prover.complaints_of(demanded, ids, clean, faulty))
    if config.option.prove_json:
        record = {"provenance": provenance.provenance(), **proof.to_dict()}
        Path(config.option.prove_json).write_text(json.dumps(record, indent=1), encoding="utf-8")
    return proof


def preload(config: pytest.Config) -> None:
    """Import once, before the processes fork, what takes every one of them seconds and does nothing yet."""
    import contextlib
    import importlib

    for name in config.getini("findings_preload"):
        with contextlib.suppress(ImportError):  # those who need it will say so
            importlib.import_module(name)


def jobs(config: pytest.Config) -> int:
    """Return how many processes at once: as xdist's -n says, else one a core."""
    asked = getattr(config.option, "numprocesses", None)
    return int(asked) if isinstance(asked, int) and asked > 0 else os.cpu_count() or 1


def _tests_by_finding(items: Sequence[pytest.Item], known: set[str]) -> dict[str, list[pytest.Item]]:
    tests: dict[str, list[pytest.Item]] = {}
    for item in items:
        for mark in item.iter_markers("finding"):
            name = mark.args[0] if mark.args else None
            if name not in known:
                raise pytest.UsageError(
                    f"{item.nodeid}: marker finding({name!r}): the ledger has no such entry"
                )
            if item not in tests.setdefault(name, []):
                tests[name].append(item)
    return tests


def _check_faults(registered: Any, known: set[str]) -> None:
    from ptycho.base.errors import FaultError
    from ptycho.testing import fault as faults

    names = [fault.id for fault in registered]
    for fault in registered:
        try:
            faults.find_target(fault)
        except FaultError as error:
            raise pytest.UsageError(str(error)) from None
        if fault.finding not in known:
            raise pytest.UsageError(f"fault {fault.id}: the ledger has no finding {fault.finding}")
        if names.count(fault.id) > 1:
            raise pytest.UsageError(f"fault {fault.id} is registered twice")


def _ledger(config: pytest.Config) -> Any:
    """Return the entries of the project's ledger, none where it names none."""
    from ptycho.base.errors import PtychoError
    from ptycho.testing import ledger

    own = config.getini("findings_ledger")
    try:
        return ledger.read(config.rootpath / own) if own else ()
    except PtychoError as error:
        raise pytest.UsageError(str(error)) from None


def faults_of(config: pytest.Config) -> Any:
    """Return the registered faults, none where the project names none; raise UsageError where the module has none."""
    import importlib

    name = config.getini("findings_faults")
    try:
        return importlib.import_module(name).FAULTS if name else ()
    except (ImportError, AttributeError) as error:
        raise pytest.UsageError(f"findings_faults = {name}: {error}") from None


def own_errors(config: pytest.Config) -> type[BaseException]:
    """Return the base class of the project's own errors."""
    import importlib

    name = config.getini("findings_errors") or "ptycho.base.errors:PtychoError"
    module, _, attribute = name.partition(":")
    try:
        result = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise pytest.UsageError(f"findings_errors = {name}: {error}") from None
    if not (isinstance(result, type) and issubclass(result, BaseException)):
        raise pytest.UsageError(f"findings_errors = {name}: is no class of errors")
    return result


def _fault_named(config: pytest.Config, name: str) -> Any:
    from ptycho.base.errors import FaultError
    from ptycho.testing import fault as faults

    try:
        return faults.named(name, faults_of(config))
    except FaultError as error:
        raise pytest.UsageError(f"--fault: {error}") from None
