"""Cutting patches out of the solver's canvas and adding to it, against loops and against each other."""

import numpy as np
import oracles
import pytest

from ptycho.base.errors import CanvasError
from ptycho.solve import places
from ptycho.solve.places import Places

N = 16


@pytest.fixture
def canvas():
    return oracles.noise_object(60, 71, seed=3).astype(np.complex64)


def where(seed=0, count=5, whole=False):
    """Positions whose patches lie in the canvas, at an origin that is not zero."""
    positions = np.random.default_rng(seed).uniform((20, 25), (50, 44), (count, 2))
    return Places(np.round(positions) if whole else positions, N, (5, -3), (60, 71))


@pytest.mark.parametrize("whole", [True, False])
def test_a_patch_is_what_lies_at_its_place(canvas, whole):
    some = where(whole=whole)
    expected = oracles.extract(canvas, some.positions - (5, -3), N)
    np.testing.assert_allclose(some.cut(canvas, np.arange(5)), expected, atol=2e-6)


def test_rows_are_those_that_were_asked_for(canvas):
    some, rows = where(), np.array([3, 0])
    np.testing.assert_array_equal(some.cut(canvas, rows), some.cut(canvas, np.arange(5))[rows])


@pytest.mark.parametrize("whole", [True, False])
def test_adding_is_the_adjoint_of_cutting(canvas, whole):
    some, rows = where(whole=whole), np.array([4, 1, 1])
    patches = oracles.noise_object(3 * N, N, seed=8).reshape(3, N, N).astype(np.complex64)
    added = np.zeros_like(canvas)
    some.add(added, patches, rows)
    assert np.vdot(some.cut(canvas, rows), patches) == pytest.approx(np.vdot(canvas, added), rel=1e-5)


@pytest.mark.finding("STEP-WEIGHT-PLACE-001")
def test_weights_lie_where_the_light_does(canvas):
    """A constant patch over the weight that the same light makes there is 1 where one pattern lies alone, whatever its place."""
    some, one = where(count=1), np.array([0])
    light = np.abs(oracles.lopsided_probe(N)[0]) ** 2 + 0.1
    weights, added = np.full(canvas.shape, 1e-9, np.float32), np.zeros(canvas.shape, np.float32)
    some.add(weights, light[None].astype(np.float32), one)
    some.add(added, light[None].astype(np.float32), one, weights)
    np.testing.assert_allclose(added[added > 0], 1, rtol=1e-4)
    assert (added > 0).sum() == (N + 1) ** 2


def test_exactly_the_pixels_that_patches_touch_are_filled(canvas):
    some, rows = where(), np.array([0, 2])
    touched = np.zeros(canvas.shape, np.float32)
    some.add(touched, np.ones((2, N, N), np.float32), rows)
    filled = np.zeros(canvas.shape, np.float32)
    some.fill(filled, 7.0, rows)
    assert (filled[touched > 0] == 7).all()
    assert filled.sum() <= 7 * 2 * (N + 1) ** 2


def test_what_would_leave_the_canvas_stays_at_its_edge(canvas):
    some = where()
    far = some.moved(np.full((5, 2), 1e3)).moved(np.full((5, 2), -1.0))
    assert far.cut(canvas, np.arange(5)).shape == (5, N, N)
    near = some.moved(np.full((5, 2), -1e3))
    np.testing.assert_array_equal(near.positions, [[5 + N // 2, -3 + N // 2]] * 5)
    np.testing.assert_allclose(some.moved(np.full((5, 2), 0.25)).positions, some.positions + 0.25)


def test_a_canvas_holds_its_scan_with_a_margin():
    positions = np.array([[3.2, -7.9], [40.0, 22.5]])
    made = places.places_of(positions, N)
    top_left = positions - N // 2 - np.array(made.origin_xy)
    assert (top_left >= places.MARGIN).all()
    assert (top_left + N + 1 <= np.array(made.shape)[::-1] - places.MARGIN + 1).all()


@pytest.mark.parametrize("to", [(-0.5, 0), (0, -0.5), (55, 0), (0, 44), (np.nan, 0), (0, np.inf)])
def test_no_patch_is_cut_or_put_beyond_the_canvas(canvas, to):
    some = Places(np.add([(0, 0), to], (13, 5)), N, (5, -3), (60, 71))
    with pytest.raises(CanvasError, match=r"1 of 2 patches reach beyond .*pattern 1 at"):
        some.cut(canvas, np.arange(2))
    with pytest.raises(CanvasError, match=r"1 of 2 patches reach beyond .*pattern 1 at"):
        some.add(canvas, np.zeros((2, N, N), np.complex64), np.arange(2))


@pytest.mark.parametrize("to", [(0, 0), (54, 43)])
def test_the_last_pixels_of_a_canvas_may_be_cut(canvas, to):
    some = Places(np.add([to], (13, 5)), N, (5, -3), (60, 71))
    x, y = to
    np.testing.assert_allclose(some.cut(canvas, np.arange(1))[0], canvas[y : y + N, x : x + N], atol=2e-6)


def test_who_would_leave_the_canvas_is_known():
    some = where()
    assert not some.at_edge.any()
    steps = np.zeros((5, 2))
    steps[1], steps[3] = (1000, 0), (0, -1000)
    moved = some.moved(steps)
    assert moved.at_edge.tolist() == [False, True, False, True, False]
    assert np.isfinite(moved.cut(np.ones((60, 71), np.complex64), np.arange(5))).all()


class TestWhatGoesIntoCompiledLoops:
    @pytest.fixture
    def where(self):
        return places.places_of(np.array([[20.0, 20.5], [60.0, 40.25]]), 32)

    @pytest.mark.parametrize(
        "canvas",
        [
            lambda shape: np.ones((4, 4), np.complex64),
            lambda shape: np.ones((shape[0], shape[1] - 1), np.complex64),
            lambda shape: np.ones(shape, np.complex128),
            lambda shape: np.ones(shape[::-1], np.complex64).T,
        ],
        ids=["small", "narrow", "double", "columns"],
    )
    def test_a_canvas_of_another_shape_or_kind_is_refused(self, where, canvas):
        patches = np.ones((2, 32, 32), np.complex64)
        with pytest.raises(CanvasError, match="give the canvas that was made for them"):
            where.cut(canvas(where.shape), np.arange(2))
        with pytest.raises(CanvasError, match="give the canvas that was made for them"):
            where.add(canvas(where.shape), patches, np.arange(2))

    @pytest.mark.parametrize("shape", [(2, 33, 33), (3, 32, 32), (2, 16, 16)])
    def test_patches_of_another_number_or_size_are_refused(self, where, shape):
        with pytest.raises(CanvasError, match="cannot be added at 2 places of 32 px a side"):
            where.add(np.ones(where.shape, np.complex64), np.ones(shape, np.complex64), np.arange(2))

    def test_weights_of_another_shape_are_refused(self, where):
        canvas, patches = np.ones(where.shape, np.complex64), np.ones((2, 32, 32), np.complex64)
        with pytest.raises(CanvasError):
            where.add(canvas, patches, np.arange(2), np.ones((3, 3), np.float32))
