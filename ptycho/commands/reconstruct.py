"""`ptycho run` and `ptycho solve`: from a scenario or a measured scan to a judged object."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho.base import layout
from ptycho.commands import shared
from ptycho.commands.options import (
    Engine,
    Flag,
    How,
    Moved,
    Overrides,
    Profile,
    ReadingOptions,
    Refined,
    Seed,
    SplitMethod,
    Swaps,
    WholeNumber,
)
from ptycho.runs import prepare
from ptycho.settings import request as requests
from ptycho.settings.request import Reading, Request

if TYPE_CHECKING:
    from ptycho.solve.readings import Readings


def run(
    scenario: str | None = None,
    *,
    data: Path | None = None,
    profile: Profile = None,
    set_: Overrides = (),
    seed: Seed = None,
    split: SplitMethod = None,
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
    from ptycho.runs import directory, illumination
    from ptycho.settings import past

    extra = [] if prediction_scale is None else [f"inference.prediction_scale={prediction_scale}"]
    extra += [] if split is None else [f"split.method={split}"]
    request = Request(
        "run",
        scenario,
        profile,
        requests.source_file(data),
        reading,
        probe=shared.solution_file(reading),
        overrides=(*set_, *extra),
        seed=seed,
        swaps=tuple(swap),
        fault=fault or "",
        until=until,
        also=("compare",) if refine else (),
    )
    config, given = prepare.resolve(request)
    prepare.check_ends(request, given)
    folder = out or shared.run_folder(config, profile)
    before = ["solve"] if illumination.solves_first(request) else []
    switches = past.switched_on(scenario, set_)
    for switch in switches:
        terminal.say(f"history.{switch.name} is on: {switch.says}", "red")
    bugs = [*past.bugs(switches), *([fault] if fault else [])]
    with prepare.about(data), _bugs_put_in(bugs) as name, terminal.Bars() as listen:
        execution = replace(shared.execution(how, listen, resume), fault=name)
        directory.check_free(folder, config, execution, request)
        given, solution = illumination.solved_first(config, request, given, execution)
        given |= directory.swapped(request.swaps, config, execution, given)
        overrides = past.plain(request.overrides)
        prepare.say_what_is_idle(config, overrides, given, also=[*request.also, *before])
        result = directory.execute(
            config,
            folder,
            execution,
            given=given,
            until=until,
            also=request.also,
            request=request,
            solution=solution,
        )
    terminal.show(result)
    if until == "geometry":
        return _say_geometry(result.artifacts[until], config.gates.geometry_margin)
    return shared.say_verdict(result, folder)


def _say_geometry(comparison: Readings, least: float) -> int:
    """Say how the scan lies, which is all that was asked; return the exit code."""
    from ptycho.commands import terminal
    from ptycho.solve import readings

    status, _, words = readings.judge(comparison, least)
    colours = {"pass": "green", "fail": "red", "not_applicable": "yellow"}
    terminal.say(f"{status.replace('_', ' ').upper()}: {words}", colours[status])
    return 1 if status == "fail" else 0


def solve(
    scenario: str | None = None,
    *,
    data: Path | None = None,
    probe: Refined = None,
    positions: Moved = None,
    modes: WholeNumber | None = None,
    start: Path | None = None,
    engine: Engine = None,
    passes: WholeNumber | None = None,
    halves: bool | None = None,
    profile: Profile = None,
    set_: Overrides = (),
    seed: Seed = None,
    out: Path | None = None,
    resume: Flag = False,
    reading: ReadingOptions = Reading(),
    how: How = How(),
) -> int:
    """Reconstruct a whole scan directly from its patterns, without a network, and judge the result.

    Parameters
    ----------
    scenario
        A name from `ptycho scenarios`, or a TOML file.
    data
        A scan in an NPZ file.
    probe
        fixed, or refine: take the scan's probe for what to start from.
    positions
        fixed; affine: turn, stretch and shear them together; or refine: move each by itself.
    modes
        Incoherent modes of the probe; default: those of the scan.
    start
        A reconstruction (NPZ) to start from; default: a flat object.
    engine
        own (compiled loops), keras (the backend of Keras, on a GPU if it has one), or ptychi (independent, if installed).
    passes
        Over all patterns.
    halves
        Solve every second pattern and the others, too: whether each predicts the other, and down to which detail both agree. With
        --data that is done, and judged, unless --no-halves is given.
    out
        Run directory, default runs/NAME_solved.
    resume
        Go on with the solution in the directory.
    """
    from ptycho.commands import terminal
    from ptycho.runs import directory

    judged = halves if halves is not None else data is not None
    asked = dict(probe=probe, positions=positions, modes=modes, start=start, engine=engine, passes=passes)
    overrides = [*set_, *(f"solver.{name}={value}" for name, value in asked.items() if value is not None)]
    request = Request(
        "solve",
        scenario,
        profile,
        requests.source_file(data),
        reading,
        probe=shared.solution_file(reading),
        overrides=tuple(overrides),
        seed=seed,
        until="judge" if judged else "evaluate_solution",
        also=("geometry",) if data is not None and not judged else (),
    )
    config, given = prepare.resolve(request)
    folder = out or shared.run_folder(config, profile, "solved")
    until, also = request.until, request.also
    with prepare.about(data), terminal.Bars() as listen:
        prepare.say_what_is_idle(config, set_, given, until, also)
        execution = shared.execution(how, listen, resume)
        result = directory.execute(
            config, folder, execution, given=given, until=until, also=also, request=request
        )
    terminal.show(result)
    if result.judged:
        shared.say_verdict(result, folder)
    shared.wrote(folder / layout.RECONSTRUCTION)
    return 0 if result.passed else 1


def _bugs_put_in(bugs: list[str]) -> AbstractContextManager[str]:
    """Put known bugs in as long as the block lasts; the registered faults are loaded only for one."""
    if not bugs:
        return nullcontext("")
    from ptycho.findings import faults
    from ptycho.testing import fault as room

    return room.all_injected(bugs, faults.FAULTS)
