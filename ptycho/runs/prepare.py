"""Makes a config, the given artifacts and the execution out of a request."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptycho.base import units
from ptycho.base.errors import CanvasError, ConfigError, DataContractError, GroupingError, ScaleError
from ptycho.settings import request as requests
from ptycho.settings.request import DATA, FILE, SOLVE, SOLVING, Reading, Request

if TYPE_CHECKING:
    from ptycho.scan.raw import RawData
    from ptycho.settings.config import Config

logger = logging.getLogger(__name__)

WHOLE = {"whole": True}
"""Of inference, for a measured scan: its user wants all of it."""
AUTO = "auto"
"""In place of a correction: what the patterns ask for."""


def store_named(cache: str | None, fresh: bool = False) -> Any:
    """Return the store that `cache` names, by default the user's; None for `none`.

    Raises ConfigError where `PTYCHO_CACHE_GIB` is no number.
    """
    from ptycho.artifacts import store
    from ptycho.base import machine

    if cache == "none":
        return None
    named = cache or os.environ.get("PTYCHO_CACHE_DIR") or machine.user_cache()
    if named is None:
        logger.warning("you have no home folder: nothing is kept from run to run; name a folder by --cache")
        return None
    size = os.environ.get("PTYCHO_CACHE_GIB", "")
    try:
        most = int(float(size) * 2**30) if size else store.MAX_BYTES
    except (ValueError, OverflowError):
        raise ConfigError(f"PTYCHO_CACHE_GIB = {size!r}: expected a number of GiB") from None
    return store.Store(Path(named), most, fresh)


def execution(cache: str | None, fresh: bool, batch_size: int, listener: Any, resume: bool = False) -> Any:
    """Return how a run is executed.

    Raises ConfigError for a batch of less than one group.
    """
    from ptycho.artifacts.stage import Execution

    if batch_size < 1:
        raise ConfigError(f"--batch-size = {batch_size}: must be at least 1")
    return Execution(listener=listener, batch_size=batch_size, resume=resume, cache=store_named(cache, fresh))


def is_scan(path: Path) -> bool:
    """Whether a path that may also name a scenario, or be its TOML file, names the file of a scan."""
    suffix = path.suffix.lower()
    return suffix == ".npz" or (suffix not in ("", ".toml") and path.is_file())


def read_scan(data: Path, reading: Reading, most: int | None = None) -> RawData:
    """Read a scan as asked: correct its geometry, take probe and positions from a solution of it.

    Of a scan of more than `most` patterns those about its middle are taken. Raises ConfigError for a defocus where no first probe
    is made.
    """
    from ptycho.runs import illumination
    from ptycho.scan import geometry
    from ptycho.scan.formats import registry
    from ptycho.stages import solutions

    scan = registry.read(data, reading, most)
    if reading.probe_from == DATA or registry.lacks_probe(scan):
        scan = with_first_probe(scan, reading.defocus)
    elif reading.defocus is not None:
        raise ConfigError("--defocus is for a first probe; add --probe-from data, or leave it out")
    for text in reading.geometry:
        scan = asked_for(scan) if text == AUTO else geometry.correct(scan, text)
    if reading.solution is None:
        return scan
    return illumination.with_solution(
        scan, solutions.read(Path(reading.solution)), f"--probe-from {reading.solution}"
    )


def with_first_probe(scan: RawData, defocus: str | None = None) -> RawData:
    """Return the scan under a first probe, made from the mean pattern, with a line on how it was found.

    Raises ConfigError for a `defocus` that is no length, DataContractError where no probe can be found.
    """
    from ptycho.scan import inspection
    from ptycho.solve import first_probe

    metres = None if defocus is None else units.read(defocus, "m", "--defocus", "400um")
    first = first_probe.find(inspection.inspect(scan).scan, metres)
    return inspection.with_line(scan.derived(probe=first.probe), first.sentence)


def asked_for(scan: RawData) -> RawData:
    """Return the scan corrected as its patterns ask for, with a line on what was done.

    Raises DataContractError where the corrected scan cannot be worked with.
    """
    from ptycho.scan import geometry, inspection
    from ptycho.solve import readings

    comparison = readings.compare(inspection.inspect(scan).scan)
    options = readings.recommended(comparison)
    for option in options:
        scan = geometry.correct(scan, option)
    done = f"corrected by {', '.join(options)}" if options else "left as it is"
    line = f"--geometry {AUTO}: {done}, since {readings.judge(comparison, readings.MARGIN)[2]}"
    return inspection.with_line(scan, line)


def scan_of_run(
    folder: Path, record: Mapping[str, Any], data: Path | None = None
) -> tuple[RawData | None, str]:
    """Return the measured scan of a finished run, by the run's record, or why it is not to be had.

    Parameters
    ----------
    folder : path
        The run directory: where the scan was solved first, its solution lies there.
    record : mapping
        The metadata of the run.
    data : path, optional
        Where the scan's file is now; else it is looked for where it was.

    Raises DataContractError where the file is there and cannot be read.
    """
    from ptycho.base import identity, layout
    from ptycho.runs import illumination
    from ptycho.stages import solutions

    request = record.get("request") or {}
    source = request.get("data")
    if not source:
        return None, ""
    path = Path(source["path"]) if data is None else data
    if not path.is_file():
        return None, f"the scan of that run, {path}, is not there any more; add --data FILE"
    if identity.file_sha256(path) != source["sha256"]:
        return None, f"{path} is not the file that the run read; add --data with that one"
    scan = read_scan(path, requests.reading_of(request.get("reading") or {}))
    solved = folder / layout.SOLUTION
    if solved.is_file():
        scan = illumination.with_solution(scan, solutions.read(solved), str(solved))
    return scan, ""


@contextmanager
def about(data: Path | None) -> Iterator[None]:
    """Name the scan's file in what goes wrong with a scan that was given."""
    try:
        yield
    except (DataContractError, GroupingError, CanvasError, ScaleError) as error:
        if data is None or str(data) in str(error):
            raise
        raise type(error)(f"{data}: {error}") from None


def check_truth(config: Config, scan: RawData | None = None) -> None:
    """Raise ConfigError where the truth, of a scan or simulated, cannot give what a config asks of it."""
    if scan is None:
        smaller = config.simulation.object_size_px
    elif scan.object_guess is not None:
        smaller = min(scan.object_guess.shape)
    else:
        smaller = 0
    if smaller and 2 * config.evaluation.border_px >= smaller:
        raise ConfigError(
            f"evaluation.border_px = {config.evaluation.border_px} leaves nothing of a truth of {smaller} px to compare with"
        )
    if scan is None:
        return
    if config.inference.prediction_scale == "least_squares" and scan.object_guess is None:
        raise ConfigError(
            "inference.prediction_scale = least_squares fits to the truth and this scan has no objectGuess; use none or "
            "recorded"
        )


def say_what_is_idle(
    config: Config,
    overrides: Iterable[str],
    given: Mapping[str, Any],
    until: str | None = None,
    also: Iterable[str] = (),
) -> None:
    """Warn of every override that cannot act."""
    from ptycho.runs import idle

    for line in idle.overrides_without_effect(config, overrides, given, until, also):
        logger.warning(line)


def of_scenario(scenario: str, profile: str | None, overrides: Iterable[str]) -> Config:
    """Return the config of a scenario; raise ConfigError for a historical one, whose bugs only `ptycho run` puts back."""
    from ptycho.settings import past, scenarios

    if past.is_historical(scenario):
        raise ConfigError(
            f"{scenario}: only ptycho run puts its bugs back; run it, then give the run directory"
        )
    return scenarios.load_scenario(scenario, profile, overrides)


def of_scan(
    scan: RawData, data: Path, scenario: str | None, profile: str | None, overrides: Iterable[str]
) -> Config:
    """Return the config for a measured scan: a scenario's, or the defaults'."""
    from ptycho.settings import layers, sections

    overrides = list(overrides)
    named = {override.partition("=")[0] for override in overrides}
    free = ",".join(name for name in sections.CHOSEN if f"solver.{name}" not in named)
    if scenario is not None:
        measured = (f"N={scan.N}", "inference.whole=true", f"solver.choose={free or 'none'}")
        return of_scenario(scenario, profile, [*measured, *overrides])
    name = "".join(letter if letter.isprintable() else "_" for letter in data.stem).strip(".") or "scan"
    own = {"name": name, "N": scan.N, "inference": WHOLE, "solver": {"choose": free}}
    return layers.resolve(own, profile, overrides, str(data))


def of_bundle(bundle: Any, about: Any, overrides: Iterable[str], everything: bool, source: str) -> Config:
    """Return the config that a bundle was trained with, for the reconstruction of a scan."""
    # How many groups the training run reconstructed, and what it kept, was chosen for its own scan.
    own = {
        "N": bundle.N,
        "gridsize": bundle.gridsize,
        "inference": {"n_groups": None},
        "inspection": {"keep_frames": None, "keep_pixels": None},
    }
    extra = ["split.method=none"] if everything else []
    from ptycho.settings import layers

    return layers.resolve(layers.merge(about.get("config", {}), own), None, [*overrides, *extra], source)


def resolve(request: Request) -> tuple[Config, dict[str, Any]]:
    """Return the config that a request comes to, and what is given: the measured scan, where there is one.

    Raises
    ------
    ConfigError
        What was asked for contradicts itself, or names what does not exist.
    DataContractError
        The scan cannot be worked with.
    """
    from ptycho.settings import past

    runs = request.command == "run"
    if request.command not in SOLVING:
        _refuse_solving(request.reading)
    seeds = [] if request.seed is None else [f"seed={request.seed}"]
    overrides = [*request.overrides, *request.reading.overrides, *seeds]
    historical = past.is_historical(request.scenario)
    if request.data is not None:
        if historical:
            raise ConfigError(
                f"{request.scenario}: a state of the past has a scan of its own; leave --data out"
            )
        data = Path(request.data.path)
        scan = read_scan(data, request.reading)
        config = of_scan(scan, data, request.scenario, request.profile, overrides)
        check_truth(config, scan)
        return config, {"scan": scan}
    if request.scenario is None:
        raise ConfigError("give a scenario (see 'ptycho scenarios') or a scan with --data")
    requests.check_alone(request)
    load = past.load if runs and historical else of_scenario
    config = load(request.scenario, request.profile, overrides)
    check_truth(config)
    return config, {}


def with_bundle(request: Request) -> tuple[Config, dict[str, Any]]:
    """Return the config that the bundle of a request was trained with, and bundle and scan as what is given.

    Raises
    ------
    BundleError, ConfigError, DataContractError
        One of the files cannot be used, or they do not belong together.
    """
    from ptycho.network import bundle as bundles
    from ptycho.runs import illumination

    _refuse_solving(request.reading)
    if request.bundle is None or request.data is None:
        raise ConfigError("give a bundle and a scan")
    path = Path(request.bundle.path)
    loaded = bundles.load_bundle(path)
    overrides = [*request.overrides, *request.reading.overrides]
    about = bundles.read_about(path)
    config = of_bundle(loaded, about, overrides, request.whole_scan, str(path))
    scan = read_scan(Path(request.data.path), request.reading)
    check_truth(config, scan)
    if request.reading.probe_from == FILE:
        about = {}
    return config, {"train": illumination.of_bundle(scan, loaded, config, about), "scan": scan}


def files_of_scan(data: Path, reading: Reading) -> list[Path]:
    """Return the files that are read for a scan: its own, those that its reading names, and those that belong beside it."""
    from ptycho.scan.formats import registry

    named = (reading.mask, reading.positions_file, reading.solution)
    return [data, *(Path(name) for name in named if name), *registry.companions(data)]


def files_read(request: Request, config: Config | None = None) -> list[Path]:
    """Return the files that a request reads, and those that its config names: a result may lie on none of them."""
    sources = (request.bundle, request.reconstruction, request.probe)
    named: list[str | Path | None] = [None if source is None else source.path for source in sources]
    named += [request.scenario]
    named += [] if request.data is None else files_of_scan(Path(request.data.path), request.reading)
    named += [] if config is None else [config.probe.file, config.solver.start]
    return [Path(name) for name in named if name is not None]


def check_ends(request: Request, given: Iterable[str] = ()) -> None:
    """Raise ConfigError where a stage was asked for that the run, which ends before, would never come to.

    Raises StageError for an unknown stage.

    `given` are the stages whose artifacts stand for them beside those of --swap.
    """
    from ptycho.stages import pipeline

    swaps = {text: text.partition("=")[0] for text in request.swaps if "=" in text}
    for name in (*swaps.values(), *([] if request.until is None else [request.until])):
        pipeline.stage_named(name)
    for name in request.also:
        before = {stage.name for stage in pipeline.needed_stages({}, name)}
        if request.until in before:
            raise ConfigError(
                f"--until {request.until}: {name} comes after it, and was asked for, too; leave one of them out"
            )
    known = dict.fromkeys([*swaps.values(), *given])
    needed = {stage.name for stage in pipeline.needed_stages(known, request.until, request.also)}
    for text, name in swaps.items():
        if name not in needed:
            raise ConfigError(f"--swap {text}: no stage of this run takes the {name}; leave it out")


def _refuse_solving(reading: Reading) -> None:
    if reading.probe_from == SOLVE:
        raise ConfigError(
            "--probe-from solve: only ptycho run and train solve; run ptycho solve first and give its reconstruction.npz"
        )
