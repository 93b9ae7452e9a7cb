"""Measures what `ptycho solve` and `ptycho run` say by default of right and wrong scans, for docs/scan.md.

python docs/verdicts.py solve RESULTS.jsonl     # all kinds, right and wrong, real stages; what is there already is not done again
python docs/verdicts.py run RESULTS.jsonl       # all kinds that are right, and the wrong ones of KIND
python docs/verdicts.py table RESULTS.jsonl     # the tables, and docs/images/verdicts.png: both distributions and the limit

Kinds of scans and of mistakes are those of tests/strangers.py. A verdict is right where a right scan passes and a wrong one does
not; where a wrong one passes, its object must be the truth's: the solver has mended the mistake. A reason is true where it names
the mistake.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import strangers

from ptycho.artifacts.stage import Execution
from ptycho.base.errors import PtychoError
from ptycho.runs import illumination, prepare
from ptycho.scan.raw import RawData
from ptycho.settings.request import Request, SourceFile
from ptycho.stages import pipeline

IMAGE = Path(__file__).parent / "images" / "verdicts.png"
KIND = "X-rays, zone plate"
KINDS = tuple(name for name in strangers.RIGHT if name != "little overlap")
STAGES = {f"stage, {rms:g} px": strangers.stage(rms) for rms in (1, 4, 10)}
CLOSE = 0.7
"""Distance from the truth, where it is well lit, below which an object is the truth's: noise and wrong frames leave 1 or more."""
INEXACT = ("too inexact, or not those of these patterns", "no better than their mean does")
REASONS: dict[str, tuple[str, ...]] = {
    "axes swapped": ("swap_axes", "swap_flip"),
    "x reversed": ("flip_x", "flip_y", "mirror_patterns_x", "linear="),
    "order shuffled": INEXACT,
    "10 px off": INEXACT,
    "turned by 10 degrees, 15 % too wide": ("rotate=", "linear="),
    "turned by 120 degrees": ("rotate=", "linear="),
    "too near by 30 %": ("scale_positions=", "linear="),
    "nanometres": ("another unit", "scale_positions="),
    "patterns transposed": ("transpose_patterns", "swap_axes"),
    "patterns not centred": ("shift_patterns",),
    "speckle": INEXACT,
    "noise": ("no more than photon noise",),
    "probe of a point": ("nearly a point",),
}
"""Words of which a true reason has one."""


def say(text: str) -> None:
    """Write a line at once: a measurement takes minutes."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def cases(command: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, what is wrong with it), the right ones first."""
    yield from ((kind, "") for kind in KINDS)
    for kind in KINDS if command == "solve" else [KIND]:
        yield from ((kind, name) for name in (*strangers.WRONG, *STAGES))


def measured(command: str, kind: str, wrong: str) -> dict[str, Any]:
    """Return what a command says of a scan."""
    began = time.perf_counter()
    scan = strangers.right(kind)
    change = (strangers.WRONG | STAGES)[wrong] if wrong else lambda raw: raw
    result: dict[str, Any] = {"command": command, "kind": kind, "wrong": wrong}
    try:
        result |= asked(command, kind, change(scan.raw), scan)
    except PtychoError as error:
        result |= {"passed": False, "said": [str(error)], "failed": ["refused"]}
    return result | {"seconds": round(time.perf_counter() - began, 1)}


def asked(command: str, kind: str, raw: RawData, scan: strangers.Scan) -> dict[str, Any]:
    """Run a command's rows, and return verdict, gates that fail, and everything that is said."""
    request = Request(command, data=SourceFile(f"{kind}.npz", ""))
    config = prepare.of_scan(raw, Path(f"{kind}.npz"), None, None, ())
    given, _ = illumination.solved_first(config, request, {"scan": raw}, Execution())
    until, judge = ("judge", "judge") if command == "solve" else (None, "gate")
    run = pipeline.run_pipeline(config, Execution(), given=given, until=until)
    gates = run.artifacts[judge]
    failed = [gate for gate in gates if gate.status == "fail"]
    silent = [gate.reason for gate in gates if gate.status == "not_applicable"]
    result: dict[str, Any] = {"passed": not failed, "failed": [gate.name for gate in failed]}
    result["said"] = [*(gate.reason for gate in failed), *silent, *run.notes]
    judges = "left_out" if command == "solve" else "data_consistency"
    result["place"] = next(gate.value for gate in gates if gate.name == judges)
    solved = (
        run.artifacts["solve"]
        if command == "solve"
        else SimpleNamespace(reconstruction=run.artifacts["whole"])
    )
    result["distance"] = round(strangers.distance(solved, scan), 3)
    return result


def measure(command: str, path: Path) -> None:
    """Measure every case that the results do not have."""
    known = {(row["kind"], row["wrong"]) for row in read(path) if row["command"] == command}
    for kind, wrong in cases(command):
        if (kind, wrong) in known:
            continue
        row = measured(command, kind, wrong)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        say(
            f"{command}: {kind}: {wrong or 'right'}: {'PASS' if row['passed'] else row['failed']} {row.get('place')}"
        )


def read(path: Path) -> list[dict[str, Any]]:
    """Return the results so far."""
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    )


def judged(row: dict[str, Any]) -> tuple[bool, bool]:
    """Return whether a verdict is right, and whether its reason is true."""
    if row["wrong"] == "" or row["wrong"] in STAGES:
        close = row.get("distance", 0.0) < CLOSE
        return (row["passed"], row["passed"]) if row["wrong"] == "" else (row["passed"] == close,) * 2
    if row["passed"]:
        mended = row.get("distance", 1.0) < CLOSE
        return mended, mended
    return True, any(word in line for word in REASONS[row["wrong"]] for line in row["said"])


def table(path: Path) -> None:
    """Say the tables, and draw the distributions."""
    rows = read(path)
    for command in dict.fromkeys(row["command"] for row in rows):
        some = [row for row in rows if row["command"] == command]
        say(
            f"\n| `ptycho {command} --data scan.npz` | right verdict | true reason | unexplained share |\n|---|---|---|---|"
        )
        for wrong in dict.fromkeys(row["wrong"] for row in some):
            group = [row for row in some if row["wrong"] == wrong]
            pairs = [judged(row) for row in group]
            places = sorted(row["place"] for row in group if row.get("place") is not None)
            spread = f"{places[0]:.2f} to {places[-1]:.2f}" if places else "-"
            count = len(group)
            say(
                f"| {wrong or 'right'} | {sum(p[0] for p in pairs)} of {count} | {sum(p[1] for p in pairs)} of {count} | {spread} |"
            )
        for row in some:
            if judged(row) != (True, True):
                say(
                    f"  not so: {row['kind']}, {row['wrong'] or 'right'}: {row['failed']} {row.get('distance')} {row['said'][:3]}"
                )
    draw([row for row in rows if row["command"] == "solve" and row.get("place") is not None])


def draw(rows: list[dict[str, Any]]) -> None:
    """Draw the unexplained share of left-out patterns: scans that are right, real stages, and wrong ones; and their verdicts."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    groups = {
        "right": [row for row in rows if row["wrong"] == ""],
        "real stages": [row for row in rows if row["wrong"] in STAGES],
        "wrong": [row for row in rows if row["wrong"] in strangers.WRONG],
    }
    for height, (name, group) in enumerate(groups.items()):
        for passed, marker, colour in ((True, "o", "tab:green"), (False, "x", "tab:red")):
            some = [
                (row["place"], height + 0.03 * (n % 11 - 5))
                for n, row in enumerate(group)
                if row["passed"] == passed
            ]
            axes.plot(*zip(*some, strict=True), marker, color=colour, alpha=0.7) if some else None
        axes.text(1.98, height, f"{name} ({len(group)})", ha="right", va="center")
    axes.axvline(0.5, color="k", linewidth=0.8)
    words = "unexplained share of left-out patterns; o passes all gates, x fails one; the line is the gate left_out"
    axes.set(xlim=(-0.05, 2.0), yticks=[], xlabel=words)
    figure.savefig(IMAGE, dpi=100)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("solve", "run", "table"))
    parser.add_argument("results", type=Path)
    options = parser.parse_args()
    if options.what == "table":
        table(options.results)
    else:
        measure(options.what, options.results)
