"""The stitch row: what a diagnostic rescaling multiplies by."""

import dataclasses

import numpy as np
import pytest

from ptycho.settings import layers
from ptycho.settings.params import Params
from ptycho.stages import pipeline


@pytest.fixture
def stitched(finished):
    """Stitch the finished run's patches with another config and, where wanted, another bundle or other patches."""

    def run(*overrides, bundle=None, gain=1.0):
        config = layers.resolve(finished.config.to_dict(), overrides=overrides)
        artifacts = dict(finished.result.artifacts)
        bundle = bundle or artifacts["train"]
        patches = artifacts["infer"].patches * np.float32(gain)
        artifacts |= {"train": bundle, "infer": dataclasses.replace(artifacts["infer"], patches=patches)}
        row = pipeline.stage_named("stitch")
        return row.run(artifacts, Params(config, row.reads, row.name), finished_execution)

    from ptycho.artifacts.stage import Execution

    finished_execution = Execution()
    return run


def test_nothing_is_rescaled_unless_it_is_asked_for(stitched):
    plain = stitched()
    assert plain.prediction_scale == 1.0
    np.testing.assert_allclose(stitched(gain=1.7).object, 1.7 * plain.object, rtol=1e-5, atol=1e-6)


def test_the_recorded_factor_is_the_bundles(finished, stitched):
    bundle = dataclasses.replace(finished.result.artifacts["train"], prediction_scale=1.25)
    found = stitched("inference.prediction_scale=recorded", bundle=bundle)
    assert found.prediction_scale == 1.25
    np.testing.assert_allclose(found.object, 1.25 * stitched().object, rtol=1e-6)


@pytest.mark.finding("VARPRO-SOLVE-UNITS-001")
def test_a_fit_to_the_truth_takes_out_whatever_factor_there_was(stitched):
    once = stitched("inference.prediction_scale=least_squares")
    loud = stitched("inference.prediction_scale=least_squares", gain=1.7)
    assert loud.prediction_scale == pytest.approx(once.prediction_scale / 1.7, rel=1e-4)
    np.testing.assert_allclose(loud.object, once.object, rtol=1e-4, atol=1e-5)


def test_the_factor_is_told_and_is_all_that_changes(stitched):
    plain, fitted = stitched(), stitched("inference.prediction_scale=least_squares")
    assert fitted.prediction_scale != 1.0
    np.testing.assert_allclose(fitted.object, fitted.prediction_scale * plain.object, rtol=1e-5)
    np.testing.assert_array_equal(fitted.coverage, plain.coverage)
    assert fitted.network_error == plain.network_error


def test_the_telemetry_is_of_this_reconstruction():
    """Each number from its own field: no two of them are equal here."""
    from ptycho.physics.stitching import Reconstruction
    from ptycho.stages import stitch as row

    result = Reconstruction(
        object=np.zeros((5, 7), np.complex64),
        coverage=np.zeros((5, 7), np.float32),
        origin_xy=(0, 0),
        kept_fraction=0.5,
        n_patches=11,
        n_outside=2,
        n_nonfinite=3,
        network_error=0.25,
        prediction_scale=1.5,
    )
    assert row.telemetry(result) == {
        "height_px": 5,
        "width_px": 7,
        "fits_canvas": False,
        "kept_fraction": 0.5,
        "patches": 11,
        "nonfinite_patches": 3,
        "patches_outside": 2,
        "network_error": 0.25,
        "prediction_scale": 1.5,
    }
