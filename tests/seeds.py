"""Small trainings of many seeds and doses, none of which may end in a value that is no number.

    python tests/seeds.py SECONDS     # goes on where the last call ended; result in .fuzz (or $PTYCHO_FUZZ)

A seed says everything: the scenario, the architecture, and the photons of a pattern, between 1e3 and 1e9.
"""

from __future__ import annotations

import json
import math
import sys
import time
from typing import Any

import hostile
import numpy as np

from ptycho.artifacts.stage import Execution
from ptycho.base.errors import PtychoError
from ptycho.settings import scenarios
from ptycho.stages import pipeline

SCENARIOS = ("gs1_ideal", "gs1_custom", "gs2_ideal", "gs2_custom")
ARCHITECTURES = ("unrolled", "unet")
SMALL = (
    *("N=32", "simulation.object_size_px=96", "simulation.base_total_images=64", "grouping.n_groups=none"),
    *("training.epochs=4", "model.filters=4", "model.levels=1", "model.warm_steps=4", "model.steps=2"),
)
GOLDEN = (math.sqrt(5) - 1) / 2


def overrides_of(seed: int) -> tuple[str, tuple[str, ...]]:
    """Return the scenario of a seed, and its settings; the doses of any number of seeds spread evenly over six decades."""
    photons = 10 ** (3 + 6 * (seed * GOLDEN % 1))
    name = SCENARIOS[seed % len(SCENARIOS)]
    architecture = ARCHITECTURES[seed // len(SCENARIOS) % len(ARCHITECTURES)]
    sets = (f"seed={seed}", f"simulation.nphotons={photons:.6g}", f"model.architecture={architecture}")
    return name, (*SMALL, *sets)


def tried(seed: int) -> dict[str, Any]:
    """Train, and return what is no number: in the object, the weights' history and the measures."""
    name, overrides = overrides_of(seed)
    config = scenarios.load_scenario(name, "stable", overrides)
    line: dict[str, Any] = {
        "seed": seed,
        "scenario": name,
        "architecture": config.model.architecture,
        "photons": config.simulation.nphotons,
    }
    try:
        result = pipeline.run_pipeline(config, Execution())
    except PtychoError as error:
        return {**line, "broken": [f"{type(error).__name__}: {error}"]}
    object_ = result.artifacts["stitch"]
    losses = [value for row in result.artifacts["train"].history for value in row.values()]
    broken = []
    if object_.n_nonfinite or not np.isfinite(object_.object).all():
        broken.append(f"{object_.n_nonfinite} pixels of the object are no numbers")
    if not object_.fits_canvas:
        broken.append("does not fit its canvas")
    if not np.isfinite([value for value in losses if isinstance(value, float)]).all():
        broken.append("a loss is no number")
    return {**line, "error": result.artifacts["evaluate"].data["stitched_error"], "broken": broken}


def take(seconds: float) -> list[dict[str, Any]]:
    """Try further seeds, for so long; return those that broke something."""
    file, until = hostile.folder() / "seeds.jsonl", time.perf_counter() + seconds
    first = max((line["seed"] for line in hostile.written(file)), default=-1) + 1
    wrong, seed = [], first
    while time.perf_counter() < until:
        line = tried(seed)
        with file.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        wrong += [line] if line["broken"] else []
        seed += 1
    return wrong


if __name__ == "__main__":
    for line in take(float(sys.argv[1])):
        print(line)
