"""`ptycho isolate`: which stage and which parameters, data or code make a bad run of a good one."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ptycho.base.errors import ConfigError
from ptycho.commands.options import Flag, How, Profile, ReadingOptions, WholeNumber
from ptycho.runs import prepare
from ptycho.settings.request import Reading

if TYPE_CHECKING:
    from ptycho.artifacts.stage import Execution
    from ptycho.isolate.code import Code
    from ptycho.isolate.differences import Difference
    from ptycho.isolate.verdict import Verdict

Sets = Annotated[
    tuple[str, ...],
    Parameter(help="Override a parameter of this side: path=value. May be repeated.", negative=()),
]
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
EXPERIMENTS, TWIN = "experiments.json", "twin.npz"
LEAST = 1.0
"""Seconds below which no budget holds an experiment."""


def isolate(
    good: str,
    bad: str | None = None,
    *,
    profile: Profile = None,
    good_set: Sets = (),
    bad_set: Sets = (),
    bad_rev: str | None = None,
    bad_python: str | None = None,
    budget: str = "10m",
    workers: WholeNumber = 1,
    out: Path | None = None,
    resume: Flag = False,
    test: bool = True,
    reading: ReadingOptions = Reading(),
    how: How = How(),
) -> int:
    """Say which stage, and which parameters, data or code, make the bad run of the good one.

    With one side alone the good one is its digital twin: patterns simulated from what the solver finds of its scan.

    Parameters
    ----------
    good
        A scenario, a scan's NPZ file or a run directory that is as it should be; or the bad side, where it stands alone.
    bad
        The one that is not.
    bad_rev
        A revision in git of this package: the bad side's stages run its code.
    bad_python
        An interpreter with another version of this package: the bad side's stages run there.
    budget
        Time after which no experiment is begun, like 90s, 10m or 1h. The verdict is then partial, and says so.
    workers
        Processes that do experiments which do not wait for each other; each has a network's libraries in memory.
    out
        Folder for JSON, Markdown, the page, the test, and the record of all experiments; default runs/isolate_GOOD_BAD.
    resume
        Go on with the experiments in the folder.
    test
        Write a test that fails on BAD and passes on GOOD, and run it on both.
    """
    from ptycho.commands import terminal
    from ptycho.isolate import differences, isolation, keep, sides, write
    from ptycho.isolate.laboratory import Laboratory
    from ptycho.runs import claim
    from ptycho.scan.formats import npz
    from ptycho.stages import pipeline

    seconds = seconds_of(budget)
    if workers < 1:
        raise ConfigError(f"--workers {workers}: must be at least 1")
    with ExitStack() as stack:
        listen = stack.enter_context(terminal.Bars())
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="ptycho-isolate-"))
        execution = prepare.execution(how.cache, how.fresh, how.batch_size, listen)
        execution = execution if execution.cache is not None else _with_store(execution, Path(scratch))
        other = stack.enter_context(_other_version(bad_rev, bad_python))
        twin = bad is None and other is None
        if twin:
            alone = sides.of(good, profile, (*good_set, *bad_set), reading, _bugs)
            asked, line = sides.with_twin(alone, execution)
            terminal.say(line, "yellow")
        else:
            named = (good, good_set), (bad or good, bad_set)
            asked = [sides.of(text, profile, sets, reading, _bugs) for text, sets in named]
            asked[1] = sides.by_other_code(asked[1], other)
        sides.check(*asked)
        ours, theirs = sides.told_apart(*(each.side for each in asked))
        last = pipeline.verdict_row(optional=True).name if twin else None
        comparison = differences.between(ours, theirs, last)
        folder = out or Path("runs") / f"isolate_{_plain(ours.name)}_{_plain(theirs.name)}"
        record = claim.record(folder, EXPERIMENTS, "an isolation", resume)
        laboratory = Laboratory(ours, theirs, comparison, execution, seconds, record, workers)
        stack.enter_context(_saying_what_is_kept(record))
        known = partial(_known, twin=twin)
        verdict = isolation.isolate(laboratory, known=known, reach=not twin, gates=twin)
        if twin:
            verdict = verdict.with_note(sides.with_its_settings(ours, asked[1], laboratory))
            npz.write_npz(folder / TWIN, ours.given["scan"])
        elif test and other is None and verdict.isolated and (verdict.symptoms or verdict.judges):
            verdict = verdict.with_note(keep.write(folder, verdict, *(each.command for each in asked))[1])
        page = write.files(folder, verdict, laboratory)
    _say(verdict, page)
    return 0 if verdict.isolated else 1


@contextmanager
def _saying_what_is_kept(record: Path) -> Iterator[None]:
    """Say of an interrupted isolation how to go on with it."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if record.is_file():
            stop.add_note(f"experiments are kept in {record}; go on with the same command and --resume")
        raise


def seconds_of(text: str) -> float:
    """Read a time like 90s, 10m, 1h; raise ConfigError for anything else, and for one in which nothing can be done."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*(s|m|min|h|)\s*", text)
    if match is None:
        raise ConfigError(f"--budget {text}: expected a time like 90s, 10m or 1h")
    seconds = float(match[1]) * UNITS[match[2]]
    if seconds < LEAST:
        raise ConfigError(f"--budget {text}: no experiment takes so little; give 5m or more")
    return seconds


def _bugs(bugs: Sequence[str]) -> tuple[Code, ...]:
    """Return the known bugs as code of a side; the registered faults are loaded only for one."""
    if not bugs:
        return ()
    from ptycho.findings import faults
    from ptycho.isolate.code import Replaced
    from ptycho.testing import fault as room

    named = [room.named(name, faults.FAULTS) for name in bugs]
    return tuple(Replaced(each.target, each.id, partial(room.injected, each)) for each in named)


def _known(difference: Difference, twin: bool = False) -> str:
    """Say which finding of the ledger has a fault in the function that differs, or what mends data that differ from a twin's."""
    from ptycho.isolate.twin import ADVICE

    if difference.kind == "data" and twin:
        return ADVICE.get(difference.name, "")
    if difference.kind != "code":
        return ""
    from ptycho.findings import faults, ledger

    exact = dict.fromkeys(fault.finding for fault in faults.FAULTS if fault.id in difference.parts)
    if exact:
        entries = [ledger.named(name) for name in exact]
        return "; ".join(f"known as {each.id}: {each.title}; {each.remedy}" for each in entries)
    near = dict.fromkeys(fault.finding for fault in faults.FAULTS if fault.target in difference.name)
    return f"known bugs of that function (ptycho findings show ID): {', '.join(near)}" if near else ""


def _other_version(
    revision: str | None, python: str | None
) -> AbstractContextManager[tuple[Code, ...] | None]:
    """Return the rows of another version of the package, where one is asked for; None where none is."""
    from ptycho.isolate import versions

    if revision is not None and python is not None:
        raise ConfigError("--bad-rev and --bad-python name two versions; leave one of them out")
    if revision is not None:
        return versions.of_revision(revision)
    return nullcontext(None) if python is None else versions.of_python(python)


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in name)


def _with_store(execution: Execution, folder: Path) -> Execution:
    """Return how it is executed with a store of its own: experiments share what they have in common."""
    from ptycho.artifacts.store import Store

    return replace(execution, cache=Store(folder))


def _say(verdict: Verdict, page: Path) -> None:
    """Say the verdict, the causes, and where the page lies."""
    from ptycho.commands import terminal
    from ptycho.isolate import write

    colour = "green" if verdict.isolated and not verdict.symptoms else "yellow" if verdict.isolated else "red"
    for table in write.tables(verdict):
        if table.headline:
            terminal.table(table)
    for line in verdict.evidence:
        terminal.say(f"- {line}")
    for line in (verdict.judge.sentence, verdict.reach, *verdict.notes):
        if line:
            terminal.say(line)
    terminal.say(verdict.sentence, colour)
    terminal.say(f"wrote {page}")
