"""`ptycho diagnose`: the questions that one asks of a run, each a command."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from ptycho.base.errors import ConfigError, PtychoError
from ptycho.commands.options import How, Overwrite, Profile, ReadingOptions
from ptycho.runs import prepare
from ptycho.settings.request import Reading

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from ptycho.artifacts.stage import Execution
    from ptycho.diagnose.case import Case
    from ptycho.diagnose.diagnosis import Diagnosis
    from ptycho.settings.config import Config

Question = Literal[
    "params",
    "grouping",
    "probe",
    "reassembly",
    "intensity",
    "geometry",
    "solvable",
    "bias",
    "scaler",
    "history",
    "compare",
    "all",
]


def diagnose(
    question: Question,
    *sides: str,
    profile: Profile = None,
    data: Path | None = None,
    out: Path | None = None,
    overwrite: Overwrite = False,
    reading: ReadingOptions = Reading(),
    how: How = How(),
) -> int:
    """Answer a question about scenarios, scans or runs, side by side; `all` answers all of them.

    Parameters
    ----------
    question
        What to ask.
    sides
        A scenario, a scan's file or a run directory; several are put side by side.
    data
        The scan's file of a run directory, where it is no more where it was.
    out
        Folder for JSON, Markdown and picture of each answer, and one page of all.
    """
    from ptycho.commands import terminal
    from ptycho.diagnose import write
    from ptycho.runs import claim

    if not sides:
        raise ConfigError(
            "give a scenario, a scan (NPZ) or a run directory to diagnose; see 'ptycho scenarios'"
        )
    if len(set(sides)) < len(sides):
        raise ConfigError(f"{', '.join(sides)}: one side is named twice; give different ones")
    if out is not None:
        claim.record(out, write.PAGE, "a diagnosis", overwrite, "--overwrite")
    cases = told_apart([case_of(side, profile, reading, how, data) for side in sides], sides)
    named = tuple(case.name for case in cases)
    result = answers(question, cases)
    for each in result:
        terminal.say(f"{each.name}: {each.question}", "bold")
        for table in each.tables:
            if table.headline and question != "all":
                terminal.table(table)
        terminal.say(each.answer)
    if out is not None:
        terminal.say(f"wrote {write.files(out, result, named)}")
    return 0


def told_apart(cases: list[Case], sides: Sequence[str]) -> list[Case]:
    """Return the sides under names that differ: the last part of each, or all of it where two ends are the same."""
    names = [case.name for case in cases]
    if len(set(names)) == len(names):
        return cases
    return [replace(case, name=side) for case, side in zip(cases, sides, strict=True)]


def answers(question: str, cases: list[Case]) -> list[Diagnosis]:
    """Return the diagnoses that were asked for; raise ConfigError where a side has nothing to answer one from."""
    rooms = questions()
    if question == "all":
        return [_asked(name, room, cases) for name, room in rooms.items()]
    if question == "compare" and len({(case.config.N, case.config.gridsize) for case in cases}) > 1:
        sizes = ", ".join(
            f"{case.name}: N = {case.config.N}, gridsize = {case.config.gridsize}" for case in cases
        )
        raise ConfigError(f"results of different N or gridsize cannot be compared ({sizes})")
    result: Diagnosis = rooms[question].ask(cases)
    for side, values in result.numbers.items():
        first = next(iter(values.values()), "n/a")
        if isinstance(first, str) and first.startswith("n/a: ") and len(values) == 1:
            raise ConfigError(f"{side}: {first.removeprefix('n/a: ')}")
    return [result]


def _asked(name: str, room: ModuleType, cases: list[Case]) -> Diagnosis:
    """Ask a question among others: one that fails is a row of its own, and costs the others nothing."""
    from ptycho.diagnose.case import Unknown
    from ptycho.diagnose.diagnosis import Diagnosis

    try:
        result: Diagnosis = room.ask(cases)
    except (Unknown, PtychoError) as error:
        return Diagnosis(name, room.QUESTION, f"Not answered: {error}.", (), {})
    except Exception as error:  # noqa: BLE001  a bug of one question
        logger.warning("diagnose %s failed: %s: %s", name, type(error).__name__, error)
        words = f"Not answered, by a bug of this program: {type(error).__name__}: {error}."
        return Diagnosis(name, room.QUESTION, words, (), {})
    return result


def questions() -> Mapping[str, ModuleType]:
    """Return the module that answers each question."""
    from ptycho.diagnose import (
        bias,
        canvas,
        compare,
        geometry,
        groups,
        history,
        intensity,
        parameters,
        probes,
        scaler,
        solvable,
    )

    return {
        "params": parameters,
        "grouping": groups,
        "probe": probes,
        "reassembly": canvas,
        "intensity": intensity,
        "geometry": geometry,
        "solvable": solvable,
        "bias": bias,
        "scaler": scaler,
        "history": history,
        "compare": compare,
    }


def case_of(side: str, profile: str | None, reading: Reading, how: How, data: Path | None = None) -> Case:
    """Return what a side is: a run directory, with its scan's file at `data` or where it was; a scan's file; or a scenario."""
    from ptycho.diagnose.case import Case
    from ptycho.runs import directory

    execution = prepare.execution(how.cache, how.fresh, how.batch_size, None)
    path = Path(side)
    if path.is_dir():
        record = directory.read_metadata(path)
        scan, without = prepare.scan_of_run(path, record, data)
        run = directory.RunArtifacts(path, execution, {} if scan is None else {"scan": scan}, without)
        return Case(path.name, run.config, _Finished(run, record), scan is not None or bool(without))
    if prepare.is_scan(path):
        scan = prepare.read_scan(path, reading)
        config = prepare.of_scan(scan, path, None, profile, ())
        return Case(path.stem, config, _Computed(config, execution, {"scan": scan}), measured=True)
    config = prepare.of_scenario(side, profile, ())
    return Case(config.name, config, _Computed(config, execution, {}))


class _Finished(Mapping[str, Any]):
    """The artifacts of a run; a stage that it had not is none."""

    def __init__(self, run: Any, record: Mapping[str, Any]) -> None:
        self.run, self.record = run, record

    def __getitem__(self, stage: str) -> Any:
        if stage in self.run.records:
            return self.run[stage]
        if not self.record.get("finished", True):
            raise PtychoError(f"that run was stopped before {stage}; go on with it by --resume")
        request = self.record.get("request") or {}
        if request.get("until") and request.get("command") == "run":
            raise PtychoError(f"that run ended with {request['until']}, before {stage}, as it was asked to")
        raise PtychoError(f"ptycho {request.get('command') or 'run'} makes no {stage}; ptycho run does")

    def __iter__(self) -> Iterator[str]:
        return iter(self.run)

    def __len__(self) -> int:
        return len(self.run)


class _Computed(Mapping[str, Any]):
    """The artifacts before training of a scenario or a scan, computed (or taken from the cache) when they are asked for."""

    def __init__(self, config: Config, execution: Execution, given: Mapping[str, Any]) -> None:
        from ptycho.stages import pipeline

        self.config, self.execution, self.given = config, execution, given
        self.known: dict[str, Any] = dict(given)
        self.cheap = [row.name for row in itertools.takewhile(lambda row: not row.costly, pipeline.STAGES)]

    def __getitem__(self, stage: str) -> Any:
        from ptycho.stages import pipeline

        if stage not in self.cheap:
            raise KeyError(stage)
        if stage not in self.known:
            result = pipeline.run_pipeline(self.config, self.execution, given=self.given, until=stage)
            self.known |= result.artifacts
        return self.known[stage]

    def __iter__(self) -> Iterator[str]:
        return iter(self.cheap)

    def __len__(self) -> int:
        return len(self.cheap)
