"""Frozen behaviour of the numpy stages on small asymmetric inputs.

The unit tests say what is right; these notice that something changed. Update on purpose with --force-regen.
"""

import numpy as np
import oracles
import pytest

from ptycho.evaluation import metrics
from ptycho.evaluation.frames import Comparison
from ptycho.physics import coords, forward, probes, stitching
from ptycho.physics.stitching import Reconstruction
from ptycho.scan import grouping, objects, positions
from ptycho.settings import layers
from ptycho.solve import explain
from ptycho.stages import pipeline

pytestmark = pytest.mark.golden


@pytest.mark.finding("LINES-OBJECT-DRAW-001")
def test_lines_object(golden):
    golden.check({"seed_7": objects.lines_object(48, 7)[5:21, 9:33]})


@pytest.mark.finding("PROBE-MASK-DEFAULT-001")
def test_zone_plate_probe(golden):
    golden.check({"probe": probes.normalize_probe(probes.zone_plate_probe(32)[None], 4.0)})


def test_idealized_probe_profile(golden):
    """A row through the disk's edge, off centre, so that it is not its own mirror image."""
    golden.check({"row": probes.normalize_probe(probes.idealized_probe(32)[None], 10.0)[0, 13, :21]})


def test_scan_positions(golden):
    golden.check({"nongrid": positions.nongrid_positions(9, (90, 140), 10.0, 42)})


@pytest.mark.finding("PTY-AT-001")
def test_far_field_of_two_modes(golden):
    obj, probe = oracles.smooth_object(41, 57), oracles.lopsided_probe(16, 2)
    patches = coords.extract_patches(obj, np.array([[17.25, 12.5], [40.0, 30.75]]), 16)
    golden.check({"patches": patches, "amplitude": forward.far_field_amplitude(patches, probe)})


@pytest.mark.finding("TORCH-REASSEMBLY-SIGN-001")
@pytest.mark.finding("REASSEMBLY-BATCH-001")
def test_a_stitched_group(golden):
    obj = oracles.smooth_object(41, 57).astype(np.complex64)
    where = np.array([[17.25, 12.5], [22.0, 15.75], [14.5, 20.0], [30.25, 25.5]])
    patches = coords.extract_patches(obj, where, 16)
    weights = np.broadcast_to(stitching.illumination(oracles.lopsided_probe(16)), patches.shape)
    result = stitching.stitch(
        stitching.from_arrays(patches, weights, where), where, oracles.lopsided_probe(16)
    )
    golden.check(
        {"object": result.object, "coverage": result.coverage, "origin_xy": np.array(result.origin_xy)}
    )


@pytest.mark.finding("DATA-ERROR-NULL-001")
def test_what_an_object_explains_and_down_to_which_detail(golden):
    """Of an object that is given, rough where the truth is smooth, and counts that are given: no draw, no training."""
    scan = oracles.make_scan(count=24, N=32, shape=(71, 93), seed=4)
    scale = np.sqrt(3e3 / np.square(scan.diff3d, dtype=np.float64).sum(axis=(1, 2)).mean())
    counts = np.round(np.square(scale * scan.diff3d.astype(np.float64)) + 0.3)
    scan = scan.derived(diff3d=np.sqrt(counts) / scale, photon_scale=scale)
    y, x = np.mgrid[:71, :93]
    wrong = (scan.object_guess + 0.2 * np.exp(0.7j * x * y)).astype(np.complex64)
    obj = Reconstruction(wrong, np.ones(wrong.shape, np.float32), (0, 0), 1.0, 1)
    result = explain.explained(obj, scan, scan.probe)
    mask = np.hypot((x - 46) / 40, (y - 35) / 30) < 1
    values = {name: getattr(result, name) for name in ("error", "noise", "mean_pattern", "unexplained")}
    detail = metrics.all_metrics(Comparison(wrong, scan.object_guess, mask, (0, 0)))
    golden.check(values | {name: detail[name] for name in ("frc_1_2", "frc_1_7", "frc_half_bit")})


def test_groups_of_four(golden_json):
    """The grouping's draw for a seed: another draw is another training set."""
    where = oracles.scan_positions(30, (150, 260), 32, seed=11)
    drawn = {
        f"include_seed={include}": grouping.nearest_groups(
            where, 4, 7, 6, np.random.default_rng(42), include_seed=include
        ).tolist()
        for include in (False, True)
    }
    drawn["oversampled"] = grouping.nearest_groups(
        where[:6], 4, 5, 9, np.random.default_rng(42), oversampling=True
    ).tolist()
    assert drawn == golden_json


@pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/D4")
@pytest.mark.parametrize("gridsize", [1, 2])
def test_stage_telemetry_of_the_published_scan(golden, gridsize):
    """What the stages say of themselves, from the scan to its scales; noise-free."""
    config = layers.resolve(
        {},
        overrides=[
            *(f"gridsize={gridsize}", "simulation.base_total_images=256", "simulation.noise=false"),
            "grouping.n_groups=64",
        ],
    )
    records = dict(pipeline.run_pipeline(config, until="scale").records)
    of_inspection = records.pop("inspect").telemetry
    assert of_inspection == {"frames": 256 * gridsize**2, "bad_pixels": 0, "given_bad_pixels": 0}
    golden.check(
        {
            f"{stage}.{name}": float(value)
            for stage, record in records.items()
            for name, value in record.telemetry.items()
        },
        config=config.to_dict(),
    )


@pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/D4")
def test_the_published_scales_are_those_of_the_record():
    """1e9 photons in patterns that the statistical scale brings to the energy (64/2)^2: s = 988.21."""
    config = layers.resolve({}, overrides=["simulation.base_total_images=256", "grouping.n_groups=64"])
    records = pipeline.run_pipeline(config, until="scale").records
    scales = records["scale"].telemetry
    assert scales["photon_scale"] * scales["statistical"] == pytest.approx(
        records["scan"].telemetry["photon_scale"], rel=1e-12
    )
    assert scales["photon_scale"] == pytest.approx(988.21, rel=0.05), "64 groups stand for the scan"
