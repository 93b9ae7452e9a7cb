"""Frozen behaviour of the numpy stages on small asymmetric inputs.

The unit tests say what is right; these notice that something changed. Update on purpose with --force-regen.
"""

import numpy as np
import oracles
import pytest

from ptycho import coords, forward, grouping, scaling, stitching
from ptycho.config import resolve
from ptycho.simulate import objects, positions, probes
from ptycho.simulate import scan as simulated

pytestmark = pytest.mark.golden


def test_lines_object(golden_arrays):
    golden_arrays({"seed_7": objects.lines_object(48, 7)[5:21, 9:33]})


@pytest.mark.finding("PROBE-MASK-DEFAULT-001")
def test_zone_plate_probe(golden_arrays):
    golden_arrays({"probe": probes.normalize_probe(probes.zone_plate_probe(32)[None], 4.0)})


def test_idealized_probe_profile(golden_arrays):
    """A row through the disk's edge, off centre, so that it is not its own mirror image."""
    golden_arrays({"row": probes.normalize_probe(probes.idealized_probe(32)[None], 10.0)[0, 13, :21]})


def test_scan_positions(golden_arrays):
    golden_arrays({"nongrid": positions.nongrid_positions(9, (90, 140), 10.0, 42)})


@pytest.mark.finding("PTY-AT-001")
def test_far_field_of_two_modes(golden_arrays):
    obj, probe = oracles.smooth_object(41, 57), oracles.lopsided_probe(16, 2)
    patches = coords.extract_patches(obj, np.array([[17.25, 12.5], [40.0, 30.75]]), 16)
    golden_arrays({"patches": patches, "amplitude": forward.far_field_amplitude(patches, probe)})


@pytest.mark.finding("TORCH-REASSEMBLY-SIGN-001")
@pytest.mark.finding("REASSEMBLY-BATCH-001")
def test_a_stitched_group(golden_arrays):
    obj = oracles.smooth_object(41, 57).astype(np.complex64)
    where = np.array([[17.25, 12.5], [22.0, 15.75], [14.5, 20.0], [30.25, 25.5]])
    patches = coords.extract_patches(obj, where, 16)
    weights = np.broadcast_to(stitching.illumination(oracles.lopsided_probe(16)), patches.shape)
    result = stitching.stitch(
        stitching.from_arrays(patches, weights, where), where, oracles.lopsided_probe(16)
    )
    golden_arrays(
        {"object": result.object, "coverage": result.coverage, "origin_xy": np.array(result.origin_xy)}
    )


def test_groups_of_four(snapshot_json):
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
    assert drawn == snapshot_json


@pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/D4")
@pytest.mark.parametrize("gridsize", [1, 2])
def test_stage_telemetry_of_the_published_scan(ndarrays_regression, gridsize):
    """Mean energies from stage to stage and every scale between them; noise-free."""
    config = resolve(
        {}, overrides=[f"gridsize={gridsize}", "simulation.base_total_images=256", "simulation.noise=false"]
    )
    raw = simulated.simulate_scan(config)
    train = raw.take(np.argsort(raw.ycoords)[: len(raw) // 2])
    grouped = grouping.group(train, gridsize, config.grouping, n_groups=64)
    stack = grouped.diffraction()
    member_energy = np.sum(stack.astype(float) ** 2, axis=(1, 2))
    scales = scaling.measure(
        np.moveaxis(stack, -1, 1).reshape(-1, 64, 64),
        raw.probe,
        photon_scale=raw.photon_scale,
        source="recorded",
    )
    values = {
        "raw_energy": np.mean(np.sum(raw.diff3d.astype(float) ** 2, axis=(1, 2))),
        "train_energy": np.mean(np.sum(train.diff3d.astype(float) ** 2, axis=(1, 2))),
        "grouped_energy": member_energy.mean(),
        "fed_energy": scales.statistical**2 * member_energy.mean(),
        "photon_scale": raw.photon_scale,
        "statistical": scales.statistical,
        "intensity": scales.intensity,
        "photons": scales.nphotons,
        "object_unit": scales.object_unit,
        "mean_x": train.xcoords.mean(),
        "mean_y": train.ycoords.mean(),
    }
    assert all(np.isfinite(value) and value > 0 for value in values.values())
    ndarrays_regression.check(
        {name: np.array([value], float) for name, value in values.items()},
        default_tolerance={"rtol": 1e-6, "atol": 0},
    )
