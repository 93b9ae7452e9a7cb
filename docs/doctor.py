"""What `ptycho doctor` says of scans that are right, and of those with planted damage; prints the table of docs/doctor.md.

    PYTHONPATH=tests python docs/doctor.py [SEEDS]

Results go to docs/doctor.json case by case, so that an interrupted run goes on.
"""

import json
import sys
from pathlib import Path

import damaged
import numpy as np
import strangers

from ptycho.base import atomic
from ptycho.base.errors import DataContractError
from ptycho.diagnose import doctor
from ptycho.scan import geometry

RESULTS = Path(__file__).with_suffix(".json")
SCANS = ("X-rays, zone plate", "laser, pinhole", "particle")


def of_frames(name, strength=1):
    """Damage frames or pixels, in the middle of the strengths."""
    return lambda raw, rng: damaged.DAMAGE[name].do(raw, strength, rng)[0]


def corrected(name):
    """Apply a correction of the geometry where none is needed."""
    return lambda raw, rng: geometry.correct(raw, name)


def moved(change):
    """Change the positions."""
    return lambda raw, rng: raw.at(change(raw.positions.copy(), rng))


def some_same(positions, rng):
    """Read five positions twice."""
    rows = rng.choice(np.arange(1, len(positions)), 5, replace=False)
    positions[rows] = positions[rows - 1]
    return positions


def strays(positions, rng):
    """Put three positions far from all others."""
    rows = rng.choice(len(positions), 3, replace=False)
    positions[rows] += np.array([400.0, 300.0]) * np.arange(1, 4)[:, None]
    return positions


def first_line(raw, rng):
    """Leave the first line of the raster alone."""
    return raw.take(np.arange(14))


def half_a_probe(raw, rng):
    """Lose half of the probe."""
    probe = raw.probe.copy()
    probe[:, :, : raw.N // 2] = 0
    return raw.derived(probe=probe)


PLANTED = {
    "dark frames": (of_frames("dark frames"), "frames without light"),
    "a row of dark frames": (of_frames("dark rows"), "frames without light"),
    "flashes": (of_frames("flashes"), "flashes"),
    "repeated frames": (of_frames("repeated frames"), "repeated frames"),
    "shifted frames": (of_frames("shifted frames", 2), "shifted frames"),
    "saturation": (of_frames("saturation"), "saturation"),
    "hot pixels": (of_frames("hot pixels"), "hot pixels"),
    "dead pixels": (of_frames("dead pixels"), "dead pixels"),
    "a gap of the detector": (of_frames("gaps"), "gaps of the detector"),
    "overflow": (of_frames("overflow"), "overflow"),
    "patterns off the centre": (of_frames("beam centre"), "zero frequency"),
    "counts for amplitudes": (of_frames("counts for amplitudes"), "counts or amplitudes"),
    "roots for amplitudes": (of_frames("roots for amplitudes"), "counts or amplitudes"),
    "axes swapped": (corrected("swap_axes"), "orientation of positions"),
    "x flipped": (corrected("flip_x"), "orientation of positions"),
    "patterns transposed": (corrected("transpose_patterns"), "orientation of positions"),
    "zero frequency in the corner": (corrected("shift_patterns"), "orientation of positions"),
    "turned by 30 degrees": (
        moved(lambda p, rng: (p - p.mean(0)) @ geometry.turn(30).T + p.mean(0)),
        "orientation of positions",
    ),
    "positions shuffled": (moved(lambda p, rng: rng.permutation(p)), "orientation of positions"),
    "positions read twice": (moved(some_same), "positions"),
    "strays": (moved(strays), "positions"),
    "one line": (first_line, "extent of the scan"),
    "half a probe": (half_a_probe, "extent of the scan"),
    "units of another scale": (moved(lambda p, rng: 20 * p), "overlap"),
}
"""What is planted, and the check that must name it; where the whole file is refused, its words count."""


def case(scan, name, seed):
    """Say what the doctor says: the checks that do not pass."""
    raw = strangers.right(scan, seed).raw
    if name:
        raw = PLANTED[name][0](raw, np.random.default_rng(seed))
    try:
        examined = doctor.examine(raw)
    except DataContractError as error:
        examined = doctor.refused(str(error))
    return {
        check.name: [check.status, check.words, check.remedy]
        for check in examined.checks
        if check.status != "passed"
    }


def main(seeds):
    """Ask every case that was not asked yet."""
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for seed in range(1, seeds + 1):
        for scan in SCANS:
            for name in ("", *PLANTED):
                key = f"{scan} | {name} | {seed}"
                if key not in results:
                    results[key] = case(scan, name, seed)
                    atomic.write_json(RESULTS, results)
    return results


def named(name, checks):
    """Whether what was planted is named: its check does not pass, or the file is refused for it."""
    wanted = PLANTED[name][1]
    # Patterns that lie off, or values that are none, are told by any of the checks that can see it.
    return wanted in checks or "file" in checks


def table(results):
    """Return lines of Markdown: how often what was planted is named, and what fails besides."""
    lines = ["| planted | named | fails besides |", "|---|---|---|"]
    right = [checks for key, checks in results.items() if not key.split(" | ")[1]]
    failed = sum(any(each[0] == "failed" for each in checks.values()) for checks in right)
    lines.append(f"| nothing | | {failed} of {len(right)} |")
    for name, (_, wanted) in PLANTED.items():
        chosen = [checks for key, checks in results.items() if key.split(" | ")[1] == name]
        hit = sum(named(name, checks) for checks in chosen)
        others = sum(
            any(each[0] == "failed" and what not in (wanted, "file") for what, each in checks.items())
            for checks in chosen
        )
        lines.append(f"| {name} | {hit} of {len(chosen)} | {others} |")
    return lines


if __name__ == "__main__":
    sys.stdout.write("\n".join(table(main(int(sys.argv[1]) if sys.argv[1:] else 2))) + "\n")
