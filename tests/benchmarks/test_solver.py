"""What the direct solver costs: a pass against its bare Fourier transforms, and the way to a result against pty-chi's.

pytest -m bench tests/benchmarks/test_solver.py
"""

import importlib.util

import numpy as np
import pytest
from scipy import fft
from timing import best_of, in_turn, record

from ptycho.evaluation import frames, metrics
from ptycho.settings import scenarios
from ptycho.settings.sections import SolverConfig
from ptycho.solve import engine, engines, ptychi
from ptycho.stages import pipeline

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def raw():
    """512 patterns of gs1_ideal."""
    config = scenarios.load_scenario("gs1_ideal", None, ("simulation.base_total_images=512",))
    return pipeline.run_pipeline(config, until="scan").artifacts["scan"]


def pearson(found, raw):
    return metrics.all_metrics(frames.compare_frames(found.reconstruction, raw.object_guess, 0.1, 2))[
        "pearson"
    ]


@pytest.mark.parametrize("random_passes", [0, 8], ids=["whole scan", "random batches"])
def test_a_pass_costs_a_few_of_its_transforms(benchmark, raw, random_passes):
    """There and back for each pattern and mode; the goal is 3."""
    fields = (np.random.default_rng(0).normal(size=raw.diff3d.shape) + 0j).astype(np.complex64)

    def bare():
        for start in range(0, len(fields), 32):
            fft.ifft2(
                fft.fft2(fields[start : start + 32], norm="ortho", workers=-1), norm="ortho", workers=-1
            )

    def passes(count):
        return engine.solve(raw, SolverConfig(passes=count, random_passes=random_passes))

    few, many = best_of(lambda: passes(2)), best_of(lambda: passes(8))
    one = (many - few) / 6
    _, reference = in_turn(lambda: None, bare)
    benchmark.pedantic(lambda: passes(2), rounds=2)
    record(benchmark, pass_seconds=one, fft_seconds=reference, ratio=one / reference)
    assert one / reference < 6


@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in engines.ENGINES["ptychi"].libraries),
    reason="pty-chi is not installed: tox -e ptychi",
)
@pytest.mark.parametrize("method", ["RPIE", "LSQML"])
def test_it_reaches_what_ptychi_reaches_sooner(benchmark, raw, method, monkeypatch):
    """The goal is three times as fast."""
    monkeypatch.setattr(ptychi, "METHOD", method)
    theirs = ptychi.solve(raw, SolverConfig(engine="ptychi", passes=15, damping=0.1))
    wanted = pearson(theirs, raw)
    passes = next(
        n for n in range(1, 16) if pearson(engine.solve(raw, SolverConfig(passes=n)), raw) >= wanted
    )
    ours_s, theirs_s = in_turn(
        lambda: engine.solve(raw, SolverConfig(passes=passes)),
        lambda: ptychi.solve(raw, SolverConfig(engine="ptychi", passes=15, damping=0.1)),
        repeats=2,
    )
    benchmark.pedantic(lambda: engine.solve(raw, SolverConfig(passes=passes)), rounds=2)
    record(
        benchmark,
        pearson=wanted,
        passes=passes,
        seconds=ours_s,
        ptychi_seconds=theirs_s,
        ratio=theirs_s / ours_s,
    )
    assert theirs_s > 3 * ours_s
