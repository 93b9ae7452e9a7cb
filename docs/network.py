"""Quality against inference time, of physics alone and of trained networks: makes docs/network.md's table and picture.

    python docs/network.py run       # trains and judges what docs/network.json lacks, one variant at a time (hours)
    python docs/network.py transfer  # uses each scenario's network on another object, another dose, another probe
    python docs/network.py time      # measures the inference of all of a scenario, on a quiet machine
    python docs/network.py solve     # solves the same patterns directly, and times it, on a quiet machine
    python docs/network.py draw      # tables and picture from docs/network.json

What was trained lies in the user's cache, so that `run` goes on where it was stopped. The measured probe is used where
PTYCHO_DATA_DIR names it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.artifacts.stage import Execution
from ptycho.base import atomic
from ptycho.evaluation import summary
from ptycho.network import bundle as bundles
from ptycho.network import group_canvas, inference
from ptycho.runs import prepare
from ptycho.scan.groups import GroupedData, PtychoDataContainer
from ptycho.settings import scenarios
from ptycho.settings.config import Config
from ptycho.settings.sections import LossConfig
from ptycho.stages import grouped, pipeline, solutions

HERE = Path(__file__).parent
ROWS, PAGE, PICTURE = HERE / "network.json", HERE / "network.md", HERE / "images" / "network.png"
SCENARIOS = ("gs1_ideal", "gs1_custom", "gs2_ideal", "gs2_custom")
UNTRAINED = ("training.epochs=1", "training.learning_rate=1e-9")
ELSEWHERE = {
    "another object": ("simulation.object_seed=7",),
    "a hundredth of the dose": ("simulation.nphotons=1e7",),
    "1e4 photons a pattern": ("simulation.nphotons=1e4",),
    "another probe": ("probe.kind=custom", "probe.scale=4", "probe.mask=false"),
}
"""Where a trained network is used without training: settings of the scan. The other probe is the built-in zone plate."""
BATCH, ROUNDS = 32, 20
SOLVED = (1, 2, 3, 5, 15, 50)
"""Passes of the direct solver."""


@dataclass(frozen=True)
class Variant:
    """A line of the table."""

    kind: str
    label: str
    settings: tuple[str, ...]
    profile: str = "stable"

    @property
    def trained(self) -> bool:
        """Whether it has to be trained: physics alone has nothing to learn."""
        return not self.kind.startswith("physics")

    def key(self, name: str) -> str:
        """Return what docs/network.json calls this line of a scenario."""
        return f"{name} | {self.kind} | {self.label}"


def variants() -> Iterator[Variant]:
    """Yield all lines of the table, cheap ones first."""
    for kind, momentum in (("physics, plain", 0), ("physics, accelerated", 0.95)):
        for count in (1, 2, 5, 10, 20, 50):
            settings = ("model.steps=0", f"model.warm_steps={count}", f"model.momentum={momentum}")
            yield Variant(kind, f"{count}", settings)
    yield Variant("network", "default", ())
    yield Variant("network", "fast", (), "stable+fast")
    for steps in (1, 2, 3, 5):
        for warm in (0, 10):
            settings = (f"model.warm_steps={warm}", f"model.steps={steps}", "model.final_steps=0")
            yield Variant("network", f"{warm} + {steps}", settings)
    yield Variant("classic network", "unet", ("model.architecture=unet",))


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("run", "transfer", "time", "solve", "draw"))
    parser.add_argument("scenarios", nargs="*", help=f"default: {' '.join(SCENARIOS)}")
    arguments = parser.parse_args()
    rows = json.loads(ROWS.read_text()) if ROWS.exists() else {}
    if arguments.what == "draw":
        draw(rows)
        return
    if arguments.what == "transfer":
        for name in arguments.scenarios or SCENARIOS[1:]:
            for place in ELSEWHERE:
                key = f"{name} | transfer | {place}"
                if key not in rows:
                    rows[key] = transferred(name, ELSEWHERE[place])
                    atomic.write_json(ROWS, rows)
                sys.stdout.write(f"{key}: {rows[key]}\n")
                sys.stdout.flush()
        return
    if arguments.what == "solve":
        for name in arguments.scenarios or SCENARIOS:
            for passes in SOLVED:
                rows[f"{name} | direct solver | {passes}"] = solved(name, passes)
        atomic.write_json(ROWS, rows)
        return
    if arguments.what == "time":
        for name in arguments.scenarios or SCENARIOS:
            for variant, spent in timed(name).items():
                rows[variant.key(name)]["ms_per_pattern"] = spent
            atomic.write_json(ROWS, rows)
        return
    for variant in variants():
        for name in arguments.scenarios or SCENARIOS:
            key = variant.key(name)
            if key not in rows:
                rows[key] = judged(name, variant)
                atomic.write_json(ROWS, rows)
            sys.stdout.write(f"{key}: {rows[key]}\n")
            sys.stdout.flush()


def configured(name: str, variant: Variant) -> Config:
    """Return the stable profile of a scenario with a variant's settings."""
    return scenarios.load_scenario(name, variant.profile, variant.settings)


def execution() -> Execution:
    """Return how all of them run: through the user's cache."""
    return prepare.execution(None, False, BATCH, None)


def untrained(config: Config) -> bundles.Bundle:
    """Return a bundle that nothing was learned for: of physics alone all there is, of a network as fast as a trained one."""
    from ptycho.network import network

    found = pipeline.run_pipeline(config, execution(), until="scale").artifacts["scale"]
    model = network.PtychoModel(
        config.model,
        LossConfig(),
        channels=config.gridsize**2,
        canvas_px=config.N,
        photon_scale=found.scales.photon_scale,
        object_unit=found.scales.object_unit,
    )
    return bundles.Bundle(
        N=config.N,
        gridsize=config.gridsize,
        model=config.model,
        weights=bundles.get_weights(model),
        probe=found.probe,
        scales=found.scales,
        trained_photon_scale=found.scales.photon_scale,
    )


def judged(name: str, variant: Variant) -> dict[str, Any]:
    """Run a variant and return what it reaches."""
    config = configured(name, variant)
    given = {} if variant.trained else {"train": untrained(config)}
    result = pipeline.run_pipeline(config, execution(), given=given, until="evaluate")
    found, bundle = result.artifacts["evaluate"], result.artifacts["train"]
    row = {
        "pearson": found.direct["pearson"],
        "ssim": found.direct["ssim"],
        "stitched_error": found.data["stitched_error"],
    }
    if variant.trained:
        row |= {"untrained_error": bundle.untrained_error, "trained_error": bundle.trained_error}
    return row


def solved(name: str, passes: int) -> dict[str, Any]:
    """Return what so many passes of the direct solver over all test patterns together reach, and the time of a pattern."""
    config = scenarios.load_scenario(name, "stable", (f"solver.passes={passes}",))
    bundle = untrained(config)
    groups = pipeline.run_pipeline(config, execution(), until="group_test").artifacts["group_test"]
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        solution = solutions.of_groups(groups, bundle, config, Execution())
        seconds.append(time.perf_counter() - began)
    scan, truth = grouped.used(groups), grouped.truth_of(groups, config)
    found = summary.evaluate(solution.reconstruction, truth, scan, bundle.probe, config.evaluation)
    return {
        "pearson": found.direct["pearson"],
        "ssim": found.direct["ssim"],
        "stitched_error": found.data["stitched_error"],
        "ms_per_pattern": 1000 * min(seconds) / len(scan),
    }


def transferred(name: str, settings: tuple[str, ...]) -> dict[str, Any]:
    """Return what a scenario's own network reaches on another scan, and what one that is trained there and none reach."""
    at_home = scenarios.load_scenario(name, "stable")
    bundle = pipeline.run_pipeline(at_home, execution(), until="train").artifacts["train"]
    row = {}
    for label, more in (("transferred", ()), ("trained there", ()), ("untrained", UNTRAINED)):
        config = scenarios.load_scenario(name, "stable", (*settings, *more))
        if any(text.startswith("probe.") for text in settings):
            config = config.model_copy(update={"probe": config.probe.model_copy(update={"file": None})})
        given: dict[str, Any] = {}
        if label == "transferred":
            scan = pipeline.run_pipeline(config, execution(), until="scan").artifacts["scan"]
            given = {"train": prepare.with_probe_of(scan, bundle, config)}
        found = pipeline.run_pipeline(config, execution(), given=given, until="evaluate")
        row[label] = {name: found.artifacts["evaluate"].direct[name] for name in ("pearson", "ssim")}
    return row


def timed(name: str) -> dict[Variant, float]:
    """Return the milliseconds of a pattern for each line of a scenario, in batches of `BATCH` groups.

    The least of `ROUNDS` rounds through all lines: a machine that is slow for a minute is slow for all of them.
    """
    groups = pipeline.run_pipeline(
        scenarios.load_scenario(name, "stable"), execution(), until="group_test"
    ).artifacts["group_test"]
    predictors = {variant: predictor(configured(name, variant), groups) for variant in variants()}
    for predict in predictors.values():
        predict()  # traces
    spent = {variant: math.inf for variant in predictors}
    for _ in range(ROUNDS):
        for variant, predict in predictors.items():
            began = time.perf_counter()
            predict()
            spent[variant] = min(spent[variant], time.perf_counter() - began)
    patterns = BATCH * groups.gridsize**2
    return {variant: 1000 * seconds / patterns for variant, seconds in spent.items()}


def predictor(config: Config, groups: GroupedData) -> Callable[[], Any]:
    """Return a function that predicts one batch of groups."""
    from ptycho.network import network

    bundle = untrained(config)
    side = group_canvas.side_px(group_canvas.reach_px([groups]), bundle.N, bundle.model.multiple)
    model = inference.build_model(bundle, side)
    batch = PtychoDataContainer(groups, bundle.scales).batch(np.arange(BATCH) % len(groups))
    inputs = network.model_inputs(batch, bundle.probe)
    return lambda: model.predict_on_batch(inputs)


def draw(rows: dict[str, dict[str, Any]]) -> None:
    """Write the table into docs/network.md, between its marks, and the picture beside it."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(11, 8), layout="constrained")
    styles = {
        "physics, plain": ("tab:gray", "o", ":"),
        "physics, accelerated": ("tab:blue", "o", "-"),
        "network": ("tab:red", "s", "none"),
        "classic network": ("tab:green", "^", "none"),
        "direct solver": ("tab:purple", "D", "--"),
    }
    lines = []
    for axes, name in zip(figure.subplots(2, 2).flat, SCENARIOS, strict=True):
        lines += ["", f"## {name}", "", "| | steps | ms a pattern | Pearson | SSIM | stitched data error |"]
        lines += ["|---|---|---|---|---|---|"]
        for kind, (colour, marker, line) in styles.items():
            some = {
                shown(name, key.split(" | ")[2]): row
                for key, row in rows.items()
                if key.startswith(f"{name} | {kind} |")
            }
            timed = {label: row for label, row in some.items() if "ms_per_pattern" in row}
            if timed:
                axes.loglog(
                    [row["ms_per_pattern"] for row in timed.values()],
                    [1 - row["pearson"] for row in timed.values()],
                    **{"color": colour, "marker": marker, "linestyle": line, "label": kind},
                )
            for label, row in timed.items():
                axes.annotate(
                    label,
                    (row["ms_per_pattern"], 1 - row["pearson"]),
                    fontsize=7,
                    xytext=(3, 3),
                    textcoords="offset points",
                )
            for label, row in some.items():
                spent = f"{row['ms_per_pattern']:.2f}" if "ms_per_pattern" in row else ""
                lines.append(
                    f"| {kind} | {label} | {spent} | {digits(row['pearson'])} | {digits(row['ssim'])} | "
                    f"{row['stitched_error']:.2g} |"
                )
        axes.set(title=name, xlabel="inference, ms a pattern", ylabel="1 - Pearson")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")
        axes.grid(alpha=0.3, which="both")
    figure.axes[1].legend(fontsize=8)
    figure.savefig(PICTURE, dpi=110)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition("<!-- table -->")
    _, _, after = rest.partition("<!-- end of table -->")
    text = "\n".join(lines)
    atomic.write_text(PAGE, f"{before}<!-- table -->\n{text}\n\n<!-- end of table -->{after}")


def shown(name: str, label: str) -> str:
    """Return a variant's label for people: of the default also what it is."""
    if label != "default":
        return label
    model = scenarios.load_scenario(name, "stable").model
    final = f" + {model.final_steps}" if model.final_steps else ""
    return f"default: {model.warm_steps} + {model.steps}{final}"


def digits(value: float) -> str:
    """Return a correlation with as many digits as tell it from 1."""
    if not math.isfinite(value):
        return "undefined"
    return f"{value:.{max(3, 2 - math.floor(math.log10(max(1 - value, 1e-6))))}f}"


if __name__ == "__main__":
    main()
