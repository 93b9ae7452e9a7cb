"""The command line: thin.

Exit code 0: all applicable gates passed; 1: a gate failed; 2: bad input; 3: a bug of ours; 130: interrupted; 143:
terminated. Whatever goes wrong is one line.
"""

from __future__ import annotations

import inspect
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App, CycloptsError

from ptycho.base.errors import InvariantError, PtychoError
from ptycho.commands import cache, diagnose, findings
from ptycho.commands import golden as golden_commands
from ptycho.commands.options import (
    Engine,
    Everything,
    Flag,
    How,
    Overrides,
    Profile,
    ReadingOptions,
    Refined,
    Seed,
    Swaps,
    WholeNumber,
)
from ptycho.runs import request
from ptycho.settings.request import Reading

if TYPE_CHECKING:
    from ptycho.settings.config import Config

logger = logging.getLogger(__name__)

app = App(
    name="ptycho",
    help="Ptychography with a physics-informed network.",
    help_on_error=False,
    suppress_keyboard_interrupt=False,
)
for room in (cache.app, findings.app, golden_commands.app):
    app.command(room)
app.command(golden_commands.replay)
app.command(diagnose.diagnose)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    from ptycho.commands import terminal

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with terminal.prepared():
        code = _code_of(arguments)
    sys.exit(code)


def _code_of(arguments: list[str] | None) -> int:
    """Run a command and return its exit code; what goes wrong is told in one line."""
    from ptycho.commands import terminal

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
    """List the scenarios and their profiles, and those of the past, whose bugs are put back for a run."""
    from ptycho.commands import terminal
    from ptycho.settings import history, layers
    from ptycho.settings import scenarios as room

    rows = []
    for name in room.scenario_names():
        values, _ = room.scenario_table(name)
        profiles = ", ".join(sorted({*values.get("profiles", {}), *layers.PROFILES}))
        rows.append((name, str(values.get("gridsize", 1)), profiles, values.get("description", "")))
    rows += [(name, str(history.load(name).gridsize), "", history.describe(name)) for name in history.names()]
    terminal.grid(("scenario", "gridsize", "profiles", "what"), rows)
    return 0


@findings.app.command(name="faults")
def list_faults() -> int:
    """List the faults that `ptycho run --fault ID` and `pytest --fault ID` put in, and what each does."""
    from ptycho.commands import terminal
    from ptycho.findings import faults

    terminal.grid(("fault", "what it does"), [(f.id, inspect.getdoc(f.make) or "") for f in faults.FAULTS])
    return 0


@app.command
def stages() -> int:
    """List the stages: what each takes, which parameters it reads, what it is."""
    from ptycho.commands import terminal
    from ptycho.stages import pipeline

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
    refine: Flag = False,
    resume: Flag = False,
    prediction_scale: str | None = None,
    fault: str | None = None,
    reading: ReadingOptions = Reading(),
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
    refine
        Sharpen the network's object directly, and put it beside physics alone and the patterns solved from flat.
    resume
        Go on with the run in the directory.
    prediction_scale
        none, recorded or least_squares: a diagnostic rescaling.
    fault
        ID of a known bug that is put back for this run, to see what it does; see `ptycho findings faults`.
    """
    from ptycho.commands import terminal
    from ptycho.findings import faults
    from ptycho.report import write as report
    from ptycho.runs import rundir
    from ptycho.settings import history
    from ptycho.testing import fault as room

    extra = [] if prediction_scale is None else [f"inference.prediction_scale={prediction_scale}"]
    config, given = request.asked(scenario, data, profile, [*set_, *extra], seed, reading, runs=True)
    also = ["compare"] if refine else []
    folder = out or _run_folder(config, profile)
    past = history.switched_on(scenario, set_)
    put_in = room.all_injected([*history.bugs(past), *([fault] if fault else [])], faults.FAULTS)
    for switch in past:
        terminal.say(f"history.{switch.name} is on: {switch.says}", "red")
    with request.about(data), put_in as name, terminal.Bars() as listen:
        execution = replace(_execution(how, listen, resume), fault=name)
        given = request.with_solved_probe(config, reading, given, execution)
        given |= rundir.swapped(swap, config, execution, given)
        request.say_what_is_idle(config, history.plain([*set_, *extra]), given, also=[*also, *reading.rows])
        result = rundir.execute(config, folder, execution, given=given, until=until, also=also)
    terminal.show(result)
    colour = "red" if not result.passed else "green" if result.judged else "yellow"
    terminal.say(f"{report.verdict(result)}: {folder / report.PAGE}", colour)
    return 0 if result.passed else 1


@app.command
def solve(
    scenario: str | None = None,
    *,
    data: Path | None = None,
    probe: Refined = None,
    positions: Refined = None,
    modes: WholeNumber | None = None,
    start: Path | None = None,
    engine: Engine = None,
    passes: WholeNumber | None = None,
    halves: Flag = False,
    profile: Profile = None,
    set_: Overrides = (),
    seed: Seed = None,
    out: Path | None = None,
    resume: Flag = False,
    reading: ReadingOptions = Reading(),
    how: How = How(),
) -> int:
    """Reconstruct a whole scan directly from its patterns, without a network, and measure the result.

    Parameters
    ----------
    scenario
        A name from `ptycho scenarios`, or a TOML file.
    data
        A scan in an NPZ file.
    probe
        fixed, or refine: take the scan's probe for what to start from.
    positions
        fixed, or refine: take the scan's positions for what to start from.
    modes
        Incoherent modes of the probe; default: those of the scan.
    start
        A reconstruction (NPZ) to start from; default: a flat object.
    engine
        own, or ptychi: an independent one, where it is installed.
    passes
        Over all patterns.
    halves
        Solve every second pattern and the others, too: down to which detail both halves agree.
    out
        Run directory, default runs/NAME_solved.
    resume
        Go on with the solution in the directory.
    """
    from ptycho.commands import terminal
    from ptycho.runs import rundir
    from ptycho.solve import ptychi
    from ptycho.stages import solve as row

    asked = dict(probe=probe, positions=positions, modes=modes, start=start, engine=engine, passes=passes)
    overrides = [*set_, *(f"solver.{name}={value}" for name, value in asked.items() if value is not None)]
    config, given = request.asked(scenario, data, profile, overrides, seed, reading)
    ptychi.check(config.solver)
    folder = out or _run_folder(config, profile, "solved")
    until, also = "evaluate_solution", ["halves"] if halves else []
    with request.about(data), terminal.Bars() as listen:
        request.say_what_is_idle(config, set_, given, until, also)
        execution = _execution(how, listen, resume)
        result = rundir.execute(config, folder, execution, given=given, until=until, also=also)
    terminal.show(result)
    return _wrote(folder / row.FILE)


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
    from ptycho.runs import claim
    from ptycho.scan.formats import npz

    claim.file(out, [])
    config, _ = request.asked(scenario, None, profile, set_, seed, Reading())
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
    reading: ReadingOptions = Reading(),
    how: How = How(),
) -> int:
    """Train on the training part of a scan; --out is a run directory that ends with bundle.npz."""
    from ptycho.commands import terminal
    from ptycho.runs import rundir
    from ptycho.stages import train as row

    config, given = request.asked(scenario, data, profile, set_, seed, reading)
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
    reading: ReadingOptions = Reading(),
    how: How = How(),
) -> int:
    """Reconstruct the test part of a scan, or with --all the whole scan, with a trained bundle into an NPZ file."""
    from ptycho.runs import claim
    from ptycho.stages import stitch

    claim.file(out, [data, bundle])
    config, given = request.with_bundle(bundle, data, set_, everything, reading)
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
    reading: ReadingOptions = Reading(),
    how: How = How(),
) -> int:
    """Judge a reconstruction against the scan that it was made from; --out is a run directory for the numbers."""
    from ptycho.commands import terminal
    from ptycho.runs import rundir
    from ptycho.stages import pipeline, stitch

    config, given = request.with_bundle(bundle, data, set_, everything, reading)
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
    from ptycho.commands import terminal
    from ptycho.stages import pipeline

    with terminal.Bars() as listen:
        result = pipeline.run_pipeline(config, _execution(how, listen), given=given, until=until)
    return result.artifacts[until]


def _run_folder(config: Config, *parts: str | None) -> Path:
    """Return the run directory of who names none: the config's name and whatever tells its runs apart."""
    return Path("runs") / "_".join(filter(None, (config.name, *parts)))


def _wrote(path: Path) -> int:
    from ptycho.commands import terminal

    terminal.say(f"wrote {path}")
    return 0


def _execution(how: How, listener: Any, resume: bool = False) -> Any:
    return request.execution(how.cache, how.fresh, how.batch_size, listener, resume)


if __name__ == "__main__":
    main()
