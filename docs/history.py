"""What each switch of the time machine costs: makes the tables of docs/history.md.

    python docs/history.py run [SCENARIO...]   # runs what docs/history.json lacks, one at a time (half an hour a scenario)
    python docs/history.py draw                # tables from docs/history.json

The measured probe is used where PTYCHO_DATA_DIR names it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.artifacts.stage import Execution
from ptycho.base import atomic
from ptycho.findings import faults
from ptycho.settings import past
from ptycho.stages import pipeline
from ptycho.testing import fault

HERE = Path(__file__).parent
ROWS, PAGE = HERE / "history.json", HERE / "history.md"
SEEDS = range(5)
ALL = tuple(switch.name for switch in past.SWITCHES)
END = "<!-- end -->"
NUMBERS = (
    "bias",
    "mae",
    "rescaled bias",
    "rescaled mae",
    "pearson",
    "least squares",
    "phase",
    "network error",
)
"""Of a run, as :func:`measured` gives them."""


def variants() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield label and overrides: all switches on for several seeds, all but one, all off, one alone; quick ones first."""
    for seed in SEEDS:
        yield f"all on, seed {seed}", (f"seed={seed}",)
    for name in ALL:
        yield f"all but {name}", off([name])
    yield "all off", off(ALL)
    for name in ALL:
        yield f"{name} alone", off([other for other in ALL if other != name])


def off(switches: Any) -> tuple[str, ...]:
    """Return the overrides that turn switches off."""
    return tuple(f"history.{name}=false" for name in switches)


def measured(scenario: str, overrides: tuple[str, ...]) -> dict[str, float]:
    """Run a scenario and return its numbers; `phase` is the object's largest where something was placed, rad.

    *Rescaled* are those of the same object times the factor that fits it to the truth under the same metric.
    """
    on = past.switched_on(scenario, overrides)
    config = past.load(scenario, None, overrides)
    with fault.all_injected(past.bugs(on), faults.FAULTS) as names:
        execution = Execution(fault=names)
        result = pipeline.run_pipeline(config, execution)
        direct, made = result.artifacts["evaluate"].direct, result.artifacts["stitch"]
        factor = direct["least_squares_scalar"]
        scaled = {**result.artifacts, "stitch": replace(made, object=made.object * np.float32(factor))}
        del scaled["evaluate"], scaled["gate"]
        again = pipeline.run_pipeline(config, execution, given=scaled, until="evaluate")
    rescaled = again.artifacts["evaluate"].direct
    lit = np.abs(made.object) > 1e-6
    return {
        "bias": direct["bias_mean"],
        "mae": direct["mae"],
        "rescaled bias": rescaled["bias_mean"],
        "rescaled mae": rescaled["mae"],
        "pearson": direct["pearson"],
        "least squares": factor,
        "phase": float(np.abs(np.angle(made.object[lit])).max()) if lit.any() else 0.0,
        "network error": result.artifacts["evaluate"].data["network_error"],
        "passed": float(result.passed),
    }


def run(scenarios: list[str]) -> None:
    """Run whatever the record lacks; it is written after every run."""
    rows = known()
    for label, overrides in variants():
        for scenario in scenarios or past.names():
            if label in rows.setdefault(scenario, {}):
                continue
            rows[scenario][label] = measured(scenario, overrides)
            sys.stdout.write(f"{scenario} {label}: {rows[scenario][label]}\n")
            sys.stdout.flush()
            atomic.write_text(ROWS, json.dumps(rows, indent=1) + "\n")


def known() -> dict[str, dict[str, dict[str, float]]]:
    """Read the record."""
    return json.loads(ROWS.read_text(encoding="utf-8")) if ROWS.is_file() else {}


def draw() -> None:
    """Write the tables between their marks in the page."""
    text = PAGE.read_text(encoding="utf-8")
    for scenario, rows in known().items():
        for name, table in (("seeds", spread(rows)), ("switches", costs(rows))):
            before, mark, after = text.partition(f"<!-- {name} {scenario} -->\n")
            text = before + mark + table + "\n" + after[after.index(END) :] if mark else text
    atomic.write_text(PAGE, text)


def spread(rows: dict[str, dict[str, float]]) -> str:
    """Return what all switches together make: mean and least to largest over seeds."""
    some = [rows[f"all on, seed {seed}"] for seed in SEEDS if f"all on, seed {seed}" in rows]
    lines = ["| | mean | least to largest |", "|---|---|---|"]
    for name in NUMBERS:
        values = [row[name] for row in some]
        lines.append(f"| {name} | {statistics.mean(values):.3f} | {min(values):.3f} to {max(values):.3f} |")
    return "\n".join(lines)


def costs(rows: dict[str, dict[str, float]]) -> str:
    """Return each switch alone and all but it, between all off and all on."""
    shown = ("pearson", "bias", "least squares", "phase", "network error")
    lines = [f"| | {' | '.join(shown)} | gates |", "|---" * (len(shown) + 2) + "|"]
    for label in (
        "all off",
        *(f"{name} alone" for name in ALL),
        "all on, seed 0",
        *(f"all but {n}" for n in ALL),
    ):
        if label in rows:
            cells = " | ".join(f"{rows[label][name]:.3f}" for name in shown)
            lines.append(f"| {label} | {cells} | {'pass' if rows[label]['passed'] else 'fail'} |")
    return "\n".join(lines)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("run", "draw"))
    parser.add_argument("scenarios", nargs="*")
    asked = parser.parse_args()
    if asked.what == "run":
        run(asked.scenarios)
    else:
        draw()


if __name__ == "__main__":
    main()
