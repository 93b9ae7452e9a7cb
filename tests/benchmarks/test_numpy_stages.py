"""What the numpy stages cost, as ratios within one run: a slow machine slows both sides.

    pytest -m bench

Every test measures a stage and a bare reference workload in turn and writes both, their ratio and how the
stage grows with its size to ``benchmark.extra_info``. Budgets are asserted on ratios and on memory only.
"""

import json
import subprocess
import sys
import textwrap

import numpy as np
import oracles
import pytest
from scipy import fft
from scipy.spatial import cKDTree
from timing import best_of, in_turn, record

from ptycho.physics import coords, probes, stitching
from ptycho.scan import grouping, objects, positions

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def experiment():
    """The published object and probe, and 2048 positions."""
    probe = probes.normalize_probe(probes.idealized_probe(64)[None].astype(complex), 10.0).astype(
        np.complex64
    )
    return objects.lines_object(392, 42), positions.nongrid_positions(2048, (392, 392), 10.0, 42), probe


@pytest.mark.parametrize("noise", [False, True], ids=["expected counts", "poisson"])
def test_simulating_512_patterns_costs_a_few_bare_transforms(benchmark, experiment, noise):
    obj, where, probe = experiment
    # In double precision, as rates are computed.
    fields = np.random.default_rng(0).normal(size=(512, 64, 64)) + 0j

    def simulate(count=512):
        rng = np.random.default_rng(0) if noise else None
        return simulate.observe(obj, where[:count], probe, 1e9, rng)

    def bare():
        return fft.fft2(fields, norm="ortho", workers=-1)

    stage, reference = in_turn(simulate, bare)
    benchmark.pedantic(simulate, rounds=3)
    larger = best_of(lambda: simulate(2048))
    record(benchmark, fft_seconds=reference, ratio=stage / reference, growth_4x=larger / stage)
    assert larger / stage < 8
    if not noise:
        # Patches are cut out twice, in double precision: their energy sets the dose before any is diffracted.
        assert stage / reference <= 12


def test_grouping_100_000_positions_costs_little_more_than_its_tree(benchmark):
    where = np.random.default_rng(0).uniform(0, 5000, (100_000, 2))

    def group(count=100_000):
        return grouping.nearest_groups(where[:count], 4, 4, None, np.random.default_rng(0))

    def bare():
        return cKDTree(where).query(where, k=5, workers=-1)

    stage, reference = in_turn(group, bare, repeats=3)
    benchmark.pedantic(group, rounds=3)
    smaller = best_of(lambda: group(10_000))
    record(benchmark, tree_seconds=reference, ratio=stage / reference, growth_10x=stage / smaller)
    assert stage / reference <= 2
    assert stage / smaller < 30


def test_grouping_a_million_positions_takes_seconds(benchmark):
    where = np.random.default_rng(0).uniform(0, 16_000, (1_000_000, 2))
    groups = benchmark.pedantic(
        lambda: grouping.nearest_groups(where, 4, 4, None, np.random.default_rng(0)), rounds=1
    )
    assert groups.shape == (1_000_000, 4)
    record(benchmark, microseconds_per_group=benchmark.stats["mean"])
    assert benchmark.stats["mean"] < 30


STITCH = textwrap.dedent(
    """
    import json, sys, time
    import numpy as np
    from ptycho.physics import stitching
    def status(name):
        # Not ru_maxrss: a child inherits that from its parent, whose peak would hide ours. VmHWM starts anew.
        (line,) = [line for line in open("/proc/self/status") if line.startswith(name + ":")]
        return 1024 * int(line.split()[1])
    count, side, size = int(sys.argv[1]), int(sys.argv[2]), 64
    rng = np.random.default_rng(0)
    scan = rng.uniform(size / 2, side - size / 2, (count, 2))
    where = np.rint(scan)  # as groups are predicted
    probe = np.exp(-np.hypot(*(np.mgrid[:size, :size] - 31.5)) ** 2 / 200)[None].astype(np.complex64)
    weight = stitching.illumination(probe)
    class OnDemand:
        shape, dtype = (count, size, size), np.dtype(np.complex64)
        def __len__(self):
            return count
        def __getitem__(self, rows):
            made = len(range(count)[rows])
            return rng.normal(2, 1, (made, size, size)).astype(np.float32).astype(np.complex64)
    patches = OnDemand()
    weights = np.broadcast_to(weight, (count, size, size))
    patches[0:256]
    before = status("VmRSS")
    made = time.perf_counter()
    for start in range(0, count, 256):
        patches[start:start + 256]
    made = time.perf_counter() - made
    none = np.zeros(count)
    began = time.perf_counter()
    result = stitching.stitch(stitching.Prediction(patches, weights, where, none, none), scan, probe)
    took = time.perf_counter() - began - made
    peak = status("VmHWM")
    found = {"seconds": took, "peak_bytes": peak - before, "canvas_pixels": result.object.size}
    json.dump(found, sys.stdout)
    """
)


def stitched(count, side):
    done = subprocess.run(
        [sys.executable, "-c", STITCH, str(count), str(side)],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return json.loads(done.stdout)


@pytest.mark.slow
def test_stitching_100_000_patches_is_bounded_by_the_canvas(benchmark):
    """A process of its own, whose peak memory above the start is counted; patches come from a generator."""
    few = stitched(10_000, 2000)
    wide = stitched(10_000, 4000)
    many = benchmark.pedantic(stitched, args=(100_000, 2000), rounds=1)
    canvas = 64 * many["canvas_pixels"]  # sums, object and the FFT of the coverage: 24 + 8 + 32 bytes a pixel
    record(
        benchmark,
        seconds=many["seconds"],
        microseconds_per_patch=1e6 * many["seconds"] / 100_000,
        peak_above_start_gib=many["peak_bytes"] / 2**30,
        above_canvas_gib=(many["peak_bytes"] - canvas) / 2**30,
        growth_10x_patches=many["seconds"] / few["seconds"],
        memory_growth_10x_patches=many["peak_bytes"] / few["peak_bytes"],
        memory_growth_4x_canvas=wide["peak_bytes"] / few["peak_bytes"],
    )
    # The measurement itself: sum and weight of the canvas alone are 24 bytes a pixel.
    assert few["peak_bytes"] > 24 * few["canvas_pixels"], "the peak was not seen"
    assert many["peak_bytes"] - canvas < 2**30
    assert many["peak_bytes"] < 1.5 * few["peak_bytes"], "memory grows with the number of patches"
    assert many["seconds"] / few["seconds"] < 20


def test_cutting_and_placing_patches(benchmark):
    """Extraction and placement of 2048 patches, against copying as many slices."""
    obj = oracles.noise_object(400, 500).astype(np.complex64)
    where = oracles.scan_positions(2048, obj.shape, 64)
    corners = np.floor(where - 32).astype(int)

    def copy():
        return np.array([obj[y : y + 64, x : x + 64] for x, y in corners])

    patches = coords.extract_patches(obj, where, 64)
    weights = np.ones(patches.shape, np.float32)
    origin, shape = coords.canvas_frame(where, 64)

    def place():
        canvas = stitching.Canvas(origin, shape)
        for start in range(0, 2048, 256):
            rows = slice(start, start + 256)
            canvas.add(patches[rows], weights[rows], where[rows])

    cut, reference = in_turn(lambda: coords.extract_patches(obj, where, 64), copy)
    benchmark.pedantic(place, rounds=2)
    record(
        benchmark,
        copy_seconds=reference,
        extract_ratio=cut / reference,
        place_ratio=benchmark.stats["min"] / reference,
    )
