"""Runs the stage table into a folder, and reads the artifacts of a finished run."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ptycho.artifacts.stage import Execution, Inputs, Stage
from ptycho.artifacts.store import Store
from ptycho.base import atomic, checkpoint, documents, identity, layout
from ptycho.base.errors import ConfigError, PtychoError, RunDirectoryError, StageError
from ptycho.report import write as report
from ptycho.runs import claim, illumination
from ptycho.settings import config as configs
from ptycho.settings.config import Config
from ptycho.settings.params import Params
from ptycho.settings.request import Request
from ptycho.solve.solution import Solution
from ptycho.stages import pipeline, solutions
from ptycho.stages.pipeline import PipelineResult

logger = logging.getLogger(__name__)

METADATA = layout.METADATA


def execute(
    config: Config,
    folder: Path,
    execution: Execution,
    *,
    given: Mapping[str, Any] | None = None,
    until: str | None = None,
    also: Iterable[str] = (),
    request: Request | None = None,
    solution: Solution | None = None,
) -> PipelineResult:
    """Run the pipeline and write its run directory; see :func:`ptycho.stages.pipeline.run_pipeline`.

    Numbers are written before pictures, and a failing picture fails nothing. From the first costly row on, what there
    is is written as it comes; `finished` in the metadata says whether the run came to its end. `request` says what was
    asked for, for the record; `solution` is what the given scan has its probe and positions from, and lies in the folder, too.

    Raises
    ------
    RunDirectoryError
        The folder cannot be written, is in use, or holds another run, or this one and `resume` is off.
    """
    request, given = request or Request(), dict(given or {})
    writer = Writer(folder, config, execution.store, request, given, solution)

    def check() -> None:
        _check_same_question(folder, config, execution, request)
        check_same_given(folder, given)

    with claim.folder(folder, METADATA, check, execution.resume):
        writer.begin()
        try:
            result = pipeline.run_pipeline(
                config,
                replace(execution, folder=folder),
                given=given,
                until=until,
                also=also,
                settled=writer.settled,
            )
            writer.finish(result)
        except KeyboardInterrupt as stop:
            stop.add_note(_what_is_kept(folder))
            raise
    return result


def check_free(folder: Path, config: Config, execution: Execution, request: Request) -> None:
    """Raise RunDirectoryError where a run could not be written to a folder: before anything is computed for it.

    What is given is not known yet, and not asked.
    """
    question = partial(_check_same_question, folder, config, execution, request)
    claim.check(folder, METADATA, question, execution.resume)


def _check_same_question(folder: Path, config: Config, execution: Execution, request: Request) -> None:
    """Raise RunDirectoryError where the run in a folder is of another request, config or fault."""
    check_same_request(folder, request)
    _check_same_config(folder, config)
    _check_same_fault(folder, execution.fault)


def _check_same_config(folder: Path, config: Config) -> None:
    """Raise RunDirectoryError where the run in a folder is of another config."""
    changed = configs.differences(read_config(folder), config)
    if changed:
        path, (old, new) = next(iter(changed.items()))
        raise RunDirectoryError(
            f"--out {folder}: holds a run of another config ({path} was {old!r} and is now {new!r}); use the "
            "same one, or another folder: what has not changed comes from the cache"
        )


def check_same_request(folder: Path, request: Request) -> None:
    """Raise RunDirectoryError where the run in a folder is of another file, or of one that was read in another way."""
    metadata = read_metadata(folder)
    change = request.another(metadata["request"]) if "request" in metadata else ""
    if change:
        raise RunDirectoryError(
            f"--out {folder}: holds a run of another request ({change}); ask for the same, or use another folder"
        )


def check_same_given(folder: Path, given: Mapping[str, Any]) -> None:
    """Raise RunDirectoryError where other artifacts were given to the run in a folder."""
    records = read_metadata(folder)["stages"]
    for name, record in records.items():
        was_given = record["how"] == "given"
        if (was_given or name in given) and (
            name not in given or identity.digest(given[name]) != record["digest"]
        ):
            raise RunDirectoryError(
                f"--out {folder}: holds a run of another {name}; give the same {name}, or use another folder"
            )


def _check_same_fault(folder: Path, fault: str) -> None:
    """Raise RunDirectoryError where the run in a folder had another fault put in, or none: its parts are not to be mixed."""
    had = read_metadata(folder).get("fault", "")
    if had != fault:
        raise RunDirectoryError(
            f"--out {folder}: holds a run {f'with the fault {had}' if had else 'without a fault'}; use another folder"
        )


def _what_is_kept(folder: Path) -> str:
    """Say what an interrupted run leaves, and how to go on with it."""
    if (folder / METADATA).exists() or (folder / checkpoint.FILE).exists():
        return f"finished stages and epochs are kept in {folder}; go on with the same command and --resume"
    return "nothing was written; finished stages come from the cache when the command is given again"


class Writer:
    """Writes a run directory: from the first costly artifact on each at once, so that a later failure loses none."""

    def __init__(
        self,
        folder: Path,
        config: Config,
        cache: Store | None,
        request: Request,
        given: Mapping[str, Any],
        solution: Solution | None,
    ) -> None:
        self.folder, self.cache, self.config, self.request = folder, cache, config, request
        self.given, self.solution = given, solution
        self.files: dict[str, list[str]] = {}
        self.begun = False
        self.earlier: dict[str, Any] = {}

    @cached_property
    def about(self) -> dict[str, Any]:
        """How the run is made; taken once."""
        return {**pipeline.about_run(self.config), **illumination.began_with(self.given)}

    def begin(self) -> None:
        """Read what an earlier run left in the folder: its record only grows."""
        if (self.folder / METADATA).exists():
            self.earlier = read_metadata(self.folder)

    def settled(self, stage: Stage, result: PipelineResult) -> None:
        """Write what there is when a row has been settled."""
        self.begun |= stage.costly and result.records[stage.name].how != "given"
        if self.begun:
            self.write(result)

    def finish(self, result: PipelineResult) -> None:
        """Write numbers, then pictures and the page."""
        more = set(grown(self.earlier, {})) > set(result.records)
        if more and self.earlier.get("finished"):
            logger.info("%s: has more stages than were asked for; its record stays", self.folder)
            atomic.write_json(self.folder / METADATA, self.earlier)
            return
        metadata = self.write(result)
        written = report.write_report(self.folder, result, self.cache, self.request)
        metadata["figures"] = {figure.name: figure.file for figure in written if figure.file}
        metadata["figure_errors"] = {figure.name: figure.error for figure in written if figure.error}
        atomic.write_json(self.folder / METADATA, {**metadata, "finished": True})

    def write(self, result: PipelineResult) -> dict[str, Any]:
        """Write what the rows leave that are not yet written, and the metadata of a run that is not finished."""
        self.open_record(result)
        if self.solution is not None:
            solutions.write(self.folder / layout.SOLUTION, self.solution)
            self.solution = None
        for name in result.records:
            if name not in self.files:
                self.files[name] = export_artifact(self.folder, name, result, self.about)
        metadata = describe(result, self.files)
        metadata["stages"] = grown(self.earlier, metadata["stages"])
        return self._record(metadata)

    def open_record(self, result: PipelineResult) -> None:
        """Write a record of no stage where there is none: files of a run without one could not be gone on with."""
        if not (self.folder / METADATA).exists():
            self._record({**describe(result, {}), "stages": {}})

    def _record(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Write the metadata of a run that is not finished, and return them."""
        whole = {**metadata, "finished": False, "request": self.request.to_dict(), **self.about}
        atomic.write_json(self.folder / METADATA, whole)
        return whole


def grown(earlier: Mapping[str, Any], stages: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stages of an earlier record of a run with those of now: a record loses none."""
    return {**earlier.get("stages", {}), **stages}


def export_artifact(folder: Path, name: str, result: PipelineResult, about: Mapping[str, Any]) -> list[str]:
    """Write what a row leaves; return the names of its files.

    Raises RunDirectoryError where the folder has gone, or takes no more.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=claim.EXPORT, dir=folder) as scratch:
            pipeline.stage_named(name).export(result.artifacts[name], Path(scratch), about)
            product = sorted(Path(scratch).iterdir())
            for path in product:
                path.replace(folder / path.name)
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write the {name} into {folder}: {error.strerror or error}; choose another folder with --out"
        ) from None
    return [path.name for path in product]


def describe(result: PipelineResult, files: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the content of `run_metadata.json` but for how the run was made."""
    return {
        "name": result.config.name,
        "passed": result.passed if result.judged else None,
        "fault": result.fault,
        "notes": list(result.notes),
        "stages": {
            name: {**asdict(record), "files": files.get(name, [])} for name, record in result.records.items()
        },
    }


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return a run's metadata; raise RunDirectoryError where the folder holds no run."""
    path = folder / METADATA
    try:
        metadata = documents.read_table(path, RunDirectoryError)
    except RunDirectoryError as error:
        raise RunDirectoryError(f"{folder}: not a run directory: {error}") from None
    if not _is_record(metadata):
        raise RunDirectoryError(
            f"{folder}: {METADATA} was written by another version of the program; run it again"
        )
    return metadata


def _is_record(metadata: Mapping[str, Any]) -> bool:
    """Whether metadata have the form that a run gives them: tables of config, request and stages, each stage with its digest."""
    parts = [metadata.get("stages"), metadata.get("config"), metadata.get("request", {})]
    if not all(isinstance(each, Mapping) for each in parts):
        return False
    return all(
        isinstance(each, Mapping)
        and all(isinstance(each.get(name), str) for name in ("digest", "how"))
        and isinstance(each.get("key", ""), (str, type(None)))
        and isinstance(each.get("telemetry"), Mapping)
        for each in metadata["stages"].values()
    )


def read_config(folder: Path) -> Config:
    """Return the config of a run."""
    return _config_of(read_metadata(folder), folder)


def _config_of(metadata: Mapping[str, Any], folder: Path) -> Config:
    try:
        return Config.from_dict(metadata["config"], str(folder / METADATA))
    except ConfigError as error:
        raise RunDirectoryError(f"{error}; the run was made by another version of the program") from None


class RunArtifacts(Mapping[str, Any]):
    """The artifacts of a finished run: from its folder, from the store, or computed anew from its config.

    What comes out has the digest that the run recorded, or an error is raised. `at_hand` are artifacts that may
    be the same: a measured scan that was given to that run is kept nowhere, but may be given to another one; `without` says
    why there is none.
    """

    def __init__(
        self,
        folder: Path,
        execution: Execution,
        at_hand: Mapping[str, Any] | None = None,
        without: str = "",
    ) -> None:
        self.folder, self.execution, self.at_hand = Path(folder), execution, dict(at_hand or {})
        self.without = without
        metadata = read_metadata(self.folder)
        self.records, self.config = metadata["stages"], _config_of(metadata, self.folder)
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        stage = pipeline.stage_named(name)
        if name not in self.records:
            raise StageError(
                f"{self.folder}: that run had no stage {name} (it had: {', '.join(self.records)})"
            )
        if name not in self._known:
            self._known[name] = self._fetch(stage)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def _fetch(self, stage: Stage) -> Any:
        inputs = Inputs(stage.name, stage.inputs, self)
        for attempt in (self._at_hand, self._from_folder, self._from_store, self._computed):
            try:
                artifact = attempt(stage, inputs)
            except (OSError, ValueError, KeyError, TypeError, PtychoError) as error:
                logger.debug("%s of %s: %s: %s", stage.name, self.folder, attempt.__name__, error)
                continue
            if artifact is not None and identity.digest(artifact) == self.records[stage.name]["digest"]:
                return artifact
        if self.without:
            raise StageError(self.without)
        raise StageError(
            f"{self.folder}: the {stage.name} of that run is not to be had any more: it is not in the folder nor in the "
            "cache, and computing it again gives another one; run it again (where that run had a measured scan, its "
            "stages can only take the place of those of a run on the same --data)"
        )

    def _at_hand(self, stage: Stage, inputs: Inputs) -> Any:
        return self.at_hand.get(stage.name)

    def _from_folder(self, stage: Stage, inputs: Inputs) -> Any:
        return stage.load(self.folder, inputs)

    def _from_store(self, stage: Stage, inputs: Inputs) -> Any:
        cache, key = self.execution.cache, self.records[stage.name]["key"]
        entry = cache.find(stage, key) if cache is not None and key else None
        return entry and entry.load(stage, inputs)

    def _computed(self, stage: Stage, inputs: Inputs) -> Any:
        if self.records[stage.name]["how"] == "given":
            return None
        return stage.run(inputs, Params(self.config, stage.reads, stage.name), self.execution)


def swapped(
    texts: tuple[str, ...],
    config: Config,
    execution: Execution,
    at_hand: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Read ``stage=RUN_DIR`` texts into artifacts for `given`; see :class:`RunArtifacts` for `at_hand`.

    Raises
    ------
    StageError
        An unknown stage, or a run of another N or gridsize.
    RunDirectoryError
        No run in the folder.
    """
    result = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals or not folder:
            raise StageError(f"--swap {text!r}: expected STAGE=RUN_DIR, for example train=runs/other")
        pipeline.stage_named(name)
        run = RunArtifacts(Path(folder), replace(execution, folder=None, resume=False), at_hand)
        for part in ("N", "gridsize"):
            own, wanted = getattr(run.config, part), getattr(config, part)
            if own != wanted:
                raise StageError(
                    f"--swap {text}: that run has {part} = {own} but this one has {part} = {wanted}; an artifact can "
                    "only take the place of one of its own shape"
                )
        result[name] = run[name]
    return result
