"""Proving tests: each runs clean, and under every fault of its finding in a process where nothing was made clean.

The process forks: a child has everything imported and nothing built, so that under a fault every fixture of any scope is
built anew. What a child finds comes back in a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ptycho.testing import fault as faults
from ptycho.testing.complaint import Complaint
from ptycho.testing.fault import Fault

KILLING: tuple[type[BaseException], ...] = (AssertionError, pytest.fail.Exception)
"""What counts as a test's own failure, beside the project's own errors; anything else is an accident."""


ACTIVE = pytest.StashKey[str]()
"""Where a child's config says which fault is in; nothing where none is."""

SHARED = pytest.StashKey[Path]()
"""Where the config of a proof says which folder its processes share."""


def shared_folder(config: pytest.Config) -> Path | None:
    """Return a folder for what clean processes need not compute again; None where nothing may be shared.

    With a fault in, everything is built anew.
    """
    return config.stash.get(SHARED, None) if config.stash.get(ACTIVE, None) == "" else None


@dataclass(frozen=True)
class Outcome:
    """What became of a test in a child: `passed`, `failed` (by its own assertion or by our error), or an accident."""

    test: str
    status: str
    why: str = ""
    reached: int = 0


@dataclass(frozen=True)
class Trial:
    """The tests of a finding under one of its faults (or none).

    Attributes
    ----------
    died : bool
        The process ended without a result: it crashed, or ran into its limit.
    again : bool
        An earlier process for the same died.
    """

    finding: str
    fault: str
    outcomes: tuple[Outcome, ...]
    seconds: float = 0.0
    died: bool = False
    again: bool = False

    @property
    def killed_by(self) -> tuple[str, ...]:
        """Tests that failed on their own assertion while the fault was reached."""
        return tuple(o.test for o in self.outcomes if o.status == "failed" and o.reached)


@dataclass(frozen=True)
class Proof:
    """All trials, and what is wrong with them."""

    clean: tuple[Trial, ...]
    faulty: tuple[Trial, ...]
    complaints: tuple[Complaint, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; each complaint has its words, too."""
        message = [{**asdict(complaint), "says": str(complaint)} for complaint in self.complaints]
        return {**asdict(self), "complaints": message}


class Watch:
    """A pytest plugin of a child: notes each test's outcome, and how often the fault was reached in it."""

    def __init__(self, calls: faults.Calls, killing: tuple[type[BaseException], ...]) -> None:
        self.calls, self.killing = calls, killing
        self.outcomes: list[Outcome] = []
        self.trouble: dict[str, tuple[str, str]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[None]:
        """Tell a test's own failure from an accident."""
        report = yield
        if call.excinfo is not None and item.nodeid not in self.trouble:
            error = call.excinfo.value
            if isinstance(error, pytest.skip.Exception):
                self.trouble[item.nodeid] = "skipped", str(error)
            else:
                own = all(isinstance(part, self.killing) for part in _leaves(error))
                first = str(error).strip().splitlines()
                words = f"{call.when}: {type(error).__name__}: {first[0] if first else ''}"
                self.trouble[item.nodeid] = "failed" if own else "accident", words[:300]
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Count the calls of the fault within one test, its fixtures included."""
        before = self.calls.count
        result = yield
        status, why = self.trouble.get(item.nodeid, ("passed", ""))
        self.outcomes.append(Outcome(item.nodeid, status, why, self.calls.count - before))
        return result


def run_in_child(
    session: pytest.Session,
    items: Sequence[pytest.Item],
    fault: Fault | None,
    finding: str,
    limit_s: float,
    killing: tuple[type[BaseException], ...] = KILLING,
) -> Callable[[], Trial | None]:
    """Fork a child that runs some tests, and return what looks whether it has ended and then reads what it found."""
    began = time.monotonic()
    handle, path = tempfile.mkstemp(prefix="ptycho-proof-")
    os.close(handle)
    child = os.fork()
    if child == 0:
        _be_the_child(session, items, fault, path, limit_s, killing)  # never returns
    name = fault.id if fault else ""

    def look() -> Trial | None:
        ended, status = os.waitpid(child, os.WNOHANG)
        if not ended:
            return None
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        os.unlink(path)
        result = json.loads(text) if text else ""
        died = False
        if isinstance(result, list):
            outcomes = tuple(Outcome(**values) for values in result)
        else:
            died, code = True, os.waitstatus_to_exitcode(status)
            why = f"the process ended with {code} ({result or f'a limit of {limit_s:g} s, or a crash'})"
            outcomes = tuple(Outcome(item.nodeid, "accident", why) for item in items)
        return Trial(finding, name, outcomes, time.monotonic() - began, died)

    return look


def word_briefly() -> None:
    """Let pytest word a failed comparison in a few lines, as it does for a person.

    Where CI or BUILD_NUMBER is set it words every difference in full, which takes minutes for files of some 100 kB. A proof
    needs to know that a test failed, and its first line.
    """
    for name in ("CI", "BUILD_NUMBER"):
        os.environ.pop(name, None)


def _be_the_child(
    session: pytest.Session,
    items: Sequence[pytest.Item],
    fault: Fault | None,
    path: str,
    limit_s: float,
    killing: tuple[type[BaseException], ...],
) -> None:
    code = 1
    try:
        signal.setitimer(signal.ITIMER_REAL, limit_s)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        word_briefly()
        manager = session.config.pluginmanager
        for name in ("terminalreporter", "junitxml"):
            plugin = manager.get_plugin(name)
            if plugin is not None:
                manager.unregister(plugin)
        session.config.stash[ACTIVE] = fault.id if fault else ""
        put = faults.injected(fault) if fault else contextlib.nullcontext(faults.Calls())
        with put as calls:
            watch = Watch(calls, killing)
            manager.register(watch)
            for item, following in zip(items, [*items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        with open(path, "w", encoding="utf-8") as stream:
            json.dump([asdict(outcome) for outcome in watch.outcomes], stream)
        code = 0
    except BaseException as error:  # what a test broke beyond itself; the parent tells of it
        with open(path, "w", encoding="utf-8") as stream:
            json.dump(f"{type(error).__name__}: {error}"[:300], stream)
        raise
    finally:
        # No atexit, no pytest teardown of the parent's: the child is a dead end.
        os._exit(code)


Start = Callable[[], Callable[[], Trial | None]]
"""What starts a child, and returns what looks whether it has ended."""


def trials_of(starts: Iterable[Start], jobs: int) -> list[Trial]:
    """Run children, `jobs` at once, and return their trials in order.

    One that died is started once more, alone: a machine that is short of memory, or a lock that was held in the moment of
    the fork, says nothing of the tests. What is wrong with the tests comes again.
    """
    todo = list(starts)
    trials = in_parallel(todo, jobs)
    for number, trial in enumerate(trials):
        if trial.died:
            (second,) = in_parallel(todo[number : number + 1], 1)
            trials[number] = replace(second, again=True)
    return trials


def in_parallel(starts: Iterable[Start], jobs: int) -> list[Trial]:
    """Start children, as soon as one of `jobs` ends the next, and return their trials in order."""
    waiting = list(enumerate(starts))
    running: dict[int, Callable[[], Trial | None]] = {}
    done: dict[int, Trial] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            number, start = waiting.pop(0)
            running[number] = start()
        ended = {number: trial for number, look in running.items() if (trial := look()) is not None}
        done |= ended
        for number in ended:
            del running[number]
        if not ended:
            time.sleep(0.01)
    return [done[number] for number in sorted(done)]


def complaints_of(
    live: Iterable[str], tests: Mapping[str, Sequence[str]], clean: Sequence[Trial], faulty: Sequence[Trial]
) -> tuple[Complaint, ...]:
    """Return what keeps each live finding from being proven."""
    result = [
        Complaint("not clean", trial.finding, test=o.test, reason=f"{o.status}: {o.why}")
        for trial in clean
        for o in trial.outcomes
        if o.status not in ("passed", "skipped")
    ]
    # What is skipped here proves nothing here, and is not asked to.
    skipped = {o.test for trial in clean for o in trial.outcomes if o.status == "skipped"}
    for name in live:
        left = [test for test in tests.get(name, ()) if test not in skipped]
        result += _complaints_of_one(name, left, [trial for trial in faulty if trial.finding == name])
    return tuple(result)


def _complaints_of_one(name: str, tests: Sequence[str], trials: Sequence[Trial]) -> Iterator[Complaint]:
    if not tests:
        yield Complaint("no test", name)
    if not trials:
        yield Complaint("no fault", name)
        return
    for trial in trials:
        if not trial.killed_by:
            met = any(outcome.reached for outcome in trial.outcomes)
            accidents = sorted({o.why for o in trial.outcomes if o.status == "accident"})
            yield Complaint(
                "survives" if met else "not reached",
                name,
                trial.fault,
                reason=f"accidents: {'; '.join(accidents)}" if accidents else "",
            )
    reached = {o.test for trial in trials for o in trial.outcomes if o.reached}
    for test in tests:
        if test not in reached:
            yield Complaint("test not reached", name, test=test)


def _leaves(error: BaseException) -> list[BaseException]:
    """Return the errors of a group, or the single error."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]
