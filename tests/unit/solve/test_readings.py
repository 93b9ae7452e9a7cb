"""A scan against other readings of it: each mistake is named with what mends it, and nothing is said of a right one."""

import re
from dataclasses import replace

import numpy as np
import pytest
import strangers
from command import call

from ptycho.evaluation import gates
from ptycho.runs import prepare
from ptycho.scan import geometry, inspection
from ptycho.scan.formats import npz
from ptycho.scan.raw import RawData
from ptycho.settings.config import Config
from ptycho.settings.params import Params
from ptycho.settings.request import Reading
from ptycho.solve import readings
from ptycho.solve.readings import Readings
from ptycho.stages import geometry as row

MARGIN = readings.MARGIN


@pytest.fixture(scope="module")
def right():
    """A scan as its owner has it: the probe a guess, positions inexact by a third of a pixel."""
    return strangers.right("X-rays, zone plate", side=10).raw


@pytest.fixture
def brief(monkeypatch):
    """A short search where nothing explains the sample: from two turns, in no other unit."""
    monkeypatch.setattr(readings, "TURNS", (0, 180))
    monkeypatch.setattr(geometry, "SCALES", ())


def said_by_the_row(found):
    return list(row.notes(found, Params(Config(N=64), ("gates.geometry_margin",), "geometry")))


def test_of_a_right_scan_nothing_is_said(right):
    found = readings.compare(right)
    assert said_by_the_row(found) == []
    assert readings.recommended(found) == ()
    judgement, margin, reason = readings.judge(found, MARGIN)
    assert (judgement, margin) == ("pass", None)
    assert reason.startswith("the scan as it is given leaves ")
    assert found.place("given") < readings.NEARLY_ALL
    assert found.place("shuffled") > 1
    degrees, scale, *_ = readings.parts(np.array(found.linear))
    assert abs(degrees) < 1
    assert abs(scale - 1) < 0.01


PLANTED = {
    "swap_axes": lambda raw: raw.at(raw.positions[:, ::-1]),
    "flip_x": lambda raw: raw.at(raw.positions * [-1, 1]),
    "conjugate_probe": lambda raw: raw.derived(probe=np.conj(raw.probe)),
    "shift_patterns": lambda raw: raw.derived(diff3d=np.fft.fftshift(raw.diff3d, axes=(1, 2))),
    "transpose_patterns": lambda raw: raw.derived(diff3d=np.ascontiguousarray(raw.diff3d.swapaxes(1, 2))),
}


@pytest.mark.finding("FALSE-GEOMETRY-001")
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_named_and_its_correction_mends_it(name, right):
    wrong = PLANTED[name](right)
    found = readings.compare(wrong)
    verdict = gates.geometry_verdict(found, MARGIN)
    assert verdict.status == "fail"
    assert verdict.reason.endswith(f"add --geometry {name}")
    mended = geometry.correct(wrong, name)
    np.testing.assert_allclose(mended.diff3d, right.diff3d)
    np.testing.assert_allclose(mended.probe, right.probe)
    np.testing.assert_allclose(np.ptp(mended.positions - right.positions, axis=0), 0, atol=1e-9)


@pytest.mark.finding("AFFINE-POSITIONS-001")
@pytest.mark.parametrize(("degrees", "factor"), [(10, 1.15), (0, 0.7), (120, 1.0)])
def test_positions_that_are_turned_and_stretched_are_told_by_how_much(degrees, factor, right):
    wrong = strangers.mapped(degrees, factor)(right)
    found = readings.compare(wrong)
    turned, scale, shape, mirrored = readings.parts(np.array(found.linear))
    assert turned == pytest.approx(-degrees, abs=2)
    assert scale == pytest.approx(1 / factor, rel=0.02)
    assert (shape < 1.05, mirrored) == (True, False)
    (note,) = said_by_the_row(found)
    for option in re.findall(r"--geometry (\S+)", note.rstrip(".")):
        wrong = geometry.correct(wrong, option)
    away = wrong.positions - right.positions
    assert np.abs(away - away.mean(axis=0)).max() < 1.5


@pytest.mark.finding("LEAST-BAD-READING-001")
@pytest.mark.parametrize("mistake", ["10 px off", "order shuffled"])
def test_where_no_reading_explains_the_patterns_none_is_recommended(mistake, right, brief):
    found = readings.compare(strangers.WRONG[mistake](right))
    judgement, _, reason = readings.judge(found, MARGIN)
    assert judgement == "fail"
    assert "--geometry" not in reason
    assert "the positions are too inexact, or not those of these patterns, or the probe is another" in reason


def test_photon_noise_is_said_to_hide_it_only_where_it_does(right):
    hidden = readings.compare(strangers.noise(right))
    assert readings.judge(hidden, MARGIN)[0] == "not_applicable"
    assert "photon noise" in readings.judge(hidden, MARGIN)[2]
    assert all(holds for _, holds in row.invariants(hidden))
    (line,) = said_by_the_row(hidden)
    assert "by no more than photon noise" in line


def test_too_few_patterns_or_too_far_apart_say_nothing_and_say_why(right):
    few = readings.compare(right.take(np.arange(7)))
    assert (few.errors, few.patterns) == ({}, 7)
    assert readings.judge(few, MARGIN)[2].startswith("7 patterns cannot tell how they lie")
    assert not said_by_the_row(few)
    apart = readings.compare(strangers.WRONG["nanometres"](right))
    (note,) = said_by_the_row(apart)
    assert "of their light (needed: 0.1), and then their places say nothing" in note
    assert (
        "Are the positions in pixels? If they are in another unit add --geometry scale_positions=FACTOR."
        in note
    )
    point = readings.compare(strangers.point(right))
    assert "the probe is nearly a point (1 px)" in readings.judge(point, MARGIN)[2]


def test_a_beam_centre_that_is_off_is_taken_out_first(right):
    rolled = right.derived(diff3d=np.roll(right.diff3d, (-3, 4), axis=(1, 2)))
    found, straight = readings.compare(rolled), readings.compare(right)
    assert np.subtract(found.centre_xy, straight.centre_xy).tolist() == [4, -3]
    assert found.errors == pytest.approx(straight.errors)


def test_under_a_twin_ambiguous_probe_twins_are_no_alternatives(right, brief):
    y, x = np.mgrid[:64, :64] - 32
    real = np.exp(-(x**2 + y**2) / 60)[None]
    assert not set(geometry.TWINS) & set(readings.compare(right.derived(probe=real)).errors)


def test_auto_applies_what_the_patterns_ask_for_and_says_so(right, tmp_path):
    npz.write_npz(tmp_path / "wrong.npz", strangers.mapped(10, 1.15)(right))
    scan = prepare.read_scan(tmp_path / "wrong.npz", Reading(geometry=("auto",)))
    away = scan.positions - right.positions
    assert np.abs(away - away.mean(axis=0)).max() < 1.5
    (line,) = (line for line in scan.metadata[inspection.READ] if "--geometry auto" in line)
    assert "corrected by rotate=" in line
    assert "scale_positions=0.8" in line


def test_a_run_until_the_geometry_says_the_verdict_and_its_exit_code(right, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    npz.write_npz("right.npz", right)
    npz.write_npz("swapped.npz", right.at(right.positions[:, ::-1]))
    for name, code, words in (("right", 0, "PASS: the scan as it is given leaves"), ("swapped", 1, "FAIL: ")):
        options = ("--until", "geometry", "--cache", "none", "--out", name)
        assert call("run", "--data", f"{name}.npz", *options) == code
        assert words in " ".join(capsys.readouterr().out.split())


FOUND = Readings(
    errors={"given": 0.05, "shuffled": 0.1, "swap_axes": 0.02, "flip_x": 0.07},
    sure={"given": 0.0, "shuffled": -9.0, "swap_axes": 9.0, "flip_x": -9.0},
    noise=0.01,
    mean_pattern=0.09,
    tells=True,
    patterns=96,
    overlap=0.6,
)
"""As given half is unexplained, with swapped axes an eighth."""


class TestJudge:
    def test_a_reading_that_is_well_and_clearly_better_is_recommended(self):
        judgement, margin, reason = readings.judge(FOUND, MARGIN)
        assert (judgement, margin) == ("fail", pytest.approx(0.25))
        assert reason == (
            "the patterns fit better with swap_axes: 12% of what positions tell are left unexplained on a sample, 50% as it is "
            "given; add --geometry swap_axes"
        )

    @pytest.mark.finding("LEAST-BAD-READING-001")
    @pytest.mark.parametrize(
        "change",
        [
            {"errors": {**FOUND.errors, "given": 0.085, "swap_axes": 0.068}},
            {"sure": {**FOUND.sure, "swap_axes": 3.0}},
            {"errors": {**FOUND.errors, "swap_axes": 0.045}},
        ],
        ids=["not well", "by chance", "hardly better"],
    )
    def test_one_that_is_not_is_no_advice(self, change):
        assert readings.recommended(replace(FOUND, **change)) == ()
        assert "--geometry" not in readings.judge(replace(FOUND, **change), MARGIN)[2]

    def test_between_well_and_hopeless_nothing_is_known(self):
        between = replace(FOUND, errors={**FOUND.errors, "given": 0.07, "swap_axes": 0.068})
        assert readings.judge(between, MARGIN)[0] == "not_applicable"

    def test_of_twins_it_is_said_that_one_comes_out_inverted(self):
        twins = {**FOUND.errors, "flip_axes": 0.02, "conjugate_probe": 0.0201}
        found = replace(FOUND, errors=twins, sure={**FOUND.sure, "flip_axes": 9.0, "conjugate_probe": 9.0})
        reason = readings.judge(found, MARGIN)[2]
        assert "in one of them the image comes out inverted" in reason

    def test_a_map_that_is_none_within_what_is_known_is_no_reading(self):
        errors, sure = {**FOUND.errors, "affine": 0.012}, {**FOUND.sure, "affine": 9.0}
        turned = geometry.turn(3.0)
        found = replace(
            FOUND, errors=errors, sure=sure, linear=tuple(map(tuple, turned)), spread=((0.001,) * 2,) * 2
        )
        assert readings.recommended(found) == ("rotate=3.00",)
        unsure = replace(found, spread=((0.04,) * 2,) * 2)
        assert readings.recommended(unsure) == ("swap_axes",)


def test_the_parts_of_a_map_are_its_turn_its_factor_its_shear_and_its_mirror():
    assert readings.parts(1.2 * geometry.turn(33)) == pytest.approx((33, 1.2, 1, False))
    assert readings.parts(np.diag([1.1, 1.0])) == pytest.approx((0, np.sqrt(1.1), 1.1, False))
    assert readings.parts(np.diag([-1.0, 1.0]))[3] is True


def test_a_measured_siemens_star_lies_as_its_file_says(measured):
    found = readings.compare(npz.read_npz(measured("siemens_star/siemens_star.npz")))
    assert readings.judge(found, MARGIN)[0] == "pass"


def test_a_peers_case_with_two_modes_lies_as_its_file_says(measured):
    with np.load(measured("tike_operator_case/tike_operator_case.npz")) as peer:
        probe = np.pad(peer["probe"][0, 0], ((0, 0), (8, 8), (8, 8)))
        where = peer["scan"].astype(float) + 8  # top-left (row, column) of 16 px, here centres
        patterns = np.fft.fftshift(np.sqrt(peer["data"]), axes=(1, 2))
    found = readings.compare(RawData(where[:, 1], where[:, 0], patterns, probe))
    assert readings.judge(found, MARGIN)[0] == "pass"
