"""The infer row: what is told of predicted patches."""

import numpy as np
import pytest

from ptycho.physics.stitching import Prediction
from ptycho.stages import infer


def test_the_telemetry_is_that_of_all_groups():
    patches = np.zeros((3, 10, 10), np.complex64)
    residual, energy = np.array([1.0, 2.0, 5.0]), np.array([10.0, 20.0, 50.0])
    found = Prediction(patches, patches.real, np.zeros((3, 2)), residual, energy)
    assert infer.telemetry(found) == {
        "groups": 3,
        "group_canvas_px": 10,
        "network_error": pytest.approx(0.1),
    }
    dark = Prediction(patches, patches.real, np.zeros((3, 2)), 0 * residual, 0 * energy)
    assert np.isnan(infer.telemetry(dark)["network_error"])
