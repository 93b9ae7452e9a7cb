"""Experiments: GOOD with some things of BAD, as far as its verdict, each done once.

All results are judged by GOOD's judges, and what differs in the judges is asked apart: under a blind judge nothing else shows.
Rows come from the store wherever their inputs, parameters and code are the same, so that an experiment costs what depends on its
change.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ptycho.artifacts.stage import Execution, Stage
from ptycho.base import atomic, documents, identity, progress
from ptycho.base.errors import ConfigError, DataContractError, RunDirectoryError
from ptycho.base.progress import Progress
from ptycho.isolate import code, differences
from ptycho.isolate.differences import Comparison, Difference, Side
from ptycho.settings import config as configs
from ptycho.settings.config import Config
from ptycho.stages import pipeline
from ptycho.stages.pipeline import PipelineResult

logger = logging.getLogger(__name__)

Taken = frozenset[Difference]
NOTHING: Taken = frozenset()


class BudgetSpent(Exception):
    """There is no time for another experiment."""


@dataclass(frozen=True)
class Outcome:
    """What came of an experiment.

    Attributes
    ----------
    values : mapping of str to float
        What the judging rows measured, ``row.number``.
    failed : tuple of str
        Gates that fail.
    error : str
        What ended it, with the row in which it did; nothing where it came to its end.
    impossible : bool
        Whether the mixture is no valid config.
    digests, telemetry : mapping
        Of every row: the content of its artifact, and numbers that describe it.
    computed : tuple of str
        Rows that were computed, and not taken from the store.
    seconds : float
    """

    values: Mapping[str, float] = field(default_factory=dict)
    failed: tuple[str, ...] = ()
    error: str = ""
    impossible: bool = False
    digests: Mapping[str, str] = field(default_factory=dict)
    telemetry: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    computed: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether it came to its end and no gate failed."""
        return not (self.failed or self.error)

    @property
    def sentence(self) -> str:
        """What came of it, for people."""
        return self.error or (f"fails {', '.join(self.failed)}" if self.failed else "passes")


class Laboratory:
    """Does experiments with two sides, remembers what came of them, and watches the clock.

    Parameters
    ----------
    good, bad : Side
    comparison : Comparison
    execution : Execution
        Its cache is where the rows of all experiments meet.
    budget : float
        Seconds.
    record : path, optional
        File in which outcomes are kept, and from which they are taken again.
    workers : int
        Processes that do experiments which do not wait for each other.

    Attributes
    ----------
    executions : list of str
        Rows that were computed, not taken from the store, one after the other.
    keys : set of str
        ``row:key`` of all rows that were needed: as many as would have been computed with an empty store.
    """

    def __init__(
        self,
        good: Side,
        bad: Side,
        comparison: Comparison,
        execution: Execution,
        budget: float = math.inf,
        record: Path | None = None,
        workers: int = 1,
    ) -> None:
        self.good, self.bad, self.comparison = good, bad, comparison
        self.execution, self.budget, self.record, self.workers = execution, budget, record, workers
        self.began = time.perf_counter()
        self.known: dict[str, Outcome] = {}
        self.experiments = 0
        self.executions: list[str] = []
        self.keys: set[str] = set()
        self.asked = _identity(good, bad)
        if record is not None and record.is_file():
            self.known = _read(record, self.asked)

    @property
    def seconds(self) -> float:
        """Time since the first experiment could begin."""
        return time.perf_counter() - self.began

    def outcome(self, taken: Iterable[Difference], seeds: Mapping[str, int] | None = None) -> Outcome:
        """Return what comes of GOOD with some things of BAD, and with other seeds.

        Raises BudgetSpent where there is no time to begin with it.
        """
        taken, seeds = frozenset(taken), dict(seeds or {})
        name = self._name(taken, seeds)
        if name not in self.known:
            if self.seconds > self.budget:
                raise BudgetSpent
            self.known[name] = self._do(taken, seeds)
            self._keep()
        return self.known[name]

    def ahead(self, questions: Iterable[tuple[Iterable[Difference], Mapping[str, int]]]) -> None:
        """Do experiments that will be asked for side by side, where there are several workers: mixtures, with their seeds.

        Those with other code, which lives in this process, wait until they are asked for.
        """
        waiting = {}
        for taken, seeds in questions:
            some = frozenset(taken)
            name = self._name(some, seeds)
            if name not in self.known and not any(each.kind == "code" for each in some):
                waiting[name] = some, dict(seeds)
        if self.workers < 2 or len(waiting) < 2 or self.seconds > self.budget:
            return
        self.tell(f"{len(waiting)} experiments, {self.workers} at a time")
        alone = replace(self.bad, code=())
        execution = replace(self.execution, listener=None)
        context = multiprocessing.get_context("spawn")
        try:
            with ProcessPoolExecutor(min(self.workers, len(waiting)), context) as pool:
                futures = {
                    name: pool.submit(_elsewhere, self.good, alone, self.comparison, execution, *question)
                    for name, question in waiting.items()
                }
                for name, future in futures.items():
                    self.known[name], executions, keys = future.result()
                    self.experiments += 1
                    self.executions += executions
                    self.keys |= keys
        except BrokenExecutor as error:
            logger.warning("a worker ended (%s); its experiments are done one after the other", error)
        self._keep()

    def run(
        self,
        taken: Iterable[Difference],
        seeds: Mapping[str, int] | None = None,
        given: Mapping[str, Any] | None = None,
        until: str | None = None,
    ) -> PipelineResult:
        """Run GOOD with some things of BAD; raise what the rows raise, ConfigError for an impossible mixture."""
        taken = frozenset(taken)
        result = pipeline.run_pipeline(
            self.config(taken, seeds),
            replace(self.execution, folder=None, resume=False, listener=None, fault=""),
            given={**self.given(taken), **(given or {})},
            until=until or self.comparison.last,
            instead=self.rows(taken),
        )
        self.executions += [name for name, record in result.records.items() if record.how == "computed"]
        self.keys |= {f"{name}:{record.key}" for name, record in result.records.items() if record.key}
        return result

    def attempt(
        self,
        taken: Iterable[Difference],
        seeds: Mapping[str, int] | None = None,
        given: Mapping[str, Any] | None = None,
        until: str | None = None,
    ) -> PipelineResult | str:
        """Return what :meth:`run` does, or the words of whatever ends it: an experiment that fails is one that tells something."""
        try:
            return self.run(taken, seeds, given, until)
        except Exception as error:
            logger.debug("an experiment ended: %s", error, exc_info=True)
            return f"{type(error).__name__}: {error}"

    def config(self, taken: Taken, seeds: Mapping[str, int] | None = None) -> Config:
        """Return GOOD's config with BAD's parameters among `taken`, and other seeds."""
        paths = [path for each in taken if each.kind == "parameter" for path in each.parts]
        mixed = differences.mixed_config(self.good.config, self.bad.config, paths)
        return configs.with_values(mixed, seeds) if seeds else mixed

    def given(self, taken: Taken) -> dict[str, Any]:
        """Return what is given to GOOD, with BAD's data among `taken`."""
        result = dict(self.good.given)
        for each in taken:
            if each.kind != "data":
                continue
            row = each.rows[0]
            theirs = self.bad.given[row]
            result[row] = differences.mixed_scan(result[row], theirs, each.parts) if each.parts else theirs
        return result

    def rows(self, taken: Taken) -> dict[str, Stage]:
        """Return the rows that run BAD's code among `taken`."""
        by_tag = {each.tag: each for each in self.bad.code}
        result = {}
        for row in pipeline.STAGES:
            changed = [
                by_tag[each.parts[0]] for each in taken if each.kind == "code" and row.name in each.rows
            ]
            if changed:
                result[row.name] = code.with_code(row, tuple(sorted(changed, key=lambda each: each.tag)))
        return result

    @property
    def expected(self) -> int:
        """About how many experiments there will be: sides and seeds, a search by halves, and two for a cause."""
        return max(self.experiments + 1, 7 + 3 * math.ceil(math.log2(len(self.comparison.differences) + 1)))

    def tell(self, message: str) -> None:
        """Tell the listener what is being done, and about how much of it there is."""
        step = Progress("isolate", self.experiments, self.expected, message, milestone=True)
        progress.tell(self.execution.listener, step)

    def _do(self, taken: Taken, seeds: Mapping[str, int]) -> Outcome:
        began = time.perf_counter()
        self.experiments += 1
        names = ", ".join(sorted(each.name for each in taken)) or "GOOD"
        self.tell(f"experiment {self.experiments}: {names}"[:160])
        try:
            self.config(taken, seeds)
        except ConfigError as error:
            return Outcome(error=str(error), impossible=True)
        result = self.attempt(taken, seeds)
        outcome = Outcome(error=result) if isinstance(result, str) else outcome_of(result, self.comparison)
        return replace(outcome, seconds=time.perf_counter() - began)

    def _name(self, taken: Taken, seeds: Mapping[str, int]) -> str:
        return identity.key_of(
            sorted((each.kind, each.name, each.rows) for each in taken), sorted(seeds.items())
        )

    def _keep(self) -> None:
        if self.record is not None:
            outcomes = {name: asdict(each) for name, each in self.known.items()}
            atomic.write_json(self.record, {"asked": self.asked, "outcomes": outcomes})


def _elsewhere(
    good: Side,
    bad: Side,
    comparison: Comparison,
    execution: Execution,
    taken: Taken,
    seeds: Mapping[str, int],
) -> tuple[Outcome, list[str], set[str]]:
    """Do one experiment in another process; return its outcome, and the rows that it computed and needed."""
    laboratory = Laboratory(good, bad, comparison, execution)
    outcome = laboratory.outcome(taken, seeds)
    return outcome, laboratory.executions, laboratory.keys


def outcome_of(result: PipelineResult, comparison: Comparison) -> Outcome:
    """Return what the judging rows of a run measured."""
    last = comparison.last
    verdict = result.artifacts[last]
    values = {
        f"{name}.{key}": float(value)
        for name, record in result.records.items()
        if name in set(comparison.judges) - {last}
        for key, value in record.telemetry.items()
    }
    values |= {f"{last}.{each.name}": each.value for each in verdict if each.value is not None}
    return Outcome(
        values=values,
        failed=tuple(each.name for each in verdict if each.status == "fail"),
        digests={name: record.digest for name, record in result.records.items()},
        telemetry={name: dict(record.telemetry) for name, record in result.records.items()},
        computed=tuple(name for name, record in result.records.items() if record.how == "computed"),
    )


def _identity(good: Side, bad: Side) -> str:
    """Return the identity of what is asked: both sides, and the code of all rows."""
    sides = [
        [
            each.config.to_dict(),
            {name: identity.digest(artifact) for name, artifact in each.given.items()},
            sorted(code.tag for code in each.code),
        ]
        for each in (good, bad)
    ]
    return identity.key_of(sides, [row.code for row in pipeline.STAGES])


def _read(record: Path, asked: str) -> dict[str, Outcome]:
    """Return the outcomes of a file; none where it is damaged: they are had again.

    Raises RunDirectoryError where it is of other sides.
    """
    try:
        whole = documents.read_table(record)
        outcomes = {
            name: Outcome(**{**each, "failed": tuple(each["failed"]), "computed": tuple(each["computed"])})
            for name, each in atomic.with_nan(whole["outcomes"]).items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError, DataContractError) as error:
        logger.warning("%s cannot be read (%s); its experiments are done again", record, error)
        return {}
    if whole["asked"] != asked:
        raise RunDirectoryError(
            f"{record}: is of other sides, or of another version of the program; name another folder"
        )
    return outcomes
