"""Reconstruction and truth on the same pixels, by loops; what has no structure is not registered."""

import numpy as np
import pytest

from ptycho.base.errors import DataContractError
from ptycho.evaluation import frames, summary
from ptycho.evaluation.frames import Comparison
from ptycho.physics.stitching import Reconstruction


def reconstruction(origin, shape, seed=0):
    rng = np.random.default_rng(seed)
    field = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    return Reconstruction(field, rng.uniform(0, 2, shape).astype(np.float32), origin, 1.0, 1)


def truth(shape, seed=1):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


@pytest.mark.parametrize("origin", [(0, 0), (3, 5), (-4, 2), (2, -3), (-3, -4), (9, 1), (1, 9)])
@pytest.mark.parametrize(("canvas", "whole"), [((12, 15), (20, 14)), ((30, 9), (11, 25)), ((6, 5), (40, 40))])
def test_every_common_pixel_is_compared_with_its_own(origin, canvas, whole):
    made, true = reconstruction(origin, canvas), truth(whole)
    pair = frames.compare_frames(made, true, 0.5)
    common = {
        (x, y)
        for x in range(max(origin[0], 0), min(origin[0] + canvas[1], whole[1]))
        for y in range(max(origin[1], 0), min(origin[1] + canvas[0], whole[0]))
    }
    left, top = pair.origin_xy
    height, width = pair.mask.shape
    assert {(left + i, top + j) for i in range(width) for j in range(height)} == common
    for x, y in common:
        here, there = (y - top, x - left), (y - origin[1], x - origin[0])
        assert pair.prediction[here] == made.object[there]
        assert pair.truth[here] == true[y, x]
        assert pair.mask[here] == (made.coverage[there] > 0.5)


def test_a_pixel_at_the_threshold_does_not_count_and_no_border_is_left_out_unasked():
    made, true = reconstruction((0, 0), (4, 5)), truth((4, 5))
    made.coverage[:] = 0.75
    made.coverage[0, 0] = 0.5
    mask = frames.compare_frames(made, true, 0.5).mask
    assert not mask[0, 0]
    assert mask.sum() == 19
    assert frames.compare_frames(made, true, 0.1, 1).mask.sum() == 2 * 3


@pytest.mark.parametrize("origin", [(7, 0), (-5, 0), (0, 6), (0, -4), (7, 6)])
def test_canvases_that_only_touch_share_nothing(origin):
    with pytest.raises(DataContractError, match="share no pixel"):
        frames.compare_frames(reconstruction(origin, (4, 5)), truth((6, 7)), 0.5)


def test_one_pixel_in_common_is_enough():
    made = reconstruction((6, 5), (4, 5))
    made.coverage[:] = 1
    pair = frames.compare_frames(made, truth((6, 7)), 0.5)
    assert (pair.mask.shape, pair.origin_xy) == ((1, 1), (6, 5))


def textured(mean, spread, seed=3):
    rng = np.random.default_rng(seed)
    return mean + spread * rng.normal(size=(24, 30))


@pytest.mark.parametrize("mean", [1e-4, 1.0, 1e4])
def test_images_without_structure_are_not_moved(mean):
    """Structure is counted in units of the object: of 1e-7 it is none, of 1e-3 it is."""
    mask = np.ones((24, 30), bool)
    flat, fine = textured(mean, 1e-7 * mean), textured(mean, 1e-3 * mean)
    for pair in ((flat, fine), (fine, flat), (np.full((24, 30), mean), fine)):
        assert frames.find_shift(Comparison(*pair, mask, (0, 0))) == (0.0, 0.0)
    moved = frames.find_shift(Comparison(np.roll(fine, (0, 3), axis=(0, 1)), fine, mask, (0, 0)))
    assert moved[0] == pytest.approx(-3, abs=0.2)


def test_what_is_not_finite_is_not_moved():
    image = textured(1.0, 0.3)
    broken = image.copy()
    broken[3, 4] = np.nan
    mask = np.ones((24, 30), bool)
    assert frames.find_shift(Comparison(broken, image, mask, (0, 0))) == (0.0, 0.0)


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
def test_far_shifts_are_found_in_any_unit_whatever_lies_outside_of_the_mask(unit):
    """The mask does not move, and neither it nor what it hides draws the answer towards zero."""
    true = textured(2 * unit, 0.1 * unit)
    prediction = np.roll(true, (6, -8), axis=(0, 1))
    mask = np.zeros((24, 30), bool)
    mask[2:15, 11:28] = True
    prediction[~mask] = textured(3 * unit, unit, seed=8)[~mask]
    found = frames.find_shift(Comparison(prediction, true, mask, (0, 0)))
    assert found == pytest.approx((8, -6), abs=0.3)


def test_a_moved_prediction_is_a_complex_field_and_what_came_from_outside_does_not_count():
    """A whole pixel moves every value as it is; the pixels at the rim have none."""
    field = truth((24, 30))
    pair = frames.apply_shift(Comparison(field, field, np.ones((24, 30), bool), (0, 0)), (2.0, -3.0))
    np.testing.assert_allclose(pair.prediction[:-3, 2:], field[3:, :-2], atol=1e-5)
    counted = np.zeros((24, 30), bool)
    counted[:-3, 2:] = True
    np.testing.assert_array_equal(pair.mask, counted)


def test_the_well_covered_part_is_told_without_the_rim():
    """Only where the coverage exceeds one is the prediction right; the pixels are found by loops."""
    made, true = reconstruction((-2, 3), (16, 18)), truth((20, 14))
    pair = frames.compare_frames(made, true, 0.1)
    for row, column in np.ndindex(*pair.mask.shape):
        y, x = row + pair.origin_xy[1], column + pair.origin_xy[0]
        if made.coverage[y - 3, x + 2] > 1:
            made.object[y - 3, x + 2] = true[y, x]
    pair = frames.compare_frames(made, true, 0.1)
    assert summary.well_covered_pearson(pair) == pytest.approx(1, abs=1e-6)
    everything = np.corrcoef(np.abs(pair.prediction[pair.mask]), np.abs(pair.truth[pair.mask]))[0, 1]
    assert everything < 0.9
