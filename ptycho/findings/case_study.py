"""The study of sim_lines_4x again: its questions as commands of this program, what they answer, and a page of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ptycho
from ptycho.base import atomic, documents, layout
from ptycho.base.errors import RunDirectoryError

RECORD = "steps.json"
"""What each step came to, in the folder of the study."""
SIMULATED = ("gs1_ideal", "gs1_custom", "gs2_ideal", "gs2_custom")
NOW = (*SIMULATED, "dose_experiments")
THEN = ("gs1_ideal", "gs1_custom", "gs2_ideal")
"""Of :data:`SIMULATED` those of which the past is on record."""
SMALLER = {"gs1_ideal": (256, 128), "gs2_ideal": (128, 64)}
"""Images and groups of the isolated past: half of what was recorded."""
SMALLEST = (128, 64)
"""And of the isolated twin image."""
PAST = tuple(f"history/{name}_2026_01" for name in THEN)
TWINS = ("gs1_custom", "gs2_ideal")
"""Good sides against which gs1_ideal shows what a twin image costs."""
BUDGET = "40m"
REFUSED = 2
"""Exit code of a command that was given what it cannot work with."""


@dataclass(frozen=True)
class Step:
    """A command of the study.

    Attributes
    ----------
    name : str
        Also of the folder that the command writes.
    words : tuple of str
        What follows `ptycho` on the command line, without --out.
    refused : bool
        Whether it is to end with one line and nothing done.
    """

    name: str
    words: tuple[str, ...]
    refused: bool = False

    @property
    def command(self) -> str:
        """The command as a person types it in the folder of the study."""
        return " ".join(("ptycho", *self.words, "--out", self.name))


@dataclass(frozen=True)
class Criterion:
    """What the plan wanted before the matter is closed, and the tests that prove it."""

    what: str
    step: str
    selectors: tuple[str, ...]


def steps() -> tuple[Step, ...]:
    """Return the commands in their order: whatever a later one reads is made by an earlier one."""
    stable = ("--profile", "stable")
    result = [Step(f"now_{name}", ("run", name, *stable)) for name in NOW]
    result += [Step(f"then_{name}", ("run", f"history/{name}_2026_01")) for name in THEN]
    result += [Step(f"grid_{name}", ("run", f"grid_{name}", *stable)) for name in SIMULATED]
    denser = ("--set", "simulation.grid.outer_offset_test_px=12", "--set", "simulation.grid.n_objects_test=1")
    result.append(Step("grid_gs1_ideal_denser", ("run", "grid_gs1_ideal", *stable, *denser)))
    result += [
        Step(f"solved_{name}", ("solve", name, *stable))
        for name in ("gs1_ideal", "gs1_custom", "grid_gs1_ideal")
    ]
    few = ("run", "gs2_ideal", *stable, "--until", "group_train", "--set")
    result += [
        Step("few_neighbours", (*few, "grouping.neighbor_count=3"), refused=True),
        Step("few_positions", (*few, "simulation.base_total_images=1"), refused=True),
        Step("params", ("diagnose", "params", "gs2_ideal", "dose_experiments", *stable)),
        Step("grouping", ("diagnose", "grouping", "gs1_ideal", "gs2_ideal", "dose_experiments", *stable)),
        Step("probe", ("diagnose", "probe", "gs1_ideal", "gs1_custom", *stable)),
        Step("now", ("diagnose", "all", *(f"now_{name}" for name in SIMULATED))),
        Step("then", ("diagnose", "all", *(f"then_{name}" for name in THEN))),
    ]
    result += [_isolation(f"isolate_{name}", name, f"history/{name}_2026_01") for name in SMALLER]
    result += [_isolation(f"isolate_twin_{name}", name, "gs1_ideal") for name in TWINS]
    return tuple(result)


def _isolation(name: str, good: str, bad: str) -> Step:
    """Return an isolation of smaller scans, so that an experiment takes half a minute."""
    images, groups = SMALLER[good] if bad in PAST else SMALLEST
    sets = (f"simulation.base_total_images={images}", f"grouping.n_groups={groups}")
    both = [word for side in ("--good-set", "--bad-set") for each in sets for word in (side, each)]
    return Step(name, ("isolate", good, bad, "--profile", "stable", *both, "--budget", BUDGET))


CRITERIA = (
    Criterion(
        "Both workflows are captured side by side",
        "params",
        ("tests/golden/test_published.py", "tests/golden/test_resolved_configs.py"),
    ),
    Criterion(
        "The root cause is stated",
        "isolate_gs1_ideal",
        ("tests/unit/settings/test_past.py", "tests/unit/isolate/test_isolation.py"),
    ),
    Criterion(
        "The mend is applied, and nothing is NaN",
        "now_gs1_ideal",
        ("tests/unit/network/test_losses.py", "tests/unit/evaluation/test_gates.py"),
    ),
    Criterion(
        "Amplitude and scale agree with the truth",
        "now",
        ("tests/unit/physics/test_scaling.py", "tests/unit/physics/test_stitching.py"),
    ),
    Criterion(
        "The results were looked at, side by side, with notes of measurements",
        "then",
        ("tests/unit/report/test_report.py", "tests/unit/diagnose/test_questions.py"),
    ),
    Criterion(
        "Tests cover what was learned, and their logs are kept",
        "tests",
        ("tests/unit/findings/test_ledger.py", "tests/unit/test_manifest.py"),
    ),
)
TESTS = "tests"
"""Name of the step that runs the tests of :data:`CRITERIA`; its log lies in the folder."""


def selectors() -> list[str]:
    """Return the tests of all criteria, each once."""
    return list(dict.fromkeys(each for criterion in CRITERIA for each in criterion.selectors))


def record(folder: Path) -> dict[str, Any]:
    """Read what steps came to."""
    path = folder / RECORD
    return documents.read_table(path, RunDirectoryError) if path.is_file() else {}


def done(folder: Path, step: Step) -> bool:
    """Whether a step has been done with these words."""
    return bool(record(folder).get(step.name, {}).get("command") == step.command)


def do(folder: Path, step: Step, options: Iterable[str] = ()) -> Mapping[str, Any]:
    """Run a step in a process of its own, write its log, and record what it came to.

    Parameters
    ----------
    folder : Path
        Of the study; it is there.
    step : Step
    options : iterable of str
        More words that change no result, such as `--cache DIR`.

    Raises
    ------
    RunDirectoryError
        The command was refused and should not have been, or the other way round, or it ended as by a bug.
    """
    again = "--overwrite" if step.words[0] == "diagnose" else "--resume"
    resumed = [again] if (folder / step.name).is_dir() else []
    words = [sys.executable, "-m", "ptycho", *step.words, "--out", step.name, *resumed, *options]
    code, lines, seconds = _run(words, folder, folder / f"{step.name}.log")
    if code not in ((REFUSED,) if step.refused else (0, 1)):
        raise RunDirectoryError(f"{step.command} ended with {code}: {lines[-1]} (log: {step.name}.log)")
    return _recorded(folder, step.name, step.command, code, lines, seconds)


def prove(folder: Path) -> Mapping[str, Any] | None:
    """Run the tests of the criteria where the package lies beside them; return nothing where it does not."""
    home = Path(ptycho.__file__).resolve().parents[1]
    if not (home / "tests").is_dir():
        return None
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *selectors()]
    code, lines, seconds = _run(words, home, folder / f"{TESTS}.log")
    return _recorded(folder, TESTS, "pytest", code, lines, seconds)


def _run(words: list[str], where: Path, log: Path) -> tuple[int, list[str], float]:
    """Run a command with a log; return its exit code, the lines of the log and the seconds."""
    environment = {**os.environ, "PYTHONPATH": str(Path(ptycho.__file__).resolve().parents[1])}
    environment |= {"COLUMNS": "160", "TF_CPP_MIN_LOG_LEVEL": "3"}
    began = time.perf_counter()
    with log.open("w", encoding="utf-8") as stream:
        code = subprocess.run(
            words, cwd=where, env=environment, stdout=stream, stderr=subprocess.STDOUT, check=False
        ).returncode
    lines = log.read_text(encoding="utf-8").strip().splitlines() or [""]
    return code, lines, time.perf_counter() - began


def _recorded(
    folder: Path, name: str, command: str, code: int, lines: list[str], seconds: float
) -> Mapping[str, Any]:
    """Write what a step came to beside the others."""
    entry = {"command": command, "code": code, "line": lines[-1], "seconds": round(seconds)}
    atomic.write_json(folder / RECORD, {**record(folder), name: entry})
    return entry


ISOLATION = "isolation.json"
KEPT = (
    "complete",
    "verdict",
    "causes",
    "hidden",
    "breaks",
    "judges",
    "judge",
    "cleared",
    "reach",
    "experiments",
)
"""What the page has of an isolation."""
# Of a run: the name on the page, and where it stands among the numbers of the stages.
NUMBERS = {
    "pearson": ("evaluate", "direct.pearson"),
    "ssim": ("evaluate", "direct.ssim"),
    "ratio": ("evaluate", "direct.amplitude_ratio"),
    "least_squares": ("evaluate", "direct.least_squares_scalar"),
    "bias": ("evaluate", "direct.bias_mean"),
    "mae": ("evaluate", "direct.mae"),
    "nonfinite_px": ("evaluate", "structure.nonfinite_px"),
    "covered": ("evaluate", "coverage.covered_fraction"),
    "data_error": ("evaluate", "data.stitched_error"),
    "network_error": ("evaluate", "data.network_error"),
    "solved_pearson": ("evaluate_solution", "direct.pearson"),
    "solved_ssim": ("evaluate_solution", "direct.ssim"),
    "own": ("twin", "own"),
    "flipped": ("twin", "flipped"),
    "height_px": ("stitch", "height_px"),
    "fits_canvas": ("stitch", "fits_canvas"),
    "kept": ("stitch", "kept_fraction"),
    "epochs": ("train", "epoch"),
    "drift": ("train", "scale_drift"),
    "photon_scale": ("train", "photon_scale"),
    "train_groups": ("group_train", "groups"),
    "groups": ("group_test", "groups"),
}


def results(folder: Path) -> dict[str, Any]:
    """Return what the page is made of: of each step its command and line, and the numbers that it wrote."""
    known = record(folder)
    return {name: {**entry, **_numbers(folder / name, entry["command"])} for name, entry in known.items()}


def _numbers(folder: Path, command: str) -> dict[str, Any]:
    """Read what a command wrote: numbers of a run's stages, answers of a diagnosis, the verdict of an isolation."""
    if (folder / layout.METADATA).is_file():
        about = documents.read_table(folder / layout.METADATA)
        telemetry = {name: entry["telemetry"] for name, entry in about["stages"].items()}
        numbers = {
            name: telemetry[stage][number]
            for name, (stage, number) in NUMBERS.items()
            if number in telemetry.get(stage, {})
        }
        failed = [name for name, value in telemetry.get("gate", {}).items() if value == 0]
        return {"passed": about["passed"], "failed": failed, **numbers}
    if command.split()[1:2] == ["diagnose"]:
        files = sorted(folder.glob("*.json"))
        kept = ("answer", "numbers") if len(files) == 1 else ("answer",)
        return {"answers": {path.stem: _parts(path, kept) for path in files}}
    if (folder / ISOLATION).is_file():
        return {"isolation": _parts(folder / ISOLATION, KEPT)}
    return {}


def _parts(path: Path, keys: Iterable[str]) -> dict[str, Any]:
    """Read some parts of a JSON file."""
    values = documents.read_table(path)
    return {key: values[key] for key in keys}
