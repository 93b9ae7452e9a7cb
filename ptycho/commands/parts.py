"""The parts of a run by themselves: `ptycho simulate`, `train`, `infer`, `evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptycho.base import layout
from ptycho.commands import shared
from ptycho.commands.options import (
    Everything,
    Flag,
    How,
    Overrides,
    Overwrite,
    Profile,
    ReadingOptions,
    Seed,
    SplitMethod,
)
from ptycho.runs import prepare
from ptycho.settings import request as requests
from ptycho.settings.request import Reading, Request

if TYPE_CHECKING:
    from ptycho.settings.config import Config


def simulate(
    scenario: str,
    *,
    out: Path,
    profile: Profile = None,
    set_: Overrides = (),
    seed: Seed = None,
    overwrite: Overwrite = False,
    how: How = How(),
) -> int:
    """Simulate a scenario's scan into an NPZ file."""
    from ptycho.runs import claim
    from ptycho.scan.formats import npz

    request = Request("simulate", scenario, profile, overrides=tuple(set_), seed=seed)
    config, _ = prepare.resolve(request)
    claim.file(out, prepare.files_read(request, config), overwrite)
    prepare.say_what_is_idle(config, set_, {}, "scan")
    npz.write_npz(out, _run(config, {}, "scan", how))
    return shared.wrote(out)


def train(
    scenario: str | None = None,
    *,
    out: Path,
    data: Path | None = None,
    profile: Profile = None,
    set_: Overrides = (),
    seed: Seed = None,
    split: SplitMethod = None,
    resume: Flag = False,
    reading: ReadingOptions = Reading(),
    how: How = How(),
) -> int:
    """Train on the training part of a scan; --out is a run directory that ends with bundle.npz."""
    from ptycho.commands import terminal
    from ptycho.runs import directory, illumination

    request = Request(
        "train",
        scenario,
        profile,
        requests.source_file(data),
        reading,
        probe=shared.solution_file(reading),
        overrides=(*set_, *([] if split is None else [f"split.method={split}"])),
        seed=seed,
        until="train",
    )
    config, given = prepare.resolve(request)
    with prepare.about(data), terminal.Bars() as listen:
        before = ["solve"] if illumination.solves_first(request) else []
        prepare.say_what_is_idle(config, set_, given, also=before)  # the bundle hands the whole config on
        execution = shared.execution(how, listen, resume)
        directory.check_free(out, config, execution, request)
        given, solution = illumination.solved_first(config, request, given, execution)
        directory.execute(
            config, out, execution, given=given, until=request.until, request=request, solution=solution
        )
    return shared.wrote(out / layout.BUNDLE)


def infer(
    bundle: Path,
    *,
    data: Path,
    out: Path,
    everything: Everything = False,
    set_: Overrides = (),
    overwrite: Overwrite = False,
    reading: ReadingOptions = Reading(),
    how: How = How(),
) -> int:
    """Reconstruct the test part of a scan, or with --all the whole scan, with a trained bundle into an NPZ file."""
    from ptycho.runs import claim
    from ptycho.stages import stitch

    request = _with_bundle("infer", bundle, data, set_, everything, reading)
    claim.file(out, prepare.files_read(request), overwrite)
    config, given = prepare.with_bundle(request)
    prepare.say_what_is_idle(config, set_, given, "stitch")
    with prepare.about(data):
        stitch.write(out, _run(config, given, "stitch", how))
    return shared.wrote(out)


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
    from ptycho.report import write as report
    from ptycho.runs import directory
    from ptycho.stages import pipeline, stitch

    request = replace(
        _with_bundle("evaluate", bundle, data, set_, everything, reading),
        reconstruction=requests.source_file(reconstruction),
        until="gate",
    )
    config, given = prepare.with_bundle(request)
    given["stitch"] = stitch.read(reconstruction)
    prepare.say_what_is_idle(config, set_, given, "gate")
    with prepare.about(data), terminal.Bars() as listen:
        execution = shared.execution(how, listen)
        parts = {name: given[name] for name in ("scan", "train")}
        groups = pipeline.run_pipeline(config, execution, given=parts, until="group_test").artifacts[
            "group_test"
        ]
        stitch.check_origin(given["stitch"], groups, given["train"], str(reconstruction))
        if out is None:
            result = pipeline.run_pipeline(config, execution, given=given, until="gate")
        else:
            result = directory.execute(config, out, execution, given=given, until="gate", request=request)
    terminal.show(result)
    colour = "green" if result.passed else "red"
    terminal.say(report.verdict(result) + (f": {out / report.PAGE}" if out is not None else ""), colour)
    return 0 if result.passed else 1


def _with_bundle(
    command: str, bundle: Path, data: Path, set_: Overrides, everything: bool, reading: Reading
) -> Request:
    """Return the request of a command that takes a trained network and a scan."""
    return Request(
        command,
        data=requests.source_file(data),
        reading=reading,
        probe=shared.solution_file(reading),
        bundle=requests.source_file(bundle),
        overrides=tuple(set_),
        whole_scan=everything,
    )


def _run(config: Config, given: Mapping[str, Any], until: str, how: How) -> Any:
    """Run the table as far as `until` and return its artifact."""
    from ptycho.commands import terminal
    from ptycho.stages import pipeline

    with terminal.Bars() as listen:
        result = pipeline.run_pipeline(config, shared.execution(how, listen), given=given, until=until)
    return result.artifacts[until]
