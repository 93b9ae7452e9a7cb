"""`ptycho isolate`: which stage and which parameters, data or code make a bad run of a good one."""

from __future__ import annotations

import re
import tempfile
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ptycho.base.errors import ConfigError, RunDirectoryError
from ptycho.commands.options import Flag, How, Profile, ReadingOptions
from ptycho.runs import prepare
from ptycho.settings.request import Reading

if TYPE_CHECKING:
    from ptycho.artifacts.stage import Execution
    from ptycho.isolate.code import Code
    from ptycho.isolate.differences import Difference, Side
    from ptycho.isolate.laboratory import Laboratory
    from ptycho.isolate.verdict import Verdict
    from ptycho.settings.config import Config

Sets = Annotated[
    tuple[str, ...],
    Parameter(help="Override a parameter of this side: path=value. May be repeated.", negative=()),
]
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
EXPERIMENTS = "experiments.json"
LEAST = 1.0
"""Seconds below which no budget holds an experiment."""


@dataclass(frozen=True)
class Asked:
    """A side as it was named: what makes it, and what `ptycho run` takes to have it."""

    side: Side
    command: tuple[str, ...]
    passed: bool | None = None
    """The verdict that its record has, where it has one."""
    config: Config | None = None
    """Its settings, where it is looked at under others."""


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
    out
        Folder for JSON, Markdown, the page, the test, and the record of all experiments; default runs/isolate_GOOD_BAD.
    resume
        Go on with the experiments in the folder.
    test
        Write a test that fails on BAD and passes on GOOD, and run it on both.
    """
    from ptycho.commands import terminal
    from ptycho.isolate import differences, isolation, keep, write
    from ptycho.isolate.laboratory import Laboratory
    from ptycho.stages import pipeline

    seconds = seconds_of(budget)
    with ExitStack() as stack:
        listen = stack.enter_context(terminal.Bars())
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="ptycho-isolate-"))
        execution = prepare.execution(how.cache, how.fresh, how.batch_size, listen)
        execution = execution if execution.cache is not None else _with_store(execution, Path(scratch))
        other = stack.enter_context(_other_version(bad_rev, bad_python))
        if other is not None:
            bad, test = bad or good, False
        last = None
        if bad is None:
            asked = _twin_of(good, profile, (*good_set, *bad_set), reading, execution)
            test, last = False, pipeline.verdict_row(optional=True).name
        else:
            asked = [
                side_of(good, profile, good_set, reading, execution),
                side_of(bad, profile, bad_set, reading, execution),
            ]
        if other is not None:
            asked[1] = replace(
                asked[1], side=replace(asked[1].side, code=(*asked[1].side.code, *other)), passed=None
            )
        _check_sides(asked)
        ours, theirs = _told_apart([each.side for each in asked])
        comparison = differences.between(ours, theirs, last)
        if not comparison.differences:
            raise ConfigError(
                f"{ours.name} and {theirs.name} differ in nothing that any stage of these runs reads"
            )
        folder = out or Path("runs") / f"isolate_{_plain(ours.name)}_{_plain(theirs.name)}"
        record = _claimed(folder, resume)
        laboratory = Laboratory(ours, theirs, comparison, execution, seconds, record)
        twin_asked = bad is None
        verdict = isolation.isolate(
            laboratory, known=partial(_known, twin_asked=twin_asked), reach=not twin_asked, gates=twin_asked
        )
        if test and verdict.isolated and (verdict.symptoms or verdict.judges):
            _, line = keep.write(folder, verdict, *(each.command for each in asked))
            verdict = replace(verdict, notes=(*verdict.notes, line))
        if bad is None:
            verdict = replace(verdict, notes=(*verdict.notes, _with_its_settings(ours, asked[1], laboratory)))
        page = write.files(folder, verdict, laboratory)
    _say(verdict, page)
    return 0 if verdict.isolated else 1


def seconds_of(text: str) -> float:
    """Read a time like 90s, 10m, 1h; raise ConfigError for anything else, and for one in which nothing can be done."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*(s|m|min|h|)\s*", text)
    if match is None:
        raise ConfigError(f"--budget {text}: expected a time like 90s, 10m or 1h")
    seconds = float(match[1]) * UNITS[match[2]]
    if seconds < LEAST:
        raise ConfigError(f"--budget {text}: no experiment takes so little; give 5m or more")
    return seconds


def side_of(
    text: str, profile: str | None, overrides: tuple[str, ...], reading: Reading, execution: Execution
) -> Asked:
    """Return the side that a scenario, a scan's file or a run directory is.

    Raises
    ------
    ConfigError, DataContractError, RunDirectoryError
        It cannot be read, or its scan is gone.
    """
    from ptycho.isolate.differences import Side
    from ptycho.settings import past

    path = Path(text)
    sets = tuple(part for each in overrides for part in ("--set", each))
    named = () if profile is None else ("--profile", profile)
    if path.is_dir():
        if overrides:
            raise ConfigError(
                f"{text}: a run directory is as it ran; --good-set and --bad-set are of scenarios and scans"
            )
        return _of_run(path)
    if path.suffix == ".npz":
        scan = prepare.read_scan(path, reading)
        config = prepare.of_scan(scan, path, None, profile, overrides)
        return Asked(
            Side(path.stem, config, {"scan": scan}), ("--data", text, "--probe-from", "file", *named, *sets)
        )
    if past.is_historical(text):
        config = past.load(text, profile, overrides)
        bugs = past.bugs(past.switched_on(text, overrides))
        return Asked(Side(text, config, {}, _codes(bugs)), (text, *named, *sets))
    config = prepare.of_scenario(text, profile, overrides)
    return Asked(Side(config.name, config), (text, *named, *sets))


def _of_run(folder: Path) -> Asked:
    """Return the side of a run directory; raise ConfigError where its scan is not to be had."""
    from ptycho.isolate.differences import Side
    from ptycho.runs import directory

    record = directory.read_metadata(folder)
    config = directory.read_config(folder)
    scan, without = prepare.scan_of_run(folder, record)
    if without:
        raise ConfigError(f"{folder}: {without.replace('add --data', 'put it back, or give')}")
    bugs = [name for name in str(record.get("fault", "")).split(" + ") if name]
    request = record.get("request") or {}
    if record.get("request", {}).get("swaps"):
        raise ConfigError(
            f"{folder}: was run with --swap, and what was swapped in is not kept; run it again without"
        )
    command = _command_of(request)
    given = {} if scan is None else {"scan": scan}
    return Asked(Side(folder.name, config, given, _codes(bugs)), command, record.get("passed"))


def _command_of(request: dict[str, Any]) -> tuple[str, ...]:
    """Return what `ptycho run` takes to repeat a run, by its record."""
    words: list[str] = []
    if request.get("scenario"):
        words.append(str(request["scenario"]))
    if request.get("data"):
        words += ["--data", str(request["data"]["path"])]
    if request.get("profile"):
        words += ["--profile", str(request["profile"])]
    for text in request.get("overrides") or ():
        words += ["--set", str(text)]
    if request.get("seed") is not None:
        words += ["--seed", str(request["seed"])]
    if request.get("fault"):
        words += ["--fault", str(request["fault"])]
    return tuple(words)


def _codes(bugs: list[str]) -> tuple[Code, ...]:
    """Return the known bugs as code of a side; the registered faults are loaded only for one."""
    if not bugs:
        return ()
    from ptycho.findings import faults
    from ptycho.isolate.code import Replaced
    from ptycho.testing import fault as room

    named = [room.named(name, faults.FAULTS) for name in bugs]
    return tuple(Replaced(each.target, each.id, partial(room.injected, each)) for each in named)


def _known(difference: Difference, twin_asked: bool = False) -> str:
    """Say which finding of the ledger has a fault in the function that differs, or what mends data that differ from a twin's."""
    from ptycho.isolate import twin

    if difference.kind == "data" and twin_asked:
        return twin.ADVICE.get(difference.name, "")
    if difference.kind != "code":
        return ""
    from ptycho.findings import faults, ledger

    ids = dict.fromkeys(fault.finding for fault in faults.FAULTS if fault.id in difference.parts)
    ids = ids or dict.fromkeys(fault.finding for fault in faults.FAULTS if fault.target == difference.name)
    entries = [ledger.named(name) for name in ids]
    return "; ".join(f"known as {each.id}: {each.title}; {each.remedy}" for each in entries)


def _twin_of(
    text: str, profile: str | None, overrides: tuple[str, ...], reading: Reading, execution: Execution
) -> list[Asked]:
    """Return the twin of a side, and the part of it that it is the twin of."""
    from ptycho.commands import terminal
    from ptycho.isolate import twin
    from ptycho.isolate.differences import Side
    from ptycho.stages import pipeline

    asked = side_of(text, profile, overrides, reading, execution)
    side = asked.side
    scan = (
        side.given.get("scan")
        or pipeline.run_pipeline(side.config, execution, until="scan").artifacts["scan"]
    )
    pair = twin.of(scan, side.config.seed)
    terminal.say(
        f"GOOD is the digital twin of {len(pair.twin)} patterns about the middle of {side.name}: {pair.choice.sentence}",
        "yellow",
    )
    # Both are solved as they are given: what a solver refines it hides.
    plain = prepare.of_scan(pair.twin, Path(f"{side.name}.npz"), None, None, ("solver.choose=none",))
    good = Side(f"twin of {side.name}", plain, {"scan": pair.twin})
    return [
        Asked(good, ()),
        Asked(Side(side.name, plain, {"scan": pair.given}), asked.command, config=side.config),
    ]


def _with_its_settings(twin: Side, bad: Asked, laboratory: Laboratory) -> str:
    """Say whether the settings of the bad side reconstruct the twin: one run of the network."""
    from ptycho.base.errors import PtychoError
    from ptycho.stages import pipeline

    if laboratory.seconds > laboratory.budget:
        return "whether its settings reconstruct the twin was not asked: the budget had ended"
    laboratory.tell("is it the settings: the network on the twin")
    row = pipeline.verdict_row().name
    try:
        result = pipeline.run_pipeline(
            bad.config or twin.config,
            replace(laboratory.execution, listener=None),
            given=twin.given,
            until=row,
        )
    except PtychoError as error:
        return f"its settings fail on the twin: {error}"
    failed = [each.name for each in result.artifacts[row] if each.status == "fail"]
    if failed:
        return f"its settings are at fault, too: the network fails {', '.join(failed)} on the twin, which is right in everything"
    return "its settings are right: the network reconstructs the twin and passes"


def _other_version(
    revision: str | None, python: str | None
) -> AbstractContextManager[tuple[Code, ...] | None]:
    """Return the rows of another version of the package, where one is asked for."""
    from ptycho.isolate import versions

    if revision is not None and python is not None:
        raise ConfigError("--bad-rev and --bad-python name two versions; leave one of them out")
    if revision is not None:
        return versions.of_revision(revision)
    return nullcontext(None) if python is None else versions.of_python(python)


def _check_sides(asked: list[Asked]) -> None:
    """Raise ConfigError where the records of both sides say that there is nothing to isolate."""
    good, bad = asked
    if good.passed is False:
        raise ConfigError(
            f"{good.side.name} fails its gates, by its own record: it is no good side; name one that passes, or leave it out "
            f"(ptycho isolate {bad.side.name} compares with the scan's digital twin)"
        )
    if good.passed and bad.passed:
        raise ConfigError(
            f"{good.side.name} and {bad.side.name} both pass their gates, by their own records: nothing is broken; ptycho diagnose "
            "compare puts them side by side"
        )


def _told_apart(sides: list[Side]) -> list[Side]:
    good, bad = sides
    if good.name != bad.name:
        return sides
    return [replace(good, name=f"{good.name} (good)"), replace(bad, name=f"{bad.name} (bad)")]


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in name)


def _claimed(folder: Path, resume: bool) -> Path:
    """Return where the experiments are recorded; raise RunDirectoryError for a folder that holds others."""
    record = folder / EXPERIMENTS
    if folder.exists() and not folder.is_dir():
        raise RunDirectoryError(f"--out {folder}: is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()):
        if not record.is_file():
            raise RunDirectoryError(f"--out {folder}: holds something else; name another folder")
        if not resume:
            raise RunDirectoryError(
                f"--out {folder}: holds an isolation; go on with it by --resume, or name another folder"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunDirectoryError(f"--out {folder}: cannot be made: {error.strerror}") from None
    return record


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
    for cause in verdict.causes:
        terminal.say(f"- {cause.sentence}")
    for line in (verdict.judge.sentence, verdict.reach, *verdict.notes):
        if line:
            terminal.say(line)
    terminal.say(verdict.sentence, colour)
    terminal.say(f"wrote {page}")
