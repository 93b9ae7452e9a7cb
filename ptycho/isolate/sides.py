"""What a person names as a side: a scenario, a state of the past, a scan's file, a run directory; or a scan and its twin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ptycho.artifacts.stage import Execution
from ptycho.base.errors import ConfigError, PtychoError
from ptycho.isolate import twin
from ptycho.isolate.code import Code
from ptycho.isolate.differences import Side
from ptycho.isolate.laboratory import Laboratory
from ptycho.runs import directory, prepare
from ptycho.settings import past
from ptycho.settings.config import Config
from ptycho.settings.request import Reading
from ptycho.stages import pipeline

Bugs = Callable[[Sequence[str]], tuple[Code, ...]]
"""Returns known bugs, by their IDs, as code of a side."""


@dataclass(frozen=True)
class Asked:
    """A side as it was named.

    Attributes
    ----------
    side : Side
    command : tuple of str
        What `ptycho run` takes to have it.
    passed : bool or None
        The verdict that its record has, where it has one.
    config : Config or None
        Its settings, where it is looked at under others.
    """

    side: Side
    command: tuple[str, ...]
    passed: bool | None = None
    config: Config | None = None


def of(text: str, profile: str | None, overrides: tuple[str, ...], reading: Reading, bugs: Bugs) -> Asked:
    """Return the side that a scenario, a scan's file or a run directory is.

    Raises
    ------
    ConfigError, DataContractError, RunDirectoryError
        It cannot be read, or its scan is gone.
    """
    path = Path(text)
    sets = tuple(part for each in overrides for part in ("--set", each))
    named = () if profile is None else ("--profile", profile)
    if path.is_dir():
        if overrides:
            raise ConfigError(
                f"{text}: a run directory is as it ran; --good-set and --bad-set are of scenarios and scans"
            )
        return _of_run(path, bugs)
    if prepare.is_scan(path):
        scan = prepare.read_scan(path, reading)
        config = prepare.of_scan(scan, path, None, profile, overrides)
        return Asked(
            Side(path.stem, config, {"scan": scan}), ("--data", text, "--probe-from", "file", *named, *sets)
        )
    if past.is_historical(text):
        config = past.load(text, profile, overrides)
        names = past.bugs(past.switched_on(text, overrides))
        return Asked(Side(text, config, {}, bugs(names)), (text, *named, *sets))
    config = prepare.of_scenario(text, profile, overrides)
    return Asked(Side(config.name, config), (text, *named, *sets))


def _of_run(folder: Path, bugs: Bugs) -> Asked:
    """Return the side of a run directory; raise ConfigError where its scan is not to be had."""
    record = directory.read_metadata(folder)
    config = directory.read_config(folder)
    scan, without = prepare.scan_of_run(folder, record)
    if without:
        raise ConfigError(f"{folder}: {without.replace('add --data', 'put it back, or give')}")
    names = [name for name in str(record.get("fault", "")).split(" + ") if name]
    request = record.get("request") or {}
    if request.get("swaps"):
        raise ConfigError(
            f"{folder}: was run with --swap, and what was swapped in is not kept; run it again without"
        )
    command = command_of(request)
    given = {} if scan is None else {"scan": scan}
    return Asked(Side(folder.name, config, given, bugs(names)), command, record.get("passed"))


def command_of(request: Mapping[str, Any]) -> tuple[str, ...]:
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
    for name, value in (request.get("reading") or {}).items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif isinstance(value, (list, tuple)):
            words += [part for each in value for part in (option, str(each))]
        elif value:
            words += [option, str(value)]
    return tuple(words)


def with_twin(asked: Asked, execution: Execution) -> tuple[list[Asked], str]:
    """Return the twin of a side and the part of it that it is the twin of, and a line on both."""
    side = asked.side
    scan = (
        side.given.get("scan")
        or pipeline.run_pipeline(side.config, execution, until="scan").artifacts["scan"]
    )
    pair = twin.of(scan, side.config.seed)
    line = f"GOOD is the digital twin of {len(pair.twin)} patterns about the middle of {side.name}: {pair.choice.sentence}"
    # Both are solved as they are given: what a solver refines it hides.
    plain = prepare.of_scan(pair.twin, Path(f"{side.name}.npz"), None, None, ("solver.choose=none",))
    good = Side(f"twin of {side.name}", plain, {"scan": pair.twin})
    part = Asked(Side(side.name, plain, {"scan": pair.given}), asked.command, config=side.config)
    return [Asked(good, ()), part], line


def with_its_settings(good: Side, bad: Asked, laboratory: Laboratory) -> str:
    """Say whether the settings of the bad side reconstruct the twin: one run of the network."""
    if laboratory.seconds > laboratory.budget:
        return "whether its settings reconstruct the twin was not asked: the budget had ended"
    laboratory.tell("is it the settings: the network on the twin")
    row = pipeline.verdict_row().name
    try:
        result = pipeline.run_pipeline(
            bad.config or good.config,
            replace(laboratory.execution, listener=None),
            given=good.given,
            until=row,
        )
    except PtychoError as error:
        return f"its settings fail on the twin: {error}"
    failed = [each.name for each in result.artifacts[row] if each.status == "fail"]
    if failed:
        return f"its settings are at fault, too: the network fails {', '.join(failed)} on the twin, which is right in everything"
    return "its settings are right: the network reconstructs the twin and passes"


def by_other_code(asked: Asked, code: tuple[Code, ...] | None) -> Asked:
    """Return a side whose rows run other code, which no record of it knows; where there is none, the side itself."""
    if code is None:
        return asked
    return replace(asked, side=replace(asked.side, code=(*asked.side.code, *code)), passed=None)


def check(good: Asked, bad: Asked) -> None:
    """Raise ConfigError where the records of both sides say that there is nothing to isolate."""
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


def told_apart(good: Side, bad: Side) -> tuple[Side, Side]:
    """Return both sides under names that differ."""
    if good.name != bad.name:
        return good, bad
    return replace(good, name=f"{good.name} (good)"), replace(bad, name=f"{bad.name} (bad)")
