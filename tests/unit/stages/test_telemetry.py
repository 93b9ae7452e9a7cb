"""What each row says of its artifact, number by number, on artifacts made by hand."""

import math

import numpy as np
import oracles
import pytest

from ptycho.evaluation.consistency import TwinCorrelation
from ptycho.evaluation.summary import Evaluation
from ptycho.network.bundle import Bundle
from ptycho.physics.scaling import Scales
from ptycho.scan.groups import GroupedData
from ptycho.settings.sections import ModelConfig
from ptycho.solve.readings import Readings
from ptycho.stages import evaluate, geometry, pipeline, scale, scan, split, train, twin
from ptycho.stages.scale import Scaling
from ptycho.stages.split import Split

N = 32
SCALES = Scales(2.0, 50.0, "recorded", 1e6, 0.5)


@pytest.fixture
def raw():
    return oracles.make_scan(7, N)


def test_the_scan(raw):
    squares = [float(np.sum(pattern.astype(float) ** 2)) for pattern in raw.diff3d]
    assert scan.telemetry(raw) == pytest.approx(
        {
            "patterns": 7,
            "mean_amplitude": raw.diff3d.astype(float).sum() / (7 * N * N),
            "mean_energy": sum(squares) / 7,
            "photon_scale": raw.photon_scale,
            "probe_l2": math.sqrt(np.sum(np.abs(raw.probe) ** 2)),
            "probe_mean_amplitude": np.abs(raw.probe).sum() / raw.probe.size,
        },
        rel=1e-5,
    )


def test_the_split(raw):
    found = Split(raw, np.array([0, 2, 3, 5]), np.array([1, 6]))
    assert split.telemetry(found) == pytest.approx(
        {
            "train": 4,
            "test": 2,
            "train_mean_amplitude": np.mean([raw.diff3d[i].astype(float).mean() for i in (0, 2, 3, 5)]),
            "test_mean_amplitude": np.mean([raw.diff3d[i].astype(float).mean() for i in (1, 6)]),
        },
        rel=1e-6,
    )
    alone = split.telemetry(Split(raw, np.array([], int), np.array([1, 6])))
    assert set(alone) == {"train", "test", "test_mean_amplitude"}


@pytest.mark.parametrize("row", ["group_train", "group_test"])
def test_the_groups(row, raw):
    groups = GroupedData(raw, 2, np.array([[0, 1, 2, 3], [3, 4, 5, 6]]))
    found = pipeline.stage_named(row).telemetry(groups)
    members = raw.positions[groups.nn_indices]
    centres = members.mean(axis=1)
    assert found == pytest.approx(
        {
            "groups": 2,
            "patterns": 7,
            **{f"offset_{axis}_min": centres[:, k].min() for k, axis in enumerate("xy")},
            **{f"offset_{axis}_max": centres[:, k].max() for k, axis in enumerate("xy")},
            "reach_px": np.abs(members - centres[:, None]).max(),
        },
        rel=1e-6,
    )


def test_the_scales():
    probe = np.full((2, N, N), 0.5j, np.complex64)
    assert scale.telemetry(Scaling(SCALES, probe)) == pytest.approx(
        {
            "statistical": 2.0,
            "photon_scale": 50.0,
            "nphotons": 1e6,
            "object_unit": 0.5,
            "probe_l2": math.sqrt(2 * N * N * 0.25),
        }
    )


def test_the_training_tells_its_last_epoch_and_how_far_the_scale_went():
    bundle = Bundle(
        N=N,
        gridsize=1,
        model=ModelConfig(),
        weights={},
        probe=np.ones((1, N, N), np.complex64),
        scales=SCALES,
        trained_photon_scale=55.0,
        prediction_scale=0.9,
        untrained_error=4e-3,
        trained_error=1e-3,
        history=({"epoch": 0, "val_loss": 9.0}, {"epoch": 1, "loss": 0.25, "val_loss": 0.5, "why": "x"}),
    )
    assert train.telemetry(bundle) == pytest.approx(
        {
            "epoch": 1,
            "loss": 0.25,
            "val_loss": 0.5,
            "untrained_error": 4e-3,
            "trained_error": 1e-3,
            "prediction_scale": 0.9,
            "scale_drift": 1.1,
        }
    )


def test_the_geometry():
    found = Readings(
        {"given": 0.1, "flip_x": 0.3},
        centre_xy=(3, -2),
        patterns=40,
        overlap=0.7,
        noise=0.01,
        mean_pattern=0.4,
    )
    assert geometry.telemetry(found) == {
        "given": 0.1,
        "flip_x": 0.3,
        "patterns": 40,
        "overlap": 0.7,
        "noise": 0.01,
        "mean_pattern": 0.4,
        "centre_x_px": 3,
        "centre_y_px": -2,
    }


def test_twins_and_the_evaluation():
    assert twin.telemetry(TwinCorrelation(0.9, 0.4, 7)) == {"own": 0.9, "flipped": 0.4, "patches": 7}
    found = Evaluation(
        data={"stitched_error": 0.1}, coverage={"threshold": 0.2}, structure={"nonfinite_px": 0}
    )
    assert evaluate.telemetry(found) == {
        "data.stitched_error": 0.1,
        "coverage.threshold": 0.2,
        "structure.nonfinite_px": 0,
    }
