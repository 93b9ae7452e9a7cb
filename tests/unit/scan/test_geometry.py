"""The geometry of a scan against its alternatives: every way to get it wrong that users know is named."""

from dataclasses import replace

import numpy as np
import oracles
import pytest

from ptycho.base import machine
from ptycho.base.errors import ConfigError
from ptycho.physics import probes
from ptycho.scan import geometry
from ptycho.scan.raw import RawData

SHAPE, N = (84, 101), 32


def scan(count=60):
    """A probe and an object without symmetry, patterns by the naive forward model, light without end."""
    obj = oracles.smooth_object(*SHAPE, seed=2) + 0.5 * oracles.noise_object(*SHAPE, seed=2)
    where = oracles.scan_positions(count, SHAPE, N, seed=6, integer=True)
    probe = probes.zone_plate_probe(N)[None]
    return RawData(where[:, 0], where[:, 1], diffracted(obj, where, probe), probe, photon_scale=1e6)


@pytest.fixture(scope="module")
def good():
    return scan()


def diffracted(obj, where, probe):
    patches = oracles.extract(obj, where, N)
    return np.array([oracles.far_field(patch, probe) for patch in patches])


def test_the_sample_overlaps_and_is_the_same_every_time(good):
    rows = geometry.sample_rows(good.positions, N)
    assert len(rows) == 48 == len(set(rows))
    np.testing.assert_array_equal(rows, geometry.sample_rows(good.positions, N))
    dense = np.random.default_rng(0).uniform(0, N, (500, 2))
    middle = np.median(dense, axis=0)
    assert np.abs(dense[geometry.sample_rows(dense, N)] - middle).max() < 0.6 * N


def test_a_correction_keeps_the_truth_and_mirrors_inside_of_it(good):
    truth = np.ones(SHAPE, np.complex64)
    raw = replace(good, object_guess=truth)
    mended = geometry.correct(raw, "flip_x")
    np.testing.assert_allclose(mended.xcoords, SHAPE[1] - good.xcoords)
    np.testing.assert_allclose(mended.xcoords_start, SHAPE[1] - good.xcoords_start)
    np.testing.assert_array_equal(mended.object_guess, truth)
    doubled = geometry.correct(good, "scale_positions=2")
    np.testing.assert_allclose(doubled.positions, 2 * good.positions)


MOVED = {  # (x, y) of a position; width and height of the frame that the corrected ones lie in
    "swap_axes": lambda x, y, w, h: (y, x),
    "flip_x": lambda x, y, w, h: (w - x, y),
    "flip_y": lambda x, y, w, h: (x, h - y),
    "flip_axes": lambda x, y, w, h: (w - x, h - y),
    "swap_flip_x": lambda x, y, w, h: (w - y, x),
    "swap_flip_y": lambda x, y, w, h: (y, h - x),
    "swap_flip_axes": lambda x, y, w, h: (w - y, h - x),
}


@pytest.mark.parametrize("with_truth", [True, False])
@pytest.mark.parametrize("name", MOVED)
def test_a_correction_of_the_positions_turns_or_mirrors_where_they_lie(good, name, with_truth):
    """In the truth's frame where there is one (it is wider than high), else from one end of them to the other."""
    x, y = np.array([[20.0, 31, 44, 60, 52], [18.0, 66, 30, 41, 25]])
    raw = replace(
        good.take(np.arange(5)),
        **{"xcoords": x, "ycoords": y, "xcoords_start": x + 1, "ycoords_start": y - 2},
        object_guess=np.ones(SHAPE, np.complex64) if with_truth else None,
    )
    mended = geometry.correct(raw, name)
    spans = [values.min() + values.max() for values in ((y, x) if "swap" in name else (x, y))]
    width, height = SHAPE[::-1] if with_truth else spans
    np.testing.assert_allclose((mended.xcoords, mended.ycoords), MOVED[name](x, y, width, height))
    np.testing.assert_allclose(
        (mended.xcoords_start, mended.ycoords_start), MOVED[name](x + 1, y - 2, width, height)
    )
    np.testing.assert_array_equal(mended.diff3d, raw.diff3d)


def test_a_factor_on_the_positions_is_one_on_the_nominal_ones_too(good):
    raw = replace(good, xcoords_start=good.xcoords + 1, ycoords_start=good.ycoords - 2)
    scaled = geometry.correct(raw, "scale_positions=1.5")
    np.testing.assert_allclose(scaled.xcoords_start, 1.5 * (good.xcoords + 1))
    np.testing.assert_allclose(scaled.ycoords_start, 1.5 * (good.ycoords - 2))


SOURCE = {  # where the pixel [row, column] of a corrected pattern comes from; the zero frequency lies at [16, 16]
    "shift_patterns": lambda i, j: ((i + 16) % 32, (j + 16) % 32),
    "transpose_patterns": lambda i, j: (j, i),
    "mirror_patterns_x": lambda i, j: (i, (32 - j) % 32),
    "mirror_patterns_y": lambda i, j: ((32 - i) % 32, j),
}


@pytest.mark.parametrize("name", SOURCE)
def test_a_correction_of_the_patterns_by_loops(good, name):
    mended = geometry.correct(good, name)
    for i in range(N):
        for j in range(N):
            np.testing.assert_array_equal(
                mended.diff3d[:, i, j], good.diff3d[(slice(None), *SOURCE[name](i, j))]
            )
    np.testing.assert_array_equal(mended.positions, good.positions)


def test_every_correction_is_known_here():
    assert {*MOVED, *SOURCE, "conjugate_probe"} == set(geometry.CORRECTIONS)


@pytest.mark.parametrize("step", [(3, 0), (0, -5), (4, 7), (-40, 2)])
def test_overlap_is_the_share_of_the_light_that_neighbours_have_in_common(step):
    """Sum of I(r) I(r - d) over sum of I(r)^2, all modes, by loops; nothing wraps around."""
    probe = oracles.lopsided_probe(N, modes=2)
    intensity = np.sum(np.abs(probe) ** 2, axis=0)
    dx, dy = step
    common = sum(
        intensity[i, j] * intensity[i - dy, j - dx]
        for i in range(N)
        for j in range(N)
        if 0 <= i - dy < N and 0 <= j - dx < N
    )
    x, y = np.array([0.0, dx, 300.0, 300.0 + dx]), np.array([0.0, dy, 9.0, 9.0 + dy])
    raw = RawData(x, y, np.ones((4, N, N)), probe)
    assert geometry.overlap(raw) == pytest.approx(common / np.sum(intensity**2), abs=1e-6)


@pytest.mark.parametrize("off", [(0, 0), (5, -2), (-16, 3), (1, 15)])
def test_the_beam_s_centre_is_where_the_light_without_an_object_would_fall(off):
    probe = oracles.lopsided_probe(N, modes=2)
    light = oracles.far_field(np.ones((N, N)), probe)
    raw = RawData(
        np.arange(5.0), np.arange(5.0), np.roll(np.tile(light, (5, 1, 1)), off[::-1], axis=(1, 2)), probe
    )
    assert geometry.beam_centre(raw) == off


def test_positions_that_spread_too_far_are_not_fitted(good):
    wide = good.positions * 0
    wide[-1] = (geometry.MAX_CANVAS * N, 0)
    assert np.isnan(geometry.fit_error(replace(good, xcoords=wide[:, 0], ycoords=wide[:, 1])))
    wide[-1] = ((geometry.MAX_CANVAS - 1) * N - 4, 0)
    assert np.isfinite(geometry.fit_error(replace(good, xcoords=wide[:, 0], ycoords=wide[:, 1])))


@pytest.mark.parametrize(
    "text",
    [
        *("swap", "scale_positions", "scale_positions=-1", "scale_positions=x", "flip_x=2"),
        *("rotate", "rotate=nan", "rotate=1,2", "linear=1,0,0", "linear=1,1,1,1", "auto"),
    ],
)
def test_an_unknown_correction_is_refused(good, text):
    with pytest.raises(ConfigError, match=f"--geometry {text}: "):
        geometry.correct(good, text)


def test_a_turn_goes_from_x_towards_y_about_the_mean_position(good):
    raw = replace(good, xcoords_start=good.xcoords + 1)
    turned = geometry.correct(raw, "rotate=90")
    x, y = (good.positions - good.positions.mean(axis=0)).T
    np.testing.assert_allclose(
        turned.positions - good.positions.mean(axis=0), np.stack([-y, x], axis=1), atol=1e-9
    )
    np.testing.assert_allclose(turned.ycoords_start - turned.ycoords, 1)


def test_a_matrix_maps_x_and_y_about_the_mean_position(good):
    moved = geometry.correct(good, "linear=1.1,0.2,-0.3,0.9")
    x, y = (good.positions - good.positions.mean(axis=0)).T
    expected = np.stack([1.1 * x + 0.2 * y, -0.3 * x + 0.9 * y], axis=1)
    np.testing.assert_allclose(moved.positions - good.positions.mean(axis=0), expected)


@pytest.mark.parametrize("name", sorted(set(geometry.MAPS) - {"given"}))
def test_the_matrices_are_those_of_the_corrections(good, name):
    away = good.positions - good.positions.mean(axis=0)
    corrected = geometry.correct(good, name).positions
    np.testing.assert_allclose(corrected - corrected.mean(axis=0), away @ geometry.MAPS[name].T, atol=1e-9)


def test_another_unit_of_the_positions_is_told_by_the_contrast(good, monkeypatch):
    monkeypatch.setattr(geometry, "PASSES", 6)
    sample = good.take(geometry.sample_rows(good.positions, N)[:30])
    wrong = sample.at(0.05 * sample.positions)
    assert geometry.better_scale(wrong) == pytest.approx(20, rel=0.15)


@pytest.mark.finding("SCALE-SEARCH-CANVAS-001")
def test_scales_are_tried_without_a_canvas_that_no_machine_holds(good, monkeypatch):
    monkeypatch.setattr(geometry, "PASSES", 4)
    monkeypatch.setattr(machine, "memory_bytes", lambda: 2**24)
    noise = np.random.default_rng(5).random(good.diff3d.shape, np.float32)
    assert np.isnan(geometry.better_scale(replace(good, diff3d=noise).take(np.arange(30))))
