"""The geometry of a scan against its alternatives: every way to get it wrong that users know is named."""

from dataclasses import replace

import numpy as np
import oracles
import pytest

from ptycho.base import machine
from ptycho.base.errors import ConfigError
from ptycho.evaluation import gates
from ptycho.physics import probes
from ptycho.scan import geometry
from ptycho.scan.formats import npz
from ptycho.scan.raw import RawData
from ptycho.settings.config import Config
from ptycho.settings.params import Params
from ptycho.stages import geometry as row

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


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(geometry, "PATTERNS", 30)
    monkeypatch.setattr(geometry, "PASSES", 6)


def diffracted(obj, where, probe):
    patches = oracles.extract(obj, where, N)
    return np.array([oracles.far_field(patch, probe) for patch in patches])


def verdict(raw):
    return gates.geometry_verdict(geometry.compare(raw), 0.85)


def said_by_the_row(comparison):
    return row.notes(comparison, Params(Config(N=N), ("gates.geometry_margin",), "geometry"))


def shuffled(raw):
    order = np.random.default_rng(9).permutation(len(raw))
    return replace(raw, xcoords=raw.xcoords[order], ycoords=raw.ycoords[order])


def test_a_good_scan_wins_and_shows_by_how_much(good, quick):
    found = geometry.compare(good)
    assert verdict(good).status == "pass"
    assert min(found.margins().values()) > 1.5
    assert found.contrast > 2
    assert found.centre_xy == (0, 0)
    assert list(found.margins().values()) == sorted(found.margins().values())


PLANTED = {
    "swap_axes": lambda raw: replace(raw, xcoords=raw.ycoords, ycoords=raw.xcoords),
    "flip_x": lambda raw: replace(raw, xcoords=SHAPE[1] - raw.xcoords),
    "flip_y": lambda raw: replace(raw, ycoords=SHAPE[0] - raw.ycoords),
    "conjugate_probe": lambda raw: replace(raw, probe=np.conj(raw.probe)),
    "shift_patterns": lambda raw: replace(raw, diff3d=np.fft.ifftshift(raw.diff3d, axes=(1, 2))),
    "transpose_patterns": lambda raw: replace(raw, diff3d=raw.diff3d.transpose(0, 2, 1)),
}


@pytest.mark.finding("FALSE-GEOMETRY-001")
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_named_and_its_correction_mends_it(name, good, quick):
    wrong = PLANTED[name](good)
    found = verdict(wrong)
    assert found.status == "fail"
    assert found.reason.endswith(f"add --geometry {name}")
    mended = geometry.correct(wrong, name)
    np.testing.assert_allclose(mended.diff3d, good.diff3d)
    np.testing.assert_allclose(mended.probe, good.probe)
    # A mirrored axis comes back but for its origin, which no pattern knows.
    np.testing.assert_allclose(np.ptp(mended.positions - good.positions, axis=0), 0, atol=1e-9)


@pytest.mark.slow
def test_positions_in_micrometres_are_named_with_their_factor(good, quick):
    wrong = replace(good, xcoords=0.05 * good.xcoords, ycoords=0.05 * good.ycoords)
    found = geometry.compare(wrong)
    assert found.scale == pytest.approx(20, rel=0.15)
    assert "add --geometry scale_positions=" in verdict(wrong).reason


def test_shuffled_positions_are_found_out(good, quick):
    found = verdict(shuffled(good))
    assert found.status == "fail"
    assert "not those of these patterns" in found.reason


def test_a_beam_centre_that_is_off_is_said_and_fails_nothing(good, quick):
    rolled = replace(good, diff3d=np.roll(good.diff3d, (-3, 4), axis=(1, 2)))
    found, straight = geometry.compare(rolled), geometry.compare(good)
    assert found.centre_xy == (4, -3)
    assert found.errors == pytest.approx(straight.errors)
    for comparison in (found, straight):  # the inspection of the scan says it
        assert not list(said_by_the_row(comparison))


def test_the_zero_frequency_in_the_corner_is_no_small_offset(good, quick):
    found = geometry.compare(PLANTED["shift_patterns"](good))
    assert max(map(abs, found.centre_xy)) == N // 2
    (note,) = said_by_the_row(found)
    assert "add --geometry shift_patterns" in note


def test_too_few_patterns_or_too_far_apart_say_nothing(good):
    few = geometry.compare(good.take(np.arange(7)))
    assert (few.errors, few.patterns) == ({}, 7)
    apart = np.arange(12.0) * 2 * N
    sparse = replace(good.take(np.arange(12)), xcoords=apart, ycoords=apart)
    assert geometry.compare(sparse).errors == {}
    (note,) = said_by_the_row(geometry.compare(sparse))
    assert (
        "Are the positions in pixels? If they are in another unit add --geometry scale_positions=FACTOR."
        in note
    )
    assert not list(said_by_the_row(few))
    assert verdict(sparse).status == "not_applicable"


def test_under_a_twin_ambiguous_probe_twins_are_no_alternatives(quick):
    raw = scan()
    y, x = np.mgrid[:N, :N] - (N - 1) / 2
    real = np.exp(-(x**2 + y**2) / 60)[None]
    obj = oracles.smooth_object(*SHAPE, seed=2) + 0.5 * oracles.noise_object(*SHAPE, seed=2)
    raw = replace(raw, probe=real, diff3d=diffracted(obj, raw.positions, real))
    assert not set(geometry.TWINS) & set(geometry.compare(raw).errors)


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
    "text", ["swap", "scale_positions", "scale_positions=-1", "scale_positions=x", "flip_x=2"]
)
def test_an_unknown_correction_is_refused(good, text):
    with pytest.raises(ConfigError, match=f"--geometry {text}: "):
        geometry.correct(good, text)


def test_a_measured_siemens_star_lies_as_its_file_says(measured):
    raw = npz.read_npz(measured("siemens_star/siemens_star.npz"))
    found = geometry.compare(raw)
    assert gates.geometry_verdict(found, 0.85).status == "pass"
    assert min(found.margins().values()) > 1.5


def test_a_peers_case_with_two_modes_lies_as_its_file_says(measured):
    with np.load(measured("tike_operator_case/tike_operator_case.npz")) as peer:
        probe = np.pad(peer["probe"][0, 0], ((0, 0), (8, 8), (8, 8)))
        where = peer["scan"].astype(float) + 8  # top-left (row, column) of 16 px, here centres
        patterns = np.fft.fftshift(np.sqrt(peer["data"]), axes=(1, 2))
    found = geometry.compare(RawData(where[:, 1], where[:, 0], patterns, probe))
    assert gates.geometry_verdict(found, 0.85).status == "pass"
    assert min(found.margins().values()) > 5


@pytest.mark.finding("SCALE-SEARCH-CANVAS-001")
def test_scales_are_tried_without_a_canvas_that_no_machine_holds(good, quick, monkeypatch):
    monkeypatch.setattr(machine, "memory_bytes", lambda: 2**24)
    noise = np.random.default_rng(5).random(good.diff3d.shape, np.float32)
    told = geometry.compare(replace(good, diff3d=noise))
    assert told.contrast < geometry.MIN_CONTRAST
    assert np.isnan(told.scale)
