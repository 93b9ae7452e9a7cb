"""The gates of a solved object: each fails where it should, passes where it should, and says what was measured."""

from dataclasses import replace

import numpy as np
import pytest

from ptycho.evaluation import solved
from ptycho.physics.stitching import Reconstruction
from ptycho.settings.sections import GatesConfig
from ptycho.solve import explain
from ptycho.solve.explain import Explained
from ptycho.solve.readings import AFFINE, GIVEN, SHUFFLED, Readings
from ptycho.solve.solution import Solution

N, SIDE = 32, 96
CONFIG = GatesConfig()


def left(unexplained, patterns=20, noise=100.0, mean=1100.0):
    """Left-out patterns of which so much is unexplained."""
    ones = np.ones(patterns)
    error = noise + unexplained * (mean - noise)
    return Explained(np.arange(patterns), error * ones, mean * ones, 1e4 * ones, noise * ones)


def readings_of(given, **others):
    """The scan as given leaves so much on a sample, and other readings what they leave."""
    errors = {GIVEN: given, SHUFFLED: 1.2, **others}
    errors = {name: 0.01 + 0.1 * place for name, place in errors.items()}
    return Readings(
        errors=errors,
        sure=dict.fromkeys(errors, 10.0),
        noise=0.01,
        mean_pattern=0.11,
        tells=True,
        linear=((1.0, 0.0), (0.0, 1.0)),
        spread=((0.0, 0.0), (0.0, 0.0)),
        patterns=96,
        overlap=0.7,
    )


RIGHT, INEXACT = readings_of(0.1, affine=0.1), readings_of(0.95, swap_axes=0.97, affine=0.95)
SWAPPED = readings_of(0.95, swap_axes=0.1, affine=0.95)


def solution(positions):
    width = np.mgrid[:N, :N] - N // 2
    probe = np.exp(-(width[0] ** 2 + width[1] ** 2) / 40).astype(np.complex64)[None]
    obj = Reconstruction(
        np.ones((SIDE, SIDE), np.complex64), np.ones((SIDE, SIDE), np.float32), (0, 0), 1.0, len(positions)
    )
    return Solution(obj, probe, positions, np.array([0.1]))


@pytest.fixture
def where():
    return np.random.default_rng(0).uniform(30, 60, (50, 2))


def geometry(comparison, left_out):
    return solved.geometry_verdict(comparison, left_out, CONFIG)


class TestGeometry:
    def test_a_right_scan_passes_whatever_is_left_out(self):
        assert geometry(RIGHT, left(0.9)).status == geometry(RIGHT, explain.NOTHING).status == "pass"

    @pytest.mark.finding("FAR-POSITIONS-001")
    def test_positions_that_were_too_inexact_are_mended_where_the_solution_explains_left_out_patterns(self):
        verdict = geometry(INEXACT, left(0.05))
        assert verdict.status == "pass"
        assert verdict.reason.startswith(
            "as solved the scan as it is given leaves 5% of what positions tell of left-out"
        )
        assert verdict.reason.endswith("(before anything but the probe was refined a sample left 95%)")

    @pytest.mark.parametrize("unexplained", [0.51, 1.2])
    def test_and_are_not_where_it_does_not(self, unexplained):
        assert geometry(INEXACT, left(unexplained)).status == "fail"
        assert geometry(INEXACT, explain.NOTHING).status == "fail"
        assert geometry(INEXACT, left(0.05, mean=100.5)).status == "fail"  # noise hides what would tell

    def test_a_better_reading_stays_better_unless_the_solution_beats_it(self):
        assert "--geometry swap_axes" in geometry(SWAPPED, left(0.3)).reason
        assert geometry(SWAPPED, left(0.3)).status == "fail"
        assert geometry(SWAPPED, left(0.05)).status == "pass"
        assert (
            "a sample left 95%, and 10% in the best other reading, swap_axes)"
            in geometry(SWAPPED, left(0.05)).reason
        )


class TestPositions:
    def test_where_none_moved_that_is_said(self, where):
        verdict = solved.positions_verdict(solution(where), where, left(0.3))
        assert (verdict.status, verdict.reason) == ("pass", "positions are as they were given")

    def test_how_far_they_moved_is_said(self, where):
        moved = where.copy()
        moved[:25] += [3, 4]
        verdict = solved.positions_verdict(solution(moved), where, left(0.05))
        assert verdict.status == "pass"
        assert verdict.reason == "positions moved by 3.5 px (root mean square), at most 5 px"

    @pytest.mark.parametrize(("count", "status"), [(1, "pass"), (2, "fail")])
    def test_at_their_limits_they_may_lie_farther_off(self, where, count, status):
        moved = where.copy()
        moved[:count, 0] = SIDE - N // 2 - 1
        verdict = solved.positions_verdict(solution(moved), where, left(0.05))
        assert verdict.status == status
        assert (
            f"{count} of 50 as far as the solver lets them: they may lie farther off still" in verdict.reason
        )

    @pytest.mark.finding("FAR-POSITIONS-001")
    @pytest.mark.parametrize(
        ("px", "unexplained", "status"),
        [(2.9, 0.3, "pass"), (3.1, 0.3, "fail"), (3.1, 0.09, "pass"), (3.1, 0.11, "fail")],
    )
    def test_far_off_they_are_believed_only_where_nearly_all_is_explained(
        self, where, px, unexplained, status
    ):
        moved = where + px * np.where(np.arange(len(where)) % 2, 1, -1)[:, None] * [0.6, 0.8]
        verdict = solved.positions_verdict(solution(moved), where, left(unexplained))
        assert verdict.status == status
        assert ("these may be other places" in verdict.reason) == (status == "fail")

    @pytest.mark.finding("FAR-POSITIONS-001")
    def test_and_never_where_nothing_tells(self, where):
        verdict = solved.positions_verdict(solution(where + np.array([4, 0])), where, explain.NOTHING)
        assert verdict.status == "fail"


class TestLeftOut:
    @pytest.mark.parametrize(
        ("explained", "status", "words"),
        [
            (
                left(0.2),
                "pass",
                "each half of the patterns predicts the other but for 20% of what positions tell",
            ),
            (left(0.6), "fail", "predicts the other but for 60%"),
            (left(1.1), "fail", "predicts the other no better than their mean does"),
            (left(0.2, mean=100.5), "fail", "differ from their mean by no more than photon noise"),
            (explain.NOTHING, "fail", "the patterns do not overlap, and nothing can be told"),
        ],
    )
    def test_it_is_the_place_between_noise_and_mean_pattern(self, explained, status, words):
        verdict = solved.left_out_verdict(explained, 2.0, CONFIG.max_unexplained)
        assert (verdict.status, words in verdict.reason) == (status, True)


class TestProbe:
    def verdict(self, width):
        y, x = np.mgrid[:64, :64] - 32
        return solved.probe_verdict(np.exp(-(x**2 + y**2) / (2 * width**2)).astype(np.complex64)[None])

    @pytest.mark.parametrize(
        ("width", "status", "words"),
        [
            (0.5, "fail", "nearly a point"),
            (8.0, "pass", "the probe's light covers"),
            (60.0, "fail", "of the frame"),
        ],
    )
    def test_a_point_and_a_frame_full_of_light_are_no_beam(self, width, status, words):
        assert (self.verdict(width).status, words in self.verdict(width).reason) == (status, True)


def test_an_object_with_a_hole_is_not_finite(where):
    sound = solution(where)
    obj = sound.reconstruction.object.copy()
    obj[3, 4] = np.nan
    broken = replace(sound, reconstruction=replace(sound.reconstruction, object=obj, n_nonfinite=1))
    assert [solved.finite_verdict(each).status for each in (sound, broken)] == ["pass", "fail"]


def test_the_affine_map_is_named_where_it_is_better():
    turned = replace(readings_of(0.95, affine=0.05), linear=((0.9, -0.3), (0.3, 0.9)))
    assert turned.moved
    assert AFFINE in turned.errors
    assert "--geometry rotate=" in geometry(turned, left(0.4)).reason
