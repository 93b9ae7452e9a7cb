"""The command line: thin.

Exit code 0: all applicable gates passed; 1: a gate failed; 2: bad input; 3: a bug of ours; 130: interrupted; 143:
terminated. Whatever goes wrong is one line.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from ptycho import cache_commands, request
from ptycho.errors import ConfigError, InvariantError, PtychoError
from ptycho.findings import commands
from ptycho.testing.golden import commands as golden_commands

if TYPE_CHECKING:
    from ptycho.config import Config

logger = logging.getLogger(__name__)

app = App(
    name="ptycho",
    help="Ptychography with a physics-informed network.",
    help_on_error=False,
    suppress_keyboard_interrupt=False,
)
app.command(cache_commands.app)
app.command(commands.app)
app.command(golden_commands.app)
app.command(golden_commands.replay)

Overrides = Annotated[
    tuple[str, ...],
    Parameter(name="--set", help="Override a parameter: path=value. May be repeated.", negative=()),
]
Swaps = Annotated[
    tuple[str, ...],
    Parameter(name="--swap", help="STAGE=RUN_DIR: use that run's artifact. May be repeated.", negative=()),
]
Profile = Annotated[
    str | None, Parameter(help="A profile of the scenario, for example stable, or several: stable+fast.")
]


def _whole_number(_: Any, tokens: Sequence[Any]) -> int:
    """Read a number that has no fraction; an option is not rounded silently."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ConfigError(f"{tokens[0].keyword} = {tokens[0].value}: must be a whole number") from None


Seed = Annotated[
    int | None, Parameter(help="Seed of noise, initial weights and batch order.", converter=_whole_number)
]
Flag = Annotated[bool, Parameter(negative=())]
Everything = Annotated[
    bool, Parameter(name="--all", help="Take the whole scan, not only its test part.", negative=())
]


@Parameter(name="*")
@dataclass(frozen=True)
class How:
    """How a command is executed; nothing in here changes a result."""

    cache: str | None = None
    """Folder of artifacts kept from run to run; `none` keeps none. [default: the user's cache folder]"""
    fresh: Flag = False
    """Compute everything anew."""
    batch_size: Annotated[int, Parameter(converter=_whole_number)] = 32
    """Groups that inference computes at once."""


@Parameter(name="*")
@dataclass(frozen=True)
class Reading:
    """How a scan's file is to be understood."""

    intensity: Flag = False
    """The file holds intensities (counts), not amplitudes."""
    geometry: Annotated[tuple[str, ...], Parameter(negative=())] = ()
    """A correction of the scan, as the geometry gate names it: swap_axes, flip_x, scale_positions=20 ... May be repeated."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    from ptycho import terminal

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with terminal.prepared():
        code = _code_of(arguments)
    sys.exit(code)


def _code_of(arguments: list[str] | None) -> int:
    """Run a command and return its exit code; what goes wrong is told in one line."""
    from ptycho import terminal

    try:
        return app(arguments, exit_on_error=False, print_error=False) or 0
    except InvariantError as error:
        return terminal.complain_of_a_bug(error)
    except PtychoError as error:
        terminal.complain(str(error))
    except CycloptsError as error:
        terminal.complain(f"{error} (see ptycho --help)")
    except MemoryError:
        terminal.complain("out of memory; lower --batch-size or training.batch_size, or take fewer patterns")
    except KeyboardInterrupt as stop:
        return terminal.say_stopped(stop)
    except BrokenPipeError:
        # Whoever read our output has gone; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if os.environ.get("PTYCHO_TRACEBACK"):
            raise
        return terminal.complain_of_a_bug(error)
    return 2


@app.command
def scenarios() -> int:
    """List the scenarios and their profiles."""
    from ptycho import layers, terminal
    from ptycho import scenarios as room

    rows = []
    for name in room.scenario_names():
        values, _ = room.scenario_table(name)
        profiles = ", ".join(sorted({*values.get("profiles", {}), *layers.PROFILES}))
        rows.append((name, str(values.get("gridsize", 1)), profiles, values.get("description", "")))
    terminal.grid(("scenario", "gridsize", "profiles", "what"), rows)
    return 0


@commands.app.command(name="faults")
def list_faults() -> int:
    """List the faults that `ptycho run --fault ID` and `pytest --fault ID` put in, and what each does."""
    from ptycho import terminal
    from ptycho.testing import faults

    terminal.grid(("fault", "what it does"), [(f.id, inspect.getdoc(f.make) or "") for f in faults.FAULTS])
    return 0


@app.command
def stages() -> int:
    """List the stages: what each takes, which parameters it reads, what it is."""
    from ptycho import pipeline, terminal

    rows = [
        (stage.name, "\n".join(stage.inputs) or "-", "\n".join(stage.reads) or "-", stage.purpose)
        for stage in pipeline.STAGES
    ]
    terminal.grid(("stage", "takes", "reads", "what"), rows)
    return 0


@app.command
def run(
    scenario: str | None = None,
    *,
    data: Path | None = None,
    profile: Profile = None,
    set_: Overrides = (),
    seed: Seed = None,
    out: Path | None = None,
    until: str | None = None,
    swap: Swaps = (),
    resume: Flag = False,
    prediction_scale: str | None = None,
    fault: str | None = None,
    reading: Reading = Reading(),
    how: How = How(),
) -> int:
    """Run the whole pipeline on a scenario, or with --data on a measured scan, and judge the result.

    Parameters
    ----------
    scenario
        A name from `ptycho scenarios`, or a TOML file.
    data
        A scan in an NPZ file.
    out
        Run directory, default runs/NAME.
    until
        The last stage to run; see `ptycho stages`.
    resume
        Go on with the run in the directory.
    prediction_scale
        none, recorded or least_squares: a diagnostic rescaling.
    fault
        ID of a known bug that is put back for this run, to see what it does; see `ptycho findings faults`.
    """
    from ptycho import rundir, terminal
    from ptycho.report import write as report

    extra = [] if prediction_scale is None else [f"inference.prediction_scale={prediction_scale}"]
    config, given = _asked(scenario, data, profile, [*set_, *extra], seed, reading)
    folder = out or Path("runs") / (config.name + (f"_{profile}" if profile else ""))
    with request.about(data), _put_in(fault) as name, terminal.Bars() as listen:
        execution = replace(_execution(how, listen, resume), fault=name)
        given |= rundir.swapped(swap, config, execution, given)
        request.say_what_is_idle(config, [*set_, *extra], given)
        result = rundir.execute(config, folder, execution, given=given, until=until)
    terminal.show(result)
    colour = "red" if not result.passed else "green" if result.judged else "yellow"
    terminal.say(f"{report.verdict(result)}: {folder / report.PAGE}", colour)
    return 0 if result.passed else 1


@app.command
def simulate(
    scenario: str,
    *,
    out: Path,
    profile: Profile = None,
    set_: Overrides = (),
    seed: Seed = None,
    how: How = How(),
) -> int:
    """Simulate a scenario's scan into an NPZ file."""
    from ptycho import claim
    from ptycho.io import npz

    claim.file(out, [])
    config, _ = _asked(scenario, None, profile, set_, seed, Reading())
    request.say_what_is_idle(config, set_, {}, "scan")
    npz.write_npz(out, _run(config, {}, "scan", how))
    return _wrote(out)


@app.command
def train(
    scenario: str | None = None,
    *,
    out: Path,
    data: Path | None = None,
    profile: Profile = None,
    set_: Overrides = (),
    seed: Seed = None,
    resume: Flag = False,
    reading: Reading = Reading(),
    how: How = How(),
) -> int:
    """Train on the training part of a scan; --out is a run directory that ends with bundle.npz."""
    from ptycho import rundir, terminal
    from ptycho.stages import train as row

    config, given = _asked(scenario, data, profile, set_, seed, reading)
    with request.about(data), terminal.Bars() as listen:
        request.say_what_is_idle(config, set_, given)  # the bundle hands the whole config on
        rundir.execute(config, out, _execution(how, listen, resume), given=given, until="train")
    return _wrote(out / row.FILE)


@app.command
def infer(
    bundle: Path,
    *,
    data: Path,
    out: Path,
    everything: Everything = False,
    set_: Overrides = (),
    reading: Reading = Reading(),
    how: How = How(),
) -> int:
    """Reconstruct the test part of a scan, or with --all the whole scan, with a trained bundle into an NPZ file."""
    from ptycho import claim
    from ptycho.stages import stitch

    claim.file(out, [data, bundle])
    config, given = _with_bundle(bundle, data, set_, everything, reading)
    request.say_what_is_idle(config, set_, given, "stitch")
    with request.about(data):
        stitch.write(out, _run(config, given, "stitch", how))
    return _wrote(out)


@app.command
def evaluate(
    reconstruction: Path,
    *,
    bundle: Path,
    data: Path,
    out: Path | None = None,
    everything: Everything = False,
    set_: Overrides = (),
    reading: Reading = Reading(),
    how: How = How(),
) -> int:
    """Judge a reconstruction against the scan that it was made from; --out is a run directory for the numbers."""
    from ptycho import pipeline, rundir, terminal
    from ptycho.stages import stitch

    config, given = _with_bundle(bundle, data, set_, everything, reading)
    given["stitch"] = stitch.read(reconstruction)
    request.say_what_is_idle(config, set_, given, "gate")
    with request.about(data), terminal.Bars() as listen:
        execution = _execution(how, listen)
        parts = {name: given[name] for name in ("scan", "train")}
        groups = pipeline.run_pipeline(config, execution, given=parts, until="group_test").artifacts[
            "group_test"
        ]
        stitch.check_origin(given["stitch"], groups, given["train"], str(reconstruction))
        if out is None:
            result = pipeline.run_pipeline(config, execution, given=given, until="gate")
        else:
            result = rundir.execute(config, out, execution, given=given, until="gate")
    terminal.show(result)
    return 0 if result.passed else 1


def _run(config: Config, given: Mapping[str, Any], until: str, how: How) -> Any:
    """Run the table as far as `until` and return its artifact."""
    from ptycho import pipeline, terminal

    with terminal.Bars() as listen:
        result = pipeline.run_pipeline(config, _execution(how, listen), given=given, until=until)
    return result.artifacts[until]


def _wrote(path: Path) -> int:
    from ptycho import terminal

    terminal.say(f"wrote {path}")
    return 0


@contextlib.contextmanager
def _put_in(fault: str | None) -> Iterator[str]:
    """Put a fault in as long as the block lasts, give its ID, and say where the program never came by it."""
    if fault is None:
        yield ""
        return
    from ptycho.testing import fault as room
    from ptycho.testing import faults

    found = room.named(fault, faults.FAULTS)
    with room.injected(found) as reach:
        yield found.id
    if not reach.calls:
        logger.warning("--fault %s: this run never called %s, so that it shows nothing", fault, found.target)


def _execution(how: How, listener: Any, resume: bool = False) -> Any:
    return request.execution(how.cache, how.fresh, how.batch_size, listener, resume)


def _asked(
    scenario: str | None,
    data: Path | None,
    profile: str | None,
    overrides: Iterable[str],
    seed: int | None,
    reading: Reading,
) -> tuple[Config, dict[str, Any]]:
    """Return the config, and the measured scan where there is one."""
    overrides = [*overrides, *([] if seed is None else [f"seed={seed}"])]
    if data is not None:
        scan = request.read_scan(data, reading.intensity, reading.geometry)
        config = request.of_scan(scan, data, scenario, profile, overrides)
        request.check_truth(config, scan)
        return config, {"scan": scan}
    if scenario is None:
        raise ConfigError("give a scenario (see 'ptycho scenarios') or a scan with --data")
    if reading != Reading():
        raise ConfigError("--intensity and --geometry say how a scan's file is to be read; add --data FILE")
    config = request.of_scenario(scenario, profile, overrides)
    request.check_truth(config)
    return config, {}


def _with_bundle(
    bundle: Path, data: Path, overrides: Iterable[str], everything: bool, reading: Reading
) -> tuple[Config, dict[str, Any]]:
    """Return the config that a bundle was trained with, and bundle and scan as what is given."""
    from ptycho.model import bundle as bundles

    loaded = bundles.load_bundle(bundle)
    config = request.of_bundle(loaded, bundles.read_about(bundle), overrides, everything, str(bundle))
    scan = request.read_scan(data, reading.intensity, reading.geometry)
    request.check_truth(config, scan)
    return config, {"train": request.with_probe_of(scan, loaded, config), "scan": scan}


if __name__ == "__main__":
    main()
