"""The scale row: whose photons count."""

import dataclasses

import numpy as np
import pytest

from ptycho.base.errors import ScaleError
from ptycho.scan import simulate as simulation
from ptycho.settings import layers
from ptycho.stages import pipeline

SMALL = ("N=32", "simulation.object_size_px=96", "simulation.base_total_images=32", "model.levels=1")


@pytest.fixture(scope="module")
def scan():
    return simulation.simulate_scan(layers.resolve({}, overrides=[*SMALL, "simulation.nphotons=1e6"]))


def photons(scan, *overrides):
    config = layers.resolve({}, overrides=[*SMALL, *overrides])
    return (
        pipeline.run_pipeline(config, given={"scan": scan}, until="scale").artifacts["scale"].scales.nphotons
    )


def test_the_simulations_own_number_is_not_that_of_a_scan_that_is_given(scan):
    """`simulation.nphotons` is 1e9 by default; the scan was asked for 1e6."""
    assert photons(scan, "scaling.photon_scale=closed_form") == pytest.approx(1e6, rel=1e-9)


def test_a_number_that_is_given_beats_the_scans(scan):
    named = ("scaling.photon_scale=closed_form", "scaling.nphotons=3e5")
    assert photons(scan, *named) == pytest.approx(3e5, rel=1e-9)


def test_by_default_the_scan_itself_tells(scan):
    assert photons(scan, "scaling.nphotons=3e5") == pytest.approx(1e6, rel=0.1)


def test_a_measured_scan_that_says_nothing_has_to_be_told(scan):
    measured = dataclasses.replace(scan, metadata={})
    with pytest.raises(ScaleError, match=r"does not say them; add --set scaling\.nphotons=VALUE"):
        photons(measured, "scaling.photon_scale=closed_form")


def test_a_pattern_counts_as_often_as_groups_hold_it(scan):
    """By hand: the mean counts over all members of all groups, not over the patterns that occur."""
    config = layers.resolve({}, overrides=[*SMALL, "gridsize=2", "grouping.neighbor_count=5"])
    found = pipeline.run_pipeline(config, given={"scan": scan}, until="scale").artifacts
    groups = found["group_train"]
    energy = np.sum(groups.raw.diff3d.astype(float) ** 2, axis=(1, 2)) * groups.raw.photon_scale**2
    often = energy[groups.nn_indices].mean()
    assert found["scale"].scales.nphotons == pytest.approx(often, rel=1e-6)
    assert often != pytest.approx(energy[np.unique(groups.nn_indices)].mean(), rel=1e-6)
