"""Running the stage table.

Everything is driven by :data:`ptycho.stages.table.STAGES` and knows no stage by heart: running, storing, swapping, telemetry,
the run directory, the report and the command line.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ptycho.artifacts.stage import Execution, Inputs, Stage
from ptycho.artifacts.store import Entry
from ptycho.base import errors, identity, progress, provenance
from ptycho.base.errors import DataContractError, InvariantError, PtychoError, StageError
from ptycho.base.progress import Progress
from ptycho.settings import params
from ptycho.settings.config import Config
from ptycho.settings.params import Params
from ptycho.stages.table import STAGES as STAGES  # of the pipeline for everybody else

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """What became of a row: how its artifact was had (computed, loaded or given), and what is known of it."""

    stage: str
    how: str
    key: str
    seconds: float
    digest: str
    telemetry: Mapping[str, float]
    notes: tuple[str, ...]
    passed: bool | None


STORED = ("digest", "telemetry", "notes", "passed")
"""What is known of an artifact wherever it comes from: the store keeps it beside the files."""


class Artifacts(Mapping[str, Any]):
    """The artifacts of a run by the names of their stages; a stored one is read when it is first asked for."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._makers: dict[str, Callable[[], Any]] = {}

    def put(self, name: str, make: Callable[[], Any]) -> None:
        """Say how an artifact is had."""
        self._makers[name] = make

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = self._makers[name]()
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


@dataclass(frozen=True)
class PipelineResult:
    """The artifacts of a run and a record of every row that it needed, in order."""

    config: Config
    artifacts: Artifacts
    records: Mapping[str, Record]
    fault: str = ""
    """ID of a fault that was put into the program for this run."""

    @property
    def judged(self) -> bool:
        """Whether a row that judges was among them."""
        return any(record.passed is not None for record in self.records.values())

    @property
    def passed(self) -> bool:
        """Whether all verdicts are good; true where nothing was judged."""
        return all(record.passed is not False for record in self.records.values())

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about this run before looking at its numbers."""
        return tuple(note for record in self.records.values() for note in record.notes)


def stage_named(name: str) -> Stage:
    """Return a row of the table; raise StageError for an unknown name, with the nearest known one."""
    for stage in STAGES:
        if stage.name == name:
            return stage
    names = [stage.name for stage in STAGES]
    raise StageError(f"no stage {name!r}{errors.hint(name, names)} (the stages: {', '.join(names)})")


def run_pipeline(
    config: Config,
    execution: Execution | None = None,
    *,
    given: Mapping[str, Any] | None = None,
    until: str | None = None,
    also: Iterable[str] = (),
    settled: Callable[[Stage, PipelineResult], None] | None = None,
    instead: Mapping[str, Stage] | None = None,
) -> PipelineResult:
    """Run the table.

    Parameters
    ----------
    config : Config
    execution : Execution, optional
        How; it changes no result.
    given : mapping, optional
        Artifacts that take the place of rows: a measured scan, a trained bundle, any artifact of another run.
        What only they would have needed is not run.
    until : str, optional
        The last row that is wanted; default all but the optional ones.
    also : iterable of str, optional
        Optional rows that are wanted too.
    settled : callable, optional
        Called after every row with the row and the result so far.
    instead : mapping of str to Stage, optional
        Rows that take the place of the table's, by their names: the same inputs and parameters, other code.

    Raises
    ------
    StageError
        An unknown row, or a given artifact that does not fit.
    InvariantError
        A stage computed an artifact that breaks an invariant: a bug.
    PtychoError
        Of the first stage that fails.
    """
    given = dict(given or {})
    also = tuple(also)
    for name in (*given, *also, *([until] if until else [])):
        stage_named(name)
    for name, artifact in given.items():
        _check_given(stage_named(name), artifact, config)
    rows = [(instead or {}).get(row.name, row) for row in needed_stages(given, until, also)]
    return _Run(config, execution or Execution(), given).through(rows, settled)


def about_run(config: Config) -> dict[str, Any]:
    """Return how a run is made, as JSON values; it stands beside artifacts and is no part of any."""
    return {"config": config.to_dict(), "provenance": provenance.provenance()}


def verdict_row(optional: bool = False) -> Stage:
    """Return the last row that judges: of an ordinary run, or of one that has to be asked for."""
    return next(row for row in reversed(STAGES) if row.judges and row.optional == optional)


def needed_stages(given: Mapping[str, Any], until: str | None, also: Iterable[str] = ()) -> list[Stage]:
    """Return the rows that `until`, or else every row that is not optional, and those in `also` need.

    Nothing above what is given.
    """
    always = [stage for stage in STAGES if not stage.optional]
    taken = {name for stage in always for name in stage.inputs}
    ends = [stage.name for stage in always if stage.name not in taken]
    waiting = [*([until] if until else ends), *also]
    needed: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += () if name in given else stage_named(name).inputs
    return [stage for stage in STAGES if stage.name in needed]


class _Run:
    """One run while it lasts."""

    def __init__(self, config: Config, execution: Execution, given: Mapping[str, Any]) -> None:
        self.config, self.execution, self.given = config, execution, given
        self.artifacts = Artifacts()
        self.records: dict[str, Record] = {}

    def through(
        self, rows: list[Stage], settled: Callable[[Stage, PipelineResult], None] | None
    ) -> PipelineResult:
        """Settle the rows in order."""
        result = PipelineResult(self.config, self.artifacts, self.records, self.execution.fault)
        for stage in rows:
            if stage.name not in self.given:
                stage.check(Params(self.config, stage.reads, stage.name))
        for index, stage in enumerate(rows):
            progress.tell(self.execution.listener, Progress("stages", index, len(rows), stage.name))
            self.records[stage.name] = self.settle(stage)
            for note in self.records[stage.name].notes:
                progress.tell(self.execution.listener, Progress(stage.name, 1, 1, note, note=True))
            logger.debug("stage %s: %s", stage.name, self.records[stage.name])
            if settled is not None:
                settled(stage, result)
        progress.tell(self.execution.listener, Progress("stages", len(rows), len(rows)))
        return result

    def settle(self, stage: Stage) -> Record:
        """Have a row's artifact: given, from the store, or computed."""
        began = time.perf_counter()
        part = Params(self.config, stage.reads, stage.name)
        if stage.name in self.given:
            return self.keep(stage, self.given[stage.name], "given", "", part, began)
        digests = {name: self.records[name].digest for name in stage.inputs}
        seen = params.identify(self.config, stage.reads)
        key = identity.key_of(stage.name, stage.code, stage.versions(part), seen, digests)
        inputs = Inputs(stage.name, stage.inputs, self.artifacts)

        def compute() -> Any:
            return _computed(stage, inputs, part, replace(self.execution, key=key))

        cache = self.execution.store
        if cache is None:
            return self.keep(stage, compute(), "computed", key, part, began)
        with cache.lock(key, lambda: self.say_waiting(stage)):
            entry: Entry | None = cache.find(stage, key)
            if entry is not None:
                logger.info("stage %s: loaded from the cache", stage.name)
                self.artifacts.put(stage.name, lambda: _loaded(stage, entry, inputs, compute))
                known = {name: getattr(entry, name) for name in STORED}
                return Record(stage.name, "loaded", key, time.perf_counter() - began, **known)
            record = self.keep(stage, compute(), "computed", key, part, began)
            known = {name: getattr(record, name) for name in STORED}
            about = {**self.about, "seconds": record.seconds}
            cache.put(stage, key, self.artifacts[stage.name], known, about)
        return record

    def keep(self, stage: Stage, artifact: Any, how: str, key: str, part: Params, began: float) -> Record:
        """Put an artifact that is in memory among the others and describe it."""
        self.artifacts.put(stage.name, lambda: artifact)
        return Record(
            stage=stage.name,
            how=how,
            key=key,
            digest=identity.digest(artifact),
            telemetry=stage.telemetry(artifact),
            notes=tuple(stage.notes(artifact, part)),
            passed=stage.passed(artifact),
            seconds=time.perf_counter() - began,
        )

    def say_waiting(self, stage: Stage) -> None:
        """Tell that another process is at the same stage."""
        logger.warning("another process computes stage %s; waiting for it", stage.name)
        message = "(another process computes it: waiting)"
        progress.tell(self.execution.listener, Progress(stage.name, 0, 1, message))

    @cached_property
    def about(self) -> dict[str, Any]:
        """How the run is made, for the store; taken once a run."""
        return about_run(self.config)


def _computed(stage: Stage, inputs: Inputs, part: Params, execution: Execution) -> Any:
    artifact = stage.run(inputs, part, execution)
    for says in stage.broken_invariants(artifact):
        raise InvariantError(f"stage {stage.name}: {says}")
    return artifact


def _loaded(stage: Stage, entry: Entry, inputs: Inputs, compute: Callable[[], Any]) -> Any:
    """Read a stored artifact; where it has gone since it was found, compute it."""
    try:
        return entry.load(stage, inputs)
    except (OSError, ValueError, KeyError, TypeError, PtychoError) as error:
        logger.warning(
            "cache: the artifact of stage %s cannot be read (%s); computing it anew", stage.name, error
        )
        return compute()


def _check_given(stage: Stage, artifact: Any, config: Config) -> None:
    """Refuse a given artifact of another kind, N or gridsize, or one that breaks an invariant."""
    if not isinstance(artifact, stage.kind):
        raise StageError(
            f"stage {stage.name} makes a {stage.kind.__name__}; it was given a {type(artifact).__name__}"
        )
    for name in ("N", "gridsize"):
        own, wanted = getattr(artifact, name, None), getattr(config, name)
        if own is not None and own != wanted:
            raise DataContractError(
                f"the {stage.name} that was given has {name} = {own} but the config says {name} = {wanted}; "
                f"add --set {name}={own}, or give another {stage.name}"
            )
    for says in stage.broken_invariants(artifact):
        raise StageError(f"the {stage.name} that was given is no good: {says}")
