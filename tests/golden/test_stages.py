"""The stages before training, of all scenarios, in the order in which they run: a failure names the first that diverges."""

from dataclasses import replace

import numpy as np
import pytest

from ptycho.physics import coords
from ptycho.scan import objects, positions
from ptycho.scan import simulate as simulation
from ptycho.scan.inspection import Inspection
from ptycho.scan.raw import RawData
from ptycho.settings import scenarios
from ptycho.stages import pipeline
from ptycho.testing.golden import pins

pytestmark = pytest.mark.golden

NAMES = ("gs1_ideal", "gs1_custom", "gs2_ideal", "gs2_custom", "dose_experiments", "dose_legacy_gs2")
SMALL = {name: ("simulation.base_total_images=64", "grouping.n_groups=24") for name in NAMES}
SMALL["dose_experiments"] = (
    *("simulation.object_size_px=128", "simulation.grid.outer_offset_train_px=32"),
    *("simulation.grid.n_objects_train=1", "simulation.grid.n_objects_test=1"),
)


def member_positions(groups):
    """(B C, 2) [x, y] of all members of all groups."""
    return np.moveaxis(groups.coords_nn[:, 0], 1, 2).reshape(-1, 2)


@pytest.mark.parametrize("name", NAMES)
def test_every_stage_before_training(golden, name):
    """A small scan of each scenario: positions, patterns, split, groups, scales, the probe that is used."""
    config = scenarios.load_scenario(name, None, SMALL[name])
    result = pipeline.run_pipeline(config, until="scale")
    scan, groups = result.artifacts["scan"], result.artifacts["group_train"]
    values = {}
    whole = {"frames": len(scan), "bad_pixels": 0, "given_bad_pixels": 0}
    assert result.records["inspect"].telemetry == whole  # it hands the scan on, and all of it
    for stage, artifact in result.artifacts.items():
        if stage == "inspect":
            continue
        values |= dict(pins.pins_of(artifact, stage))
        values |= {f"{stage}: {what}": float(v) for what, v in result.records[stage].telemetry.items()}
    origin, shape = coords.canvas_frame(member_positions(groups), config.N)
    values |= {
        "group_train.coords_offsets": groups.coords_offsets[:, 0, :, 0],
        "canvas": np.array([*origin, *shape]),
    }
    # The split hands the scan on; and where every pattern belongs to one scan, the index is zero throughout.
    idle = {key for key in values if key.startswith("split.scan.")}
    idle |= {key for key, value in values.items() if key.endswith("scan_index") and not np.any(value)}
    values = {key: value for key, value in values.items() if key not in idle}
    of_patterns = [
        key for key in values if key.startswith("scan.") and np.shape(values[key])[:1] == (len(scan),)
    ]
    golden.check(
        values,
        positions=dict.fromkeys(of_patterns, scan.positions),
        config=config.to_dict(),
        seed=config.simulation.seed,
        reason="what the stages before training make of a small scan",
    )


BRIEFLY = (
    *("simulation.noise=false", "training.epochs=2", "model.trainable_photon_scale=false", "model.filters=8"),
    *("simulation.base_total_images=48", "grouping.n_groups=16", "inference.n_groups=16"),
)
TRAINED = {
    "gs1_ideal": ("training.learning_rate=2e-4",),
    "gs1_custom": ("training.learning_rate=2e-4",),
    "gs2_ideal": ("training.learning_rate=2e-4", "simulation.base_total_images=64"),
    "gs2_custom": ("model.warm_steps=4",),
}
"""Without photon noise, of which another rounding of the rates would draw another one. What training adds to a photon scale
within two epochs is no more than what rounding adds: `test_one_training_step` has that."""
SMALL_NUMBERS = ("bias_", "shift_")
"""Parts of names of differences that nearly cancel: their noise is a share of what cancels."""
BY_LOOPS = ("photon_noise", "mean_pattern", "unexplained", "frc_half_bit")
"""Parts of names of numbers of which test_arrays.py has a golden, of an object that is given: no training is needed to pin them."""


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_every_stage_from_training_on(golden, name):
    """A small scan of the scenario, trained for two epochs, reconstructed, stitched, and judged."""
    config = scenarios.load_scenario(name, "stable", (*BRIEFLY, *TRAINED[name]))
    given = {"scan": with_a_phase(config)} if name.endswith("ideal") else {}
    result = pipeline.run_pipeline(config, given=given)
    values = {}
    for stage in ("train", "infer", "stitch", "twin", "evaluate", "gate"):
        values |= dict(large_ones(stage, result.artifacts[stage]))
        # What a network computes has the noise of single precision: in double, a fault of its rounding is told by chance.
        told = result.records[stage].telemetry.items()
        # The gate of the inspection knows whether something is wrong, and no number.
        values |= {f"{stage}: {what}": np.float32(v) for what, v in told if what != "inspection"}
    golden.check(
        {
            key: v
            for key, v in values.items()
            if np.isfinite(v).all() and not any(s in key for s in (*SMALL_NUMBERS, *BY_LOOPS))
        },
        over="framework",
        config=config.to_dict(),
        seed=config.seed,
        reason="what training and the stages after it make of a small scan",
    )


def with_a_phase(config):
    """Return the scan of an object with a phase: real ones under a real probe leave the imaginary part to rounding."""
    raw = simulation.simulate_scan(config)
    drawn = objects.lines_object(config.simulation.object_size_px, config.simulation.object_seed + 1).real
    obj = (raw.object_guess * np.exp(1j * 0.4 * (drawn - drawn.mean()))).astype(np.complex64)
    amplitudes, photon_scale = simulation.observe(
        obj, raw.positions, raw.probe, config.simulation.nphotons, None
    )
    return replace(raw, diff3d=amplitudes, object_guess=obj, photon_scale=photon_scale)


def large_ones(stage, artifact):
    """What telemetry does not tell: probe, course of a training, patches, the object by blocks and in a piece."""
    if stage == "train":
        yield "train.probe", pins.projection(artifact.probe)
        for term in ("loss", "val_error"):
            yield f"train.{term}", np.array([row[term] for row in artifact.history if term in row])
        yield "train.step_sizes", artifact.weights["network/step_sizes"]
    if stage == "infer":
        yield "infer.patches", pins.projection(artifact.patches)
    if stage == "stitch":
        yield "stitch.object.piece", pins.crop(artifact.object)
        yield "stitch.object.blocks", pins.blocks(artifact.object, 24)
        yield "stitch.coverage.blocks", pins.blocks(artifact.coverage, 24)


@pytest.mark.parametrize("gridsize", [1, 2])
def test_the_groups_of_the_whole_published_scan(golden, gridsize):
    """1000 groups in either half; statistics of their places and of their members about them; the canvas that they need."""
    where = positions.nongrid_positions(2000 * gridsize**2, (392, 392), 10.0, 42)
    blank = np.ones((len(where), 32, 32), np.float32)
    raw = RawData(where[:, 0], where[:, 1], blank, np.ones((1, 32, 32), np.complex64))
    config = scenarios.load_scenario(f"gs{gridsize}_ideal", None, ("N=32",))
    values = {}
    for stage in ("group_train", "group_test"):
        given = {
            "inspect": Inspection(raw, np.arange(len(raw)))
        }  # patterns that are all the same are no scan's
        groups = pipeline.run_pipeline(config, given=given, until=stage).artifacts[stage]
        values[f"{stage}.groups"] = len(groups)
        values[f"{stage}.indices"] = np.array([groups.nn_indices.min(), groups.nn_indices.max()])
        values[f"{stage}.nn_indices"] = pins.projection(groups.nn_indices.T)
        values |= statistics(f"{stage}.offsets", groups.coords_offsets[:, 0, :, 0])
        if gridsize > 1:  # a group of one has no members about it
            values |= statistics(
                f"{stage}.relative", np.moveaxis(groups.coords_relative[:, 0], 1, 2).reshape(-1, 2)
            )
        values[f"{stage}.canvas"] = np.array(coords.canvas_frame(member_positions(groups), 64))
    golden.check(values, seed=42, reason="grouping of the published scans")


def statistics(name, values):
    """Least, largest, mean and standard deviation along x and along y."""
    return {
        f"{name}.{axis}": np.array([column.min(), column.max(), column.mean(), column.std()])
        for axis, column in zip("xy", values.T, strict=True)
    }
