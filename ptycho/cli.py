"""The command line: thin. Exit code 0: all applicable gates passed; 1: a gate failed; 2: bad input."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from ptycho.config import Config
from ptycho.data import RawData
from ptycho.errors import ConfigError, PtychoError
from ptycho.gates import Verdict
from ptycho.progress import Listener, Progress

app = App(name="ptycho", help="Ptychography with a physics-informed network.", help_on_error=False)
console = Console()
complaints = Console(stderr=True, soft_wrap=True)

Overrides = Annotated[
    tuple[str, ...],
    Parameter(name="--set", help="Override a parameter: path=value. May be repeated.", negative=()),
]
Profile = Annotated[str | None, Parameter(help="A profile of the scenario, for example stable.")]
Seed = Annotated[int | None, Parameter(help="Seed of noise, initial weights and batch order.")]
Intensity = Annotated[
    bool, Parameter(help="The file holds intensities (counts), not amplitudes.", negative=())
]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=complaints, show_path=False, show_time=False)],
    )
    try:
        code = app(arguments, exit_on_error=False, print_error=False)
    except PtychoError as error:
        complaints.print(f"ptycho: {error}", style="red", markup=False, highlight=False)
        code = 2
    except CycloptsError as error:
        complaints.print(
            f"ptycho: {' '.join(str(error).split())} (see ptycho --help)",
            style="red",
            markup=False,
            highlight=False,
        )
        code = 2
    except KeyboardInterrupt:
        complaints.print("ptycho: interrupted; finished epochs are kept, go on with --resume", style="red")
        code = 130
    sys.exit(code or 0)


@app.command
def scenarios() -> int:
    """List the scenarios and their profiles."""
    from ptycho.scenarios import scenario_names, scenario_table

    table = Table("scenario", "gridsize", "profiles", "what")
    for name in scenario_names():
        values, _ = scenario_table(name)
        table.add_row(
            name,
            str(values.get("gridsize", 1)),
            ", ".join(values.get("profiles", {})) or "-",
            values.get("description", ""),
        )
    console.print(table)
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
    resume: Annotated[bool, Parameter(negative=())] = False,
    prediction_scale: str | None = None,
    intensity: Intensity = False,
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
    resume
        Go on with the run in the directory.
    prediction_scale
        none, recorded or least_squares: a diagnostic rescaling.
    """
    from ptycho.pipeline import Context
    from ptycho.rundir import execute

    extra = [f"inference.prediction_scale={prediction_scale}"] if prediction_scale else []
    config, scan, key = _resolve(scenario, data, profile, [*set_, *extra], seed, intensity)
    folder = out or Path("runs") / (config.name + (f"_{profile}" if profile else ""))
    with _Bars() as listen:
        result = execute(config, folder, Context(scan=scan, scan_key=key, resume=resume, listener=listen))
    _print_verdicts(result.artifacts["gate"], result.notes)
    console.print(
        f"{'PASS' if result.passed else 'FAIL'}: {folder / 'report.html'}",
        style="green" if result.passed else "red",
    )
    return 0 if result.passed else 1


@app.command
def simulate(
    scenario: str,
    *,
    out: Path,
    profile: Profile = None,
    set_: Overrides = (),
    seed: Seed = None,
) -> int:
    """Simulate a scenario's scan into an NPZ file."""
    from ptycho.io.npz import write_npz
    from ptycho.simulate import simulate_scan

    config, _, _ = _resolve(scenario, None, profile, set_, seed, False)
    write_npz(out, simulate_scan(config))
    console.print(f"wrote {out}")
    return 0


@app.command
def train(
    scenario: str | None = None,
    *,
    out: Path,
    data: Path | None = None,
    profile: Profile = None,
    set_: Overrides = (),
    seed: Seed = None,
    resume: Annotated[bool, Parameter(negative=())] = False,
    intensity: Intensity = False,
) -> int:
    """Train on the training part of a scan; --out is a folder that gets bundle.npz and history.json."""
    from ptycho.model.bundle import save_bundle
    from ptycho.pipeline import Context, run_pipeline
    from ptycho.rundir import BUNDLE, claimed_folder

    config, scan, key = _resolve(scenario, data, profile, set_, seed, intensity)
    with claimed_folder(out, resume), _Bars() as listen:
        context = Context(scan=scan, scan_key=key, state_dir=out, resume=resume, listener=listen)
        result = run_pipeline(config, context, until="train")
        save_bundle(out / BUNDLE, result.artifacts["train"])
    console.print(f"wrote {out / BUNDLE}")
    return 0


@app.command
def infer(bundle: Path, *, data: Path, out: Path, set_: Overrides = (), intensity: Intensity = False) -> int:
    """Reconstruct the test part of a scan with a trained bundle into an NPZ file."""
    from ptycho.config import resolve
    from ptycho.model.bundle import load_bundle
    from ptycho.pipeline import Context, run_pipeline
    from ptycho.rundir import write_reconstruction

    loaded = load_bundle(bundle)
    config = resolve(loaded.config.to_dict(), None, set_, str(bundle))
    scan, key = _read_scan(data, intensity)
    with _Bars() as listen:
        context = Context(scan=scan, scan_key=key, bundle=loaded, listener=listen)
        result = run_pipeline(config, context, until="stitch")
    write_reconstruction(out, result.artifacts["stitch"])
    console.print(f"wrote {out}")
    return 0


@app.command
def evaluate(
    reconstruction: Path,
    *,
    bundle: Path,
    data: Path,
    out: Path | None = None,
    set_: Overrides = (),
    intensity: Intensity = False,
) -> int:
    """Judge a reconstruction against the scan that it was made from; --out writes the numbers as JSON."""
    from dataclasses import asdict

    from ptycho import gates
    from ptycho.config import resolve
    from ptycho.evaluation import evaluate as measure
    from ptycho.io.atomic import write_json
    from ptycho.model.bundle import load_bundle
    from ptycho.rundir import read_reconstruction
    from ptycho.stages import group_for_inference, split_scan

    loaded = load_bundle(bundle)
    config: Config = resolve(loaded.config.to_dict(), None, set_, str(bundle))
    scan, _ = _read_scan(data, intensity)
    test = split_scan(scan, config).test
    found = read_reconstruction(reconstruction)
    measured = measure(found, test.object_guess, test, loaded.probe, config.evaluation)
    verdicts = gates.judge(found, measured.to_dict(), len(group_for_inference(test, config)), config.gates)
    if out is not None:
        write_json(
            out, {"metrics": measured.to_dict(), "verdicts": [asdict(verdict) for verdict in verdicts]}
        )
    _print_verdicts(verdicts, ())
    return 0 if gates.passed(verdicts) else 1


def _resolve(
    scenario: str | None,
    data: Path | None,
    profile: str | None,
    overrides: Iterable[str],
    seed: int | None,
    intensity: bool,
) -> tuple[Config, RawData | None, str]:
    """Return (config, scan or None, identity of the scan's file)."""
    from ptycho.config import resolve
    from ptycho.scenarios import default_data_dir, load_scenario

    if scenario is None and data is None:
        raise ConfigError("give a scenario (see 'ptycho scenarios') or a scan with --data")
    overrides = [*overrides, *([] if seed is None else [f"seed={seed}"])]
    if data is None:
        return load_scenario(str(scenario), profile, overrides, default_data_dir()), None, ""
    scan, key = _read_scan(data, intensity)
    if scenario is not None:
        return load_scenario(scenario, profile, [f"N={scan.N}", *overrides], default_data_dir()), scan, key
    return resolve({"name": data.stem, "N": scan.N}, profile, overrides, str(data)), scan, key


def _read_scan(data: Path, intensity: bool) -> tuple[RawData, str]:
    from ptycho.io.npz import read_npz

    scan = read_npz(data, intensity=intensity)
    return scan, hashlib.sha256(data.read_bytes() + bytes([intensity])).hexdigest()[:24]


def _print_verdicts(verdicts: Sequence[Verdict], notes: Iterable[str]) -> None:
    table = Table("gate", "verdict", "limit", "reason")
    colours = {"pass": "green", "fail": "bold red", "not_applicable": "dim"}
    for verdict in verdicts:
        table.add_row(
            verdict.name,
            verdict.status.replace("_", " "),
            verdict.limit,
            verdict.reason,
            style=colours[verdict.status],
        )
    for note in notes:
        console.print(note, style="yellow", markup=False)
    console.print(table)


class _Bars:
    """Progress bars on a terminal; nothing elsewhere."""

    def __enter__(self) -> Listener:
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=complaints,
            disable=not complaints.is_terminal,
        )
        self._tasks: dict[str, int] = {}
        self._bars.start()
        return self._listen

    def _listen(self, progress: Progress) -> None:
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = self._bars.add_task(progress.stage, total=progress.total)
        self._bars.update(
            self._tasks[progress.stage],
            completed=progress.done,
            description=f"{progress.stage} {progress.message}",
        )

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()


if __name__ == "__main__":
    main()
