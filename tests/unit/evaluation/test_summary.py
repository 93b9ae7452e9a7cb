"""What an evaluation reports, number by number, on scans small enough to count by hand."""

import math
from dataclasses import replace

import numpy as np
import oracles
import pytest

from ptycho.evaluation import frames, summary
from ptycho.physics.stitching import Reconstruction
from ptycho.scan.raw import RawData
from ptycho.settings.sections import EvaluationConfig

N = 32
SHAPE = (76, 96)
ORIGIN = (6, 5)
"""Object-frame place of the canvas's [0, 0]: a canvas that shows a part of the object."""
CANVAS = (66, 83)
WHERE = np.array([[24.0, 22], [29, 22], [33, 24], [41, 30], [55, 43], [57, 49], [62, 50], [68, 52]])
"""Whole pixels: each footprint lies on 32 x 32 of them."""


@pytest.fixture
def truth():
    return oracles.noise_object(*SHAPE, seed=3).astype(np.complex64)


@pytest.fixture
def scan():
    """Only its positions and the energy of its patterns matter here."""
    return RawData(WHERE[:, 0], WHERE[:, 1], np.ones((len(WHERE), N, N)), np.ones((N, N)))


@pytest.fixture
def found(truth):
    """The true object as far as the canvas shows it; what coverage it claims is of no interest."""
    x, y = ORIGIN
    shown = truth[y : y + CANVAS[0], x : x + CANVAS[1]].copy()
    return Reconstruction(shown, np.full(CANVAS, 9, np.float32), ORIGIN, 1.0, len(WHERE))


PROBE = np.full((1, N, N), 3.0, np.complex64)
"""Flat: a pixel's coverage is the number of patterns that lit it."""


def lit_times():
    """How many footprints lie on each pixel of the canvas, by loops."""
    count = np.zeros(CANVAS, int)
    for x, y in WHERE.astype(int):
        for row in range(y - N // 2, y + N // 2):
            for column in range(x - N // 2, x + N // 2):
                count[row - ORIGIN[1], column - ORIGIN[0]] += 1
    return count


@pytest.mark.parametrize("threshold", [0.1, 1.0, 2.0])
def test_coverage_is_counted_anew_and_lies_above_the_threshold(found, scan, threshold):
    """A pixel that is lit exactly as often as the threshold says does not count."""
    coverage = summary.evaluate(
        found, None, scan, PROBE, EvaluationConfig(coverage_threshold=threshold)
    ).coverage
    lit = lit_times() > threshold
    box = lit[22 - ORIGIN[1] : 52 - ORIGIN[1] + 1, 24 - ORIGIN[0] : 68 - ORIGIN[0] + 1]
    assert coverage == {
        "threshold": threshold,
        "covered_px": lit.sum(),
        "covered_fraction": pytest.approx(box.mean()),
        "kept_fraction": 1.0,
    }


def test_a_canvas_beside_the_scan_holds_none_of_it(found, scan):
    coverage = summary.evaluate(
        replace(found, origin_xy=(500, 5)), None, scan, PROBE, EvaluationConfig()
    ).coverage
    assert coverage == {"threshold": 0.1, "covered_px": 0, "covered_fraction": 0.0, "kept_fraction": 0.0}


@pytest.mark.parametrize(
    ("corners", "rows", "columns"),
    [
        ([(9.2, 6.0), (10.0, 9.0), (13.7, 15.5)], slice(1, 12), slice(3, 9)),
        ([(9.0, 6.0), (10.0, 9.0), (13.0, 15.0)], slice(1, 11), slice(3, 8)),
        ([(0.0, 0.0), (10.0, 9.0), (99.0, 99.0)], slice(0, 66), slice(0, 83)),
        ([(6.4, 5.9), (88.0, 70.0), (7.0, 5.2)], slice(0, 66), slice(0, 83)),
    ],
    ids=["fractions round outwards", "whole pixels", "beyond on all sides", "just within"],
)
def test_the_scanned_window_spans_the_positions_and_stays_on_the_canvas(found, corners, rows, columns):
    where = np.array(corners)
    scan = RawData(where[:, 0], where[:, 1], np.ones((3, N, N)), np.ones((N, N)))
    assert summary.scanned_window(found, scan) == (rows, columns)


@pytest.mark.parametrize("step", [(-300.0, 0.0), (300.0, 0.0), (0.0, -300.0), (0.0, 300.0)])
def test_the_scanned_window_of_a_scan_elsewhere_is_empty(found, step):
    where = np.array([(9.2, 6.0), (10.0, 9.0), (13.7, 15.5)]) + step
    scan = RawData(where[:, 0], where[:, 1], np.ones((3, N, N)), np.ones((N, N)))
    window = summary.scanned_window(found, scan)
    assert found.object[window].size == 0
    assert all(part.start >= 0 for part in window)


def on_canvas(values, coverage):
    """A reconstruction of 5 x 6 px at the origin, scanned over its rows 1-3 and columns 1-4."""
    where = np.array([(1.0, 1.0), (4.0, 3.0), (2.0, 2.0)])
    scan = RawData(where[:, 0], where[:, 1], np.ones((3, N, N)), np.ones((N, N)))
    return Reconstruction(values, coverage, (0, 0), 1.0, 3), scan


def test_structure_is_that_of_the_lit_pixels_that_the_positions_span():
    values = np.full((5, 6), 100.0, np.complex64)
    coverage = np.full((5, 6), 0.5, np.float32)  # as much as the threshold: not above it
    inside = np.array([0.3, 0.1 + 0.2j, -0.2, 0.4j])
    values[1, 1], values[1, 4], values[3, 1], values[2, 3] = inside
    for pixel in ((1, 1), (1, 4), (3, 1), (2, 3), (4, 4), (0, 2), (2, 5), (2, 0)):
        coverage[pixel] = 0.6
    measured = summary.structure(*on_canvas(values, coverage), 0.5)
    mean = np.abs(inside).mean()
    spread = np.sqrt(np.mean(np.abs(inside - inside.mean()) ** 2))
    assert measured == {
        "mean_amplitude": pytest.approx(mean),
        "std_over_mean": pytest.approx(spread / mean),
        "nonfinite_px": 0,
    }


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_pixel_with_any_light_at_all_that_is_no_number_is_counted(value):
    """Wherever it lies on the canvas; where there is no light the object is not known and may be anything."""
    values = np.ones((5, 6), np.complex64)
    coverage = np.ones((5, 6), np.float32)
    coverage[0], coverage[4, 0], coverage[4, 1] = 0, 0.01, 0.7
    values[0, :3] = values[4, 0] = values[4, 1] = value
    assert summary.structure(*on_canvas(values, coverage), 0.5)["nonfinite_px"] == 2


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_object_with_a_pixel_that_is_no_number_is_evaluated_all_the_same(found, truth, scan, value):
    """Its metrics are undefined, its gate fails; the evaluation that says so must not fail itself."""
    found.object[20, 30] = value
    result = summary.evaluate(found, truth, scan, PROBE, EvaluationConfig())
    assert result.structure["nonfinite_px"] == 1
    assert math.isnan(result.direct["pearson"])
    assert (result.registered["shift_x_px"], result.registered["shift_y_px"]) == (0, 0)


def test_where_nothing_is_lit_or_all_is_dark_there_is_no_structure():
    ones, none = np.ones((5, 6), np.float32), np.zeros((5, 6), np.float32)
    dark = summary.structure(*on_canvas(ones, none), 0.5)
    assert math.isnan(dark["mean_amplitude"])
    assert math.isnan(dark["std_over_mean"])
    zero = summary.structure(*on_canvas(none.astype(np.complex64), ones), 0.5)
    assert zero["mean_amplitude"] == 0
    assert math.isnan(zero["std_over_mean"])


@pytest.mark.parametrize("border", [0, 8])
def test_against_a_truth_the_border_is_left_out_and_said(found, truth, scan, border):
    """The scan reaches to 6 px of the object's edge, so that a border of 8 px takes some of it."""
    direct = summary.evaluate(found, truth, scan, PROBE, EvaluationConfig(border_px=border)).direct
    rows, columns = np.nonzero(lit_times() > 0.1)
    edge = np.minimum.reduce(
        [
            rows + ORIGIN[1],
            SHAPE[0] - 1 - rows - ORIGIN[1],
            columns + ORIGIN[0],
            SHAPE[1] - 1 - columns - ORIGIN[0],
        ]
    )
    assert direct["border_px"] == border
    assert direct["pixels"] == np.sum(edge >= border)
    assert direct["pearson"] == pytest.approx(1)


def test_well_covered_is_what_was_lit_more_than_once(found, truth, scan):
    """Noise where one pattern alone looked lowers the one correlation and not the other."""
    once = lit_times() == 1
    noise = np.random.default_rng(2).uniform(0, 5, CANVAS)
    values = np.where(once, noise, found.object).astype(np.complex64)
    direct = summary.evaluate(
        replace(found, object=values), truth, scan, PROBE, EvaluationConfig(border_px=0)
    ).direct
    assert direct["pearson"] < 0.9
    assert direct["pearson_well_covered"] == pytest.approx(1)


def test_where_coverage_is_not_known_all_that_counts_is_well_covered():
    """Pixels outside of the mask count in neither."""
    values = np.random.default_rng(4).uniform(1, 2, (2, 6, 7))
    mask = np.ones((6, 7), bool)
    mask[0] = False
    pair = frames.Comparison(*values.astype(np.complex64), mask, (0, 0))
    expected = np.corrcoef(values[0, 1:].ravel(), values[1, 1:].ravel())[0, 1]
    assert summary.well_covered_pearson(pair) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("shift", "moved"), [(16.0, True), (16.5, False), (17.0, False)])
def test_a_shift_of_a_quarter_of_the_picture_is_no_registration(
    found, truth, scan, monkeypatch, shift, moved
):
    """The common part of canvas and truth is 66 px high: at 16.5 px and more the direct numbers stand."""
    monkeypatch.setattr(frames, "find_shift", lambda pair: (1.0, -shift))
    result = summary.evaluate(found, truth, scan, PROBE, EvaluationConfig(border_px=0))
    assert (result.registered["pearson"] == pytest.approx(result.direct["pearson"])) != moved
    assert (result.registered["shift_x_px"], result.registered["shift_y_px"]) == (1.0, -shift)


@pytest.mark.finding("MOVED-AWAY-001")
def test_a_shift_that_leaves_nothing_to_compare_is_no_registration():
    """Two pixels count, side by side: moved up by one, neither lies on a pixel that counts."""
    values = np.random.default_rng(4).uniform(1, 2, (2, 12, 12)).astype(np.complex64)
    mask = np.zeros((12, 12), bool)
    mask[6, 6:8] = True
    pair = frames.Comparison(*values, mask, (0, 0))
    np.testing.assert_array_equal(summary.moved(pair, (0.0, 1.0)).mask, mask)
    assert summary.moved(pair, (1.0, 0.0)).mask.sum() == 1
