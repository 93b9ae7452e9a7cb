"""Twins and data consistency, against objects that are known."""

import dataclasses
import math

import numpy as np
import oracles
import pytest

from ptycho.evaluation import consistency
from ptycho.physics import forward, stitching
from ptycho.physics.stitching import Prediction, Reconstruction
from ptycho.scan.raw import RawData

N = 32


def scene(count=12, seed=3):
    """Patches cut by loops out of an asymmetric object, at whole pixels, and a lopsided probe."""
    obj = oracles.smooth_object(120, 140)
    rng = np.random.default_rng(seed)
    where = np.stack([rng.integers(20, 120, count), rng.integers(20, 100, count)], axis=1)
    patches = np.array([obj[y - N // 2 : y + N // 2, x - N // 2 : x + N // 2] for x, y in where])
    return obj.astype(np.complex64), where.astype(float), patches.astype(np.complex64)


def prediction(patches, where):
    weights = np.ones(patches.shape, np.float32)
    return Prediction(patches, weights, where, np.zeros(len(where)), np.ones(len(where)))


def lit(shift=(0, 0)):
    """A disk of light, off the patch's centre by `shift` (rows, columns)."""
    rows, columns = np.mgrid[:N, :N]
    distance = np.hypot(rows - (N - 1) / 2 - shift[0], columns - (N - 1) / 2 - shift[1])
    return (distance < 8).astype(float)


def turned(patches, centre):
    """Each patch turned by 180 degrees about `centre` (rows, columns), by loops."""
    out = np.zeros_like(patches)
    for row in range(N):
        for column in range(N):
            r, c = round(2 * centre[0] - row), round(2 * centre[1] - column)
            if 0 <= r < N and 0 <= c < N:
                out[:, row, column] = patches[:, r, c].conj()
    return out


@pytest.mark.finding("TWIN-IMAGE-001")
@pytest.mark.parametrize("shift", [(0, 0), (3, -2)])
def test_patches_of_the_object_and_of_its_twin_are_told_apart(shift):
    obj, where, patches = scene()
    centre = ((N - 1) / 2 + shift[0], (N - 1) / 2 + shift[1])
    own = consistency.twin_correlation(prediction(patches, where), obj, lit(shift))
    assert own.own == pytest.approx(1, abs=1e-6)
    assert own.flipped < 0.7
    assert own.patches == 12
    twin = consistency.twin_correlation(prediction(turned(patches, centre), where), obj, lit(shift))
    assert twin.flipped == pytest.approx(1, abs=1e-6)
    assert twin.own < 0.7


def test_patches_that_are_no_numbers_do_not_count():
    obj, where, patches = scene()
    patches[:4] = np.nan
    found = consistency.twin_correlation(prediction(patches, where), obj, lit())
    assert found.patches == 8
    assert found.own == pytest.approx(1, abs=1e-6)


def test_pixels_near_the_truths_edge_do_not_count():
    """A patch half outside of the truth is compared where the truth is, less the border."""
    obj, _, _ = scene()
    where = np.array([[10.0, 12.0]])
    padded = np.pad(obj, N)
    patch = padded[None, N + 12 - 16 : N + 12 + 16, N + 10 - 16 : N + 10 + 16].copy()
    patch[0, :, : 16 - 10 + 2] = 99  # columns outside, and the two next to the edge
    patch[0, : 16 - 12 + 2] = 99
    within = consistency.twin_correlation(prediction(patch, where), obj, np.ones((N, N)), border_px=2)
    assert within.own == pytest.approx(1, abs=1e-6)
    assert consistency.twin_correlation(prediction(patch, where), obj, np.ones((N, N)), border_px=1).own < 0.9
    rim = padded[None, N + 12 - 16 : N + 12 + 16, N + 10 - 16 : N + 10 + 16].copy()
    rim[0, :, 16 - 10] = 99  # the outermost column of the truth
    assert consistency.twin_correlation(prediction(rim, where), obj, np.ones((N, N)), 1).own > 0.9999
    assert consistency.twin_correlation(prediction(rim, where), obj, np.ones((N, N))).own < 0.9


def test_a_sample_is_looked_at_of_many_patches():
    obj, where, patches = scene(150)
    assert consistency.twin_correlation(prediction(patches, where), obj, lit()).patches == 64


def test_light_of_a_tenth_of_the_peak_does_not_count():
    obj, where, patches = scene()
    dim = np.where(lit() > 0, 1, 0.1)
    patches[:, lit() == 0] = 99
    assert consistency.twin_correlation(prediction(patches, where), obj, dim).own == pytest.approx(
        1, abs=1e-6
    )


def wing(reach):
    """A bright bar near one edge with faint light on one side of it, so that the turn brings in what lies outside."""
    light = np.zeros((N, N))
    light[8:25, 2:5], light[8:25, 5:reach] = 1, 0.2
    return light


@pytest.mark.parametrize(
    "light", [0.5 * lit() + 0.5 * lit((0.5, 0)), wing(13), wing(13).T], ids=["disk", "columns", "rows"]
)
def test_the_turn_is_bilinear_about_the_centre_of_the_light_and_repeats_the_edge(light):
    """A centre between pixels, and light whose twin reaches beyond the patch: by loops."""
    obj, where, patches = scene(3)
    index = np.arange(N)
    centre = (light.sum(axis=1) @ index / light.sum(), light.sum(axis=0) @ index / light.sum())
    assert max(abs(2 * at - round(2 * at)) for at in centre) > 0.1
    amplitude = np.abs(patches)
    twin = np.zeros_like(amplitude)
    for row in range(N):
        for column in range(N):
            at = np.clip([2 * centre[0] - row, 2 * centre[1] - column], 0, N - 1 - 1e-9)
            twin[:, row, column] = [oracles.bilinear(image, *at).real for image in amplitude]
    found = consistency.twin_correlation(prediction(twin.astype(np.complex64), where), obj, light)
    assert found.flipped == pytest.approx(1, abs=1e-6)


def test_without_a_truth_nothing_is_said():
    _, where, patches = scene()
    found = consistency.twin_correlation(prediction(patches, where), None, lit())
    assert math.isnan(found.own)
    assert found.patches == 0


def test_the_data_error_is_the_sum_over_all_patterns():
    """Against patterns that a third computation makes, with an error that is put in."""
    obj, where, patches = scene()
    probe = oracles.lopsided_probe(N, modes=2).astype(np.complex64)
    clean = np.array([oracles.far_field(patch, probe) for patch in patches])
    measured = 0.8 * clean
    measured[0] *= 3
    scan = RawData(where[:, 0], where[:, 1], measured, probe)
    frame = Reconstruction(obj[3:, 5:], np.ones(obj[3:, 5:].shape, np.float32), (5, 3), 1.0, len(where))
    found = consistency.data_error(dataclasses.replace(frame, network_error=0.25), scan, probe)
    assert found["stitched_error"] == pytest.approx(
        np.sum((clean - measured) ** 2) / np.sum(measured**2), rel=1e-4
    )
    assert found["stitched_scale"] == pytest.approx(np.sum(clean * measured) / np.sum(clean**2), rel=1e-5)
    assert found["network_error"] == 0.25


def test_the_data_error_counts_every_pattern_of_a_scan_of_several_chunks(monkeypatch):
    """Three chunks, the last partial, and amplitudes so small that their energy is below 1."""
    monkeypatch.setattr(forward, "CHUNK", 5)
    obj, where, patches = scene()
    probe = 1e-3 * oracles.lopsided_probe(N, modes=2).astype(np.complex64)
    clean = np.array([oracles.far_field(patch, probe) for patch in patches])
    measured = clean * np.linspace(0.5, 2, len(where))[:, None, None]
    scan = RawData(where[:, 0], where[:, 1], measured, probe)
    frame = Reconstruction(obj, np.ones(obj.shape, np.float32), (0, 0), 1.0, len(where), prediction_scale=1.5)
    found = consistency.data_error(frame, scan, probe)
    assert np.sum(clean**2) < 1
    assert found == {
        "stitched_error": pytest.approx(np.sum((clean - measured) ** 2) / np.sum(measured**2), rel=1e-4),
        "stitched_scale": pytest.approx(np.sum(clean * measured) / np.sum(clean**2), rel=1e-5),
        "network_error": pytest.approx(math.nan, nan_ok=True),
        "prediction_scale": 1.5,
    }


def test_an_object_that_is_dark_has_no_scale():
    obj, where, patches = scene()
    scan = RawData(where[:, 0], where[:, 1], np.abs(patches), lit().astype(np.complex64))
    dark = Reconstruction(np.zeros_like(obj), np.ones(obj.shape, np.float32), (0, 0), 1.0, len(where))
    found = consistency.data_error(dark, scan, lit()[None].astype(np.complex64))
    assert found["stitched_error"] == 1
    assert math.isnan(found["stitched_scale"])


def test_stitching_s_illumination_is_that_of_all_modes():
    probe = oracles.lopsided_probe(N, modes=2)
    expected = np.abs(probe[0]) ** 2 + np.abs(probe[1]) ** 2
    np.testing.assert_allclose(stitching.illumination(probe), expected / expected.max(), rtol=1e-5)


def test_a_patch_without_a_correlation_counts_in_no_mean():
    """One that is flat has none; the mean is that of the others."""
    obj, where, patches = scene()
    patches[0] = 1.0
    found = consistency.twin_correlation(prediction(patches, where), obj, lit())
    assert found.own == pytest.approx(1, abs=1e-6)


def test_a_mean_is_one_of_numbers_and_none_where_there_are_none():
    assert consistency._mean_of_numbers([1.0, math.nan, 4.0, math.inf]) == 2.5
    assert math.isnan(consistency._mean_of_numbers([math.nan]))
    assert math.isnan(consistency._mean_of_numbers([]))
