"""Timing one thing against another within one run: a slow machine slows both sides."""

import gc
import time


def best_of(function, repeats=3):
    """Shortest of some runs, in seconds: what the machine can do when nobody interferes."""
    times = []
    for _ in range(repeats):
        gc.collect()
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)


def in_turn(stage, reference, repeats=5):
    """Shortest times of two functions whose runs alternate, so that a disturbance meets both."""
    pairs = [(best_of(stage, 1), best_of(reference, 1)) for _ in range(repeats)]
    return min(a for a, _ in pairs), min(b for _, b in pairs)


def record(benchmark, **values):
    benchmark.extra_info.update({key: float(f"{value:.4g}") for key, value in values.items()})
