"""How well an object explains patterns: between photon noise and the mean pattern, against loops and against draws."""

from dataclasses import replace

import numpy as np
import oracles
import pytest

from ptycho.physics import scaling
from ptycho.physics.stitching import Reconstruction
from ptycho.solve import explain

N = 32


@pytest.fixture(scope="module")
def clean():
    return oracles.make_scan(count=60, N=N, shape=(60, 64), seed=4)


def of_photons(raw, photons, seed=0):
    """The scan with so many photons a pattern, drawn."""
    counts = np.square(raw.diff3d, dtype=np.float64)
    counts *= photons / counts.sum(axis=(1, 2)).mean()
    drawn = np.random.default_rng(seed).poisson(counts)
    factor = np.sqrt(photons / np.square(raw.diff3d, dtype=np.float64).sum(axis=(1, 2)).mean())
    return replace(raw, diff3d=np.sqrt(drawn) / factor, photon_scale=factor)


def whole(obj, lit=1.0):
    """An object that is known everywhere, in its own frame."""
    return Reconstruction(
        object=obj.astype(np.complex64),
        coverage=np.full(obj.shape, lit, np.float32),
        origin_xy=(0, 0),
        kept_fraction=1.0,
        n_patches=1,
    )


@pytest.mark.finding("DATA-ERROR-NULL-001")
@pytest.mark.parametrize("photons", [3e2, 3e3, 1e5])
def test_the_truth_leaves_photon_noise_and_the_mean_pattern_leaves_all(clean, photons):
    """By draws: what the truth leaves lies at 0, whatever the dose; roots of few counts have a mean of their own.

    The noise is that of the mean pattern: more than that of the patterns, by a tenth where they have 0.3 counts a pixel.
    """
    scan = of_photons(clean, photons)
    found = explain.explained(whole(clean.object_guess), scan, clean.probe)
    assert found.unexplained == pytest.approx(0, abs=0.12)
    assert found.error == pytest.approx(found.noise, rel=0.12)
    assert found.tells
    mean = scan.diff3d.mean(axis=0, dtype=np.float64)
    null = np.sum((scan.diff3d - mean) ** 2) / np.sum(scan.diff3d.astype(np.float64) ** 2)
    assert found.mean_pattern == pytest.approx(null, rel=1e-5)


def test_the_error_is_that_of_loops(clean):
    scan = of_photons(clean, 1e4).take(np.arange(5))
    other = clean.object_guess * 1.1
    found = explain.explained(whole(other), scan, clean.probe)
    for row in range(5):
        patch = oracles.sample(other, scan.positions[row : row + 1], N)[0]
        predicted = scan.photon_scale * oracles.far_field(patch, clean.probe)
        roots = scan.photon_scale * scan.diff3d[row]
        assert found.errors[row] == pytest.approx(
            np.sum((scaling.mean_root(predicted) - roots) ** 2), rel=1e-4
        )
        assert found.energies[row] == pytest.approx(np.sum(roots.astype(float) ** 2), rel=1e-5)


def test_shuffled_positions_explain_no_more_than_the_mean_pattern(clean):
    order = np.random.default_rng(1).permutation(len(clean))
    found = explain.explained(whole(clean.object_guess), clean.at(clean.positions[order]), clean.probe)
    assert found.unexplained > 0.9


def test_patterns_that_lie_where_nothing_is_known_do_not_count(clean):
    known = whole(clean.object_guess)
    known.coverage[:, 40:] = 0
    found = explain.explained(known, clean, clean.probe)
    assert 0 < len(found) < len(clean)
    assert clean.positions[found.rows, 0].max() < 40
    nowhere = explain.explained(whole(clean.object_guess, 0.0), clean, clean.probe)
    assert (len(nowhere), nowhere.tells) == (0, False)
    assert np.isnan(nowhere.unexplained)


def test_what_is_under_the_mask_does_not_count(clean):
    bad = np.zeros((N, N), bool)
    bad[10:14] = True
    masked = replace(clean, bad_pixels=bad)
    found = explain.explained(whole(clean.object_guess), masked, clean.probe)
    assert found.unexplained == pytest.approx(0, abs=0.01)


def test_patterns_that_only_noise_tells_apart_tell_nothing(clean):
    same = of_photons(replace(clean, diff3d=np.repeat(clean.diff3d[:1], len(clean), axis=0)), 1e3)
    found = explain.explained(whole(clean.object_guess), same, clean.probe)
    assert not found.tells
    assert np.isnan(found.unexplained)


def test_one_prediction_is_better_by_the_patterns_that_both_know():
    parts = np.arange(4.0), np.ones(4), np.ones(4), np.zeros(4)
    ours = explain.Explained(np.arange(4), *parts)
    theirs = explain.Explained(np.arange(1, 5), np.array([3.0, 3.0, 3.0, 9.0]), *parts[1:])
    gains = np.array([3 - 1, 3 - 2, 3 - 3])
    expected = gains.mean() / (gains.std(ddof=1) / np.sqrt(3))
    assert ours.better_by(theirs) == pytest.approx(expected)
    assert theirs.better_by(ours) == pytest.approx(-expected)


def test_few_values_have_no_standard_error_and_equal_ones_none():
    assert explain.standard_errors(np.array([1.0, 2.0])) == 0
    assert explain.standard_errors(np.ones(5)) == np.inf
    assert explain.standard_errors(-np.ones(5)) == -np.inf
    assert explain.standard_errors(np.zeros(5)) == 0
