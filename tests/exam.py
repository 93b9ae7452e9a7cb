"""An exam for root-cause isolation: planted causes among differences that change nothing, drawn from a seed.

Each case is a good and a bad side of a small scan. What was planted is known, the isolator is told nothing. Whether a planted
change can be seen at all is asked of other seeds, by another test than the isolator's. Baselines do the same cases: delta debugging
over the differences (ddmin), bisection over the stages, and BugDoc's shortcuts (Lourenco, Freire & Shasha, SIGMOD 2020, section
4.1), all with the isolator's own experiments and its question whether a result is off.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy import ndimage, stats

from ptycho.artifacts.stage import Execution, Inputs
from ptycho.artifacts.store import Store
from ptycho.base.errors import PtychoError
from ptycho.findings import faults
from ptycho.isolate import differences, isolation, noise
from ptycho.isolate.code import Replaced
from ptycho.isolate.differences import Side
from ptycho.isolate.laboratory import NOTHING, Laboratory
from ptycho.settings import scenarios
from ptycho.settings.params import Params
from ptycho.stages import pipeline
from ptycho.testing import fault as room
from ptycho.testing.fault import Fault

BASE = (
    "N=32",
    "simulation.object_size_px=96",
    "simulation.base_total_images=64",
    "grouping.n_groups=none",
    "training.epochs=2",
    "model.warm_steps=1",
    "model.steps=1",
    "model.filters=4",
    "model.levels=1",
    "gates.max_learned_ratio=1.5",
)
DECOYS = (
    "simulation.grid.offset_px=5",
    "simulation.grid.n_objects_train=3",
    "simulation.grid.outer_offset_test_px=16",
    "training.patience=50",
    "training.clip_norm=1.5",
    "model.max_amplitude=5.0",
    "model.momentum=0.94",
    "gates.min_coverage=0.4",
    "gates.min_structure=0.008",
    "gates.min_ssim=0.5",
    "gates.scale_tolerance=0.06",
    "gates.max_unexplained=0.6",
    "gates.geometry_margin=0.8",
    "training.learning_rate=0.0009",
    "scaling.nphotons=2e9",
    "solver.passes=40",
    "solver.probe=refine",
    "seed=11",
    "grouping.seed=8",
    "inspection.keep_frames=0-3",
)
"""Differences that a person would have to look at, and that change nothing, or no more than another seed does."""
PLANTS = (
    "probe.scale=6",
    "probe.scale=14",
    "probe.scale=9",
    "probe.relative_width=0.4",
    "probe.relative_width=0.95",
    "probe.relative_width=0.65",
    "probe.mask=false",
    "probe.smoothing_sigma_px=1.5",
    "probe.smoothing_sigma_px=0.3",
    "simulation.object_seed=7",
    "simulation.seed=9",
    "simulation.base_total_images=40",
    "simulation.base_total_images=56",
    "simulation.buffer_px=22",
    "simulation.nphotons=1e4",
    "simulation.nphotons=1e5",
    "simulation.nphotons=1e7",
    "simulation.noise=false",
    "split.fraction=0.8",
    "split.fraction=0.3",
    "grouping.n_groups=20",
    "grouping.n_groups=60",
    "grouping.neighbor_count=9",
    "grouping.neighbor_count=20",
    "grouping.method=consecutive",
    "grouping.regroup_each_epoch=false",
    "scaling.photon_scale=closed_form",
    "model.warm_steps=0",
    "model.warm_steps=3",
    "model.steps=2",
    "model.final_steps=2",
    "model.max_amplitude=1.01",
    "model.trainable_photon_scale=false",
    "model.filters=8",
    "model.momentum=0.5",
    "training.epochs=1",
    "training.epochs=5",
    "training.batch_size=16",
    "training.learning_rate=0.03",
    "training.learning_rate=1e-6",
    "training.validation_fraction=0.3",
    "training.cluster_patterns=1",
    "training.loss.total_variation=0.3",
    "training.loss.nll=1.0",
    "training.loss.mae=1.0",
    "inference.n_groups=16",
    "inference.n_groups=64",
    "inference.include_seed=false",
    "evaluation.border_px=12",
    "evaluation.coverage_threshold=0.6",
    "gates.min_pearson=0.999",
    "gates.min_ssim=0.99",
    "gates.min_coverage=0.999",
    "gates.scale_tolerance=0.0001",
    "gates.max_unexplained=0.001",
)
SINGLES, DOUBLES, DATA, SAME = 40, 20, 10, 20
"""Cases of each kind, beside those of faults."""
VISIBLE, HIDDEN = 1e-5, 1e-3
"""Chance, by the exam's own seeds, below which a planted change is seen, and above which it is not; between them nobody judges."""
SEEDS = 5
"""Runs of each side by which that is asked."""


@dataclass(frozen=True)
class Case:
    """A bad side: what was planted in it, and what else differs from the good one."""

    kind: str
    planted: tuple[str, ...]
    others: tuple[str, ...] = ()
    seeds: tuple[int, int] = (0, 42)

    @property
    def name(self) -> str:
        """Its name in the results."""
        return " + ".join(
            (self.kind, *self.planted, *(("seeds",) if self.kind == "same" else ()), *map(str, self.seeds))
        )


@dataclass
class Answer:
    """What came of a case."""

    case: dict
    visible: float
    """Chance of the planted change under the exam's own seeds; 0 where a run ends in an error."""
    truth: dict
    each: dict = field(default_factory=dict)
    """Chance of each of two planted changes alone, by its name."""
    named: list = field(default_factory=list)
    stages: dict = field(default_factory=dict)
    verdict: str = ""
    experiments: int = 0
    executions: int = 0
    """Of rows, to the smallest repair."""
    all_executions: int = 0
    """Of rows, to the whole verdict: with the sets that break, and every effect both ways."""
    trainings: int = 0
    all_trainings: int = 0
    """Of these those of costly rows, which take nearly all of the time."""
    seconds: float = 0.0
    baselines: dict = field(default_factory=dict)


def cases(seed: int = 1) -> list[Case]:
    """Draw the exam of a seed."""
    rng = random.Random(seed)
    result = []
    for plant in rng.sample(PLANTS, SINGLES):
        result.append(_with_decoys(rng, "single", (plant,)))
    for _ in range(DOUBLES):
        while True:
            pair = tuple(rng.sample(PLANTS, 2))
            if len({_path(each) for each in pair}) == 2:
                break
        result.append(_with_decoys(rng, "double", pair))
    for number in range(SAME):
        decoys = _decoys(rng, ())
        result.append(Case("same", (), decoys, (100 + number, 200 + number)))
    for name in DAMAGES:
        result.append(_with_decoys(rng, "data", (name,)))
    for name in rng.sample(sorted(met()), len(met())):
        result.append(_with_decoys(rng, "fault", (name,)))
    return result


def _with_decoys(rng: random.Random, kind: str, planted: tuple[str, ...]) -> Case:
    return Case(kind, planted, _decoys(rng, planted))


def _decoys(rng: random.Random, planted: tuple[str, ...]) -> tuple[str, ...]:
    taken = {_path(each) for each in planted}
    return tuple(each for each in rng.sample(DECOYS, 8) if _path(each) not in taken)


def _path(text: str) -> str:
    return text.partition("=")[0]


# Changes of data: name -> what becomes of a scan.
def _stretched(scan):
    middle = scan.positions.mean(axis=0)
    return scan.at(middle + 1.2 * (scan.positions - middle))


def _blurred(scan):
    counts = np.square(scan.diff3d.astype(float))
    return scan.derived(diff3d=np.sqrt(ndimage.gaussian_filter(counts, (0, 1.2, 1.2))))


def _with_dark(scan):
    dark = scan.diff3d.copy()
    dark[::10] = 0
    return scan.derived(diff3d=dark)


def _with_hot(scan):
    hot = scan.diff3d.copy()
    hot[:, 5, 7] = hot.max()
    return scan.derived(diff3d=hot)


DAMAGES = {
    "data: positions stretched": _stretched,
    "data: positions shuffled": lambda scan: scan.at(np.random.default_rng(3).permutation(scan.positions)),
    "data: positions mirrored": lambda scan: scan.at(
        scan.positions * [-1, 1] + [scan.positions[:, 0].max() * 2, 0]
    ),
    "data: probe of twice the amplitude": lambda scan: scan.derived(probe=2 * scan.probe),
    "data: probe shifted": lambda scan: scan.derived(probe=np.roll(scan.probe, 4, axis=-1)),
    "data: patterns blurred": _blurred,
    "data: counts for amplitudes": lambda scan: scan.derived(diff3d=np.square(scan.diff3d)),
    "data: patterns shifted": lambda scan: scan.derived(diff3d=np.roll(scan.diff3d, 2, axis=2)),
    "data: frames dark": _with_dark,
    "data: pixel hot": _with_hot,
}
FIELDS = {"positions": "scan.positions", "probe": "scan.probe"}


def met() -> dict[str, list[str]]:
    """Return {fault of the ledger: rows in which a run of the base calls its function}; asked once, then kept."""
    path = folder() / "met.json"
    if not path.is_file():
        path.write_text(json.dumps(rows_that_call(), indent=1))
    return json.loads(path.read_text())


def rows_that_call() -> dict[str, list[str]]:
    """Run the base row by row with a counter in every fault's function; each row has what the sound rows before it made."""
    sound = pipeline.run_pipeline(config(()), execution(), until=pipeline.verdict_row().name)
    rows = {fault.target: [] for fault in faults.FAULTS}
    with contextlib.ExitStack() as stack:
        counters = {
            target: stack.enter_context(
                room.injected(Fault("exam", "counted", target, lambda original: original))
            )
            for target in rows
        }
        for name in sound.records:
            stage = pipeline.stage_named(name)
            for calls in counters.values():
                calls.count = 0
            inputs = {each: sound.artifacts[each] for each in stage.inputs}
            stage.run(Inputs(name, stage.inputs, inputs), Params(config(()), stage.reads, name), Execution())
            for target, calls in counters.items():
                if calls.count:
                    rows[target].append(name)
    return {fault.id: rows[fault.target] for fault in faults.FAULTS if rows[fault.target]}


def folder() -> Path:
    """Where results accumulate."""
    path = Path(os.environ.get("PTYCHO_ISOLATION", Path(__file__).parents[1] / ".isolation"))
    path.mkdir(parents=True, exist_ok=True)
    return path


def execution() -> Execution:
    """How every run of the exam is executed: all share what they have in common."""
    return Execution(cache=Store(folder() / "store"))


def config(overrides, seeds=(0, 42)):
    """The config of a side."""
    own = (f"seed={seeds[0]}", f"grouping.seed={seeds[1]}")
    named = {_path(each) for each in overrides}
    return scenarios.load_scenario(
        "gs2_ideal", None, (*BASE, *(each for each in own if _path(each) not in named), *overrides)
    )


def sides(case: Case, seed_step: int = 0, planted_alone: bool = False) -> tuple[Side, Side]:
    """Return the good and the bad side of a case, with seeds that are other ones by a step."""
    others = () if planted_alone else case.others
    parameters = case.planted if case.kind in ("single", "double") else ()
    good_seeds = (seed_step, 42 + seed_step)
    bad_seeds = tuple(each + seed_step for each in case.seeds)
    good, bad = config((), good_seeds), config((*parameters, *others), bad_seeds)
    code = ()
    given_good, given_bad = {}, {}
    if case.kind == "fault":
        fault = room.named(case.planted[0], faults.FAULTS)
        code = (Replaced(fault.target, fault.id, lambda: room.injected(fault)),)
    if case.kind == "data":
        # One scan whatever the seeds are: a user has one, too.
        scan = pipeline.run_pipeline(config(()), execution(), until="scan").artifacts["scan"]
        given_good, given_bad = {"scan": scan}, {"scan": DAMAGES[case.planted[0]](scan)}
    return Side("good", good, given_good), Side("bad", bad, given_bad, code)


def chance(case: Case) -> float:
    """Return the chance that other seeds explain what was planted, by Welch's test over seeds that the isolator never sees."""
    if case.kind == "same":
        return 1.0
    samples = {"good": [], "bad": []}
    for number in range(SEEDS):
        good, bad = sides(case, 7000 + 13 * number, planted_alone=True)
        comparison = differences.between(good, bad)
        laboratory = Laboratory(good, bad, comparison, execution())
        for name, taken in (("good", NOTHING), ("bad", frozenset(comparison.differences))):
            outcome = laboratory.outcome(taken)
            if outcome.error:
                return 0.0
            if (
                name == "bad"
                and set(outcome.failed) != set(laboratory.outcome(NOTHING).failed)
                and case.planted[0].startswith("gates.")
            ):
                return 0.0
            samples[name].append(outcome.values)
    names = [name for name in samples["good"][0] if all(name in each for each in samples["bad"])]
    least = 1.0
    for name in names:
        good, bad = (np.array([each[name] for each in samples[side]]) for side in ("good", "bad"))
        if np.isfinite(good).all() != np.isfinite(bad).all():
            return 0.0
        if not np.isfinite(good).all():
            continue
        spread, apart = max(good.std(), bad.std()), abs(good.mean() - bad.mean())
        if spread <= 1e-6 * abs(good.mean()) + 1e-12:
            least = min(least, 0.0 if apart > 1e-6 * abs(good.mean()) + 1e-12 else 1.0)
        else:
            least = min(least, float(stats.ttest_ind(good, bad, equal_var=False).pvalue))
    return least


def answer(case: Case, baselines: bool = False) -> Answer:
    """Let the isolator answer a case, with the work of its search apart: what GOOD is under other seeds is free for everybody."""
    good, bad = sides(case)
    began = time.perf_counter()
    comparison = differences.between(good, bad)
    laboratory = Laboratory(good, bad, comparison, execution())
    steps = isolation._Steps(laboratory, lambda _: "", gates=False)
    steps.noise.ask(noise.MOST)
    steps.sides()
    known = set(laboratory.keys)
    steps.judges()
    steps.rows()
    steps.repair()
    searched = worked(laboratory.keys - known)
    for step in (steps.blindness, steps.breaks, steps.effects, steps.flaky):
        step()
    verdict, seconds = steps.verdict, time.perf_counter() - began
    named = [each.difference.name for each in verdict.causes] + [each.name for each in verdict.judges]
    stages = {each.difference.name: each.stage for each in verdict.causes}
    stages |= {each.name: steps.stage_of(each, laboratory.outcome({each})) for each in verdict.judges}
    result = Answer(asdict(case), chance(case), expected(case))
    result.named, result.stages, result.verdict = named, stages, verdict.sentence
    if case.kind == "double":
        result.each = {_path(each): chance(replace(case, planted=(each,))) for each in case.planted}
    result.experiments, result.seconds = laboratory.experiments, seconds
    result.executions, result.trainings = searched
    result.all_executions, result.all_trainings = worked(laboratory.keys - known)
    if baselines and named:
        result.baselines = {name: by(good, bad) for name, by in BASELINES.items()}
    return result


def worked(keys: set[str]) -> tuple[int, int]:
    """Return how many executions of rows some keys stand for, and how many of costly ones."""
    costly = {row.name for row in pipeline.STAGES if row.costly}
    return len(keys), sum(key.partition(":")[0] in costly for key in keys)


def expected(case: Case) -> dict:
    """Return {name of a difference: stages that are right} of what was planted."""
    if case.kind == "same":
        return {}
    if case.kind == "fault":
        fault = room.named(case.planted[0], faults.FAULTS)
        return {fault.target: met()[fault.id]}
    if case.kind == "data":
        what = case.planted[0].removeprefix("data: ").split()[0]
        return {FIELDS.get(what, "scan.patterns"): ["scan"]}
    rows = pipeline.needed_stages({}, pipeline.verdict_row().name)
    return {_path(each): list(differences.readers(_path(each), rows)) for each in case.planted}


# Baselines: the same experiments, the same question, another search.
def _asked(good, bad):
    comparison = differences.between(good, bad)
    laboratory = Laboratory(good, bad, comparison, execution())
    seeds = noise.Noise(laboratory, good, bad, comparison)
    seeds.ask(noise.MOST)
    laboratory.outcome(comparison.differences)
    known = set(laboratory.keys)
    return comparison, laboratory, seeds, known


def _work(laboratory, known):
    executions, trainings = worked(laboratory.keys - known)
    return {"executions": executions, "trainings": trainings}


def ddmin(good: Side, bad: Side) -> dict:
    """Zeller's ddmin over all differences: a smallest set that shows."""
    comparison, laboratory, seeds, known = _asked(good, bad)
    asked = 0

    def shows(some):
        nonlocal asked
        asked += 1
        outcome = laboratory.outcome(some)
        return outcome.failed != laboratory.outcome(NOTHING).failed or bool(seeds.visible(frozenset(some)))

    items, parts = list(comparison.differences), 2
    while len(items) > 1:
        size = max(1, len(items) // parts)
        chunks = [items[start : start + size] for start in range(0, len(items), size)]
        rests = [[each for each in items if each not in chunk] for chunk in chunks]
        smaller = next((chunk for chunk in chunks if shows(chunk)), None)
        if smaller is not None:
            items, parts = smaller, 2
            continue
        rest = next((rest for rest in rests if rest and shows(rest)), None)
        if rest is not None:
            items, parts = rest, max(parts - 1, 2)
        elif parts >= len(items):
            break
        else:
            parts = min(len(items), 2 * parts)
    return {
        "tests": asked,
        **_work(laboratory, known),
        "named": sorted(each.name for each in items),
    }


def one_by_one(good: Side, bad: Side) -> dict:
    """BugDoc's shortcut: replace one value after the other of BAD by GOOD's, and keep it replaced where BAD stays bad."""
    comparison, laboratory, seeds, known = _asked(good, bad)
    asked, taken = 0, list(comparison.differences)
    for each in list(taken):
        fewer = frozenset(taken) - {each}
        asked += 1
        outcome = laboratory.outcome(fewer)
        if fewer and (outcome.failed != laboratory.outcome(NOTHING).failed or seeds.visible(fewer)):
            taken.remove(each)
    return {
        "tests": asked,
        **_work(laboratory, known),
        "named": sorted(each.name for each in taken),
    }


def bisection(good: Side, bad: Side) -> dict:
    """Bisection over the rows: the first row up to which everything of BAD's shows. It names a row, and what differs there."""
    comparison, laboratory, seeds, known = _asked(good, bad)
    order = [row.name for row in pipeline.STAGES]
    rows = [name for name in order if any(each.rows[0] == name for each in comparison.differences)]
    low, high, asked = 0, len(rows), 0
    while low < high:
        middle = (low + high) // 2
        some = frozenset(each for each in comparison.differences if each.rows[0] in rows[: middle + 1])
        asked += 1
        outcome = laboratory.outcome(some)
        if outcome.failed != laboratory.outcome(NOTHING).failed or seeds.visible(some):
            high = middle
        else:
            low = middle + 1
    named = (
        []
        if low == len(rows)
        else sorted(each.name for each in comparison.differences if each.rows[0] == rows[low])
    )
    return {"tests": asked, **_work(laboratory, known), "named": named}


BASELINES = {"ddmin": ddmin, "bugdoc shortcut": one_by_one, "bisection": bisection}


def take(seed: int = 1, seconds: float = 840.0, kinds: tuple[str, ...] = ()) -> Path:
    """Answer the cases of a seed that are not answered yet, for so long; return the file of the results."""
    path = folder() / f"results-{seed}.jsonl"
    path.touch()
    done = {json.loads(line)["name"] for line in path.read_text().splitlines()}
    began = time.perf_counter()
    for case in cases(seed):
        if case.name in done or (kinds and case.kind not in kinds):
            continue
        if time.perf_counter() - began > seconds:
            break
        try:
            row = asdict(answer(case, baselines=case.kind in ("single", "double")))
        except PtychoError as error:
            row = {"case": asdict(case), "refused": str(error)}
        with path.open("a") as file:
            file.write(json.dumps({"name": case.name, **row}) + "\n")
    return path


def judged(row: dict) -> dict:
    """Say of a result whether its effect was seen, and whether set and stage are right.

    The right set is what must be repaired: of two planted changes those that show by the exam's own seeds.
    """
    visible = row["visible"] < VISIBLE
    hidden = row["visible"] > HIDDEN
    each = row.get("each") or {name: row["visible"] for name in row["truth"]}
    needed = {name for name, value in each.items() if value < VISIBLE}
    unsure = any(VISIBLE <= value <= HIDDEN for value in each.values())
    # Of two that show only together either is a repair; where nobody knows whether one shows, nobody judges the set.
    either = len(row["named"]) == 1 and set(row["named"]) <= set(row["truth"])
    right_set = set(row["named"]) == needed if needed else either
    right_stage = bool(row["named"]) and all(
        row["stages"].get(name) in rows for name, rows in row["truth"].items() if name in row["named"]
    )
    right_stage = right_stage and bool(set(row["named"]) & set(row["truth"]))
    return {
        "visible": visible,
        "hidden": hidden,
        "set": right_set,
        "unsure": unsure,
        "stage": right_stage,
        "silent": not row["named"],
    }


if __name__ == "__main__":
    import sys

    take(int(sys.argv[1]), float(sys.argv[2]), tuple(sys.argv[3:]))
