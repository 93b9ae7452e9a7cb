"""Coords: every sign and axis order, against values worked out by hand and loops that cannot be clever."""

import math
from itertools import pairwise

import metamorphic as meta
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptycho.base.errors import CanvasError, DataContractError
from ptycho.physics import coords

# A group whose members have no symmetry about their mean, which is not half way between the extremes.
GROUP = np.array([[10.0, 20.0], [17.0, 21.0], [12.0, 31.0], [30.0, 60.0]])
GROUP_MEAN = (17.25, 33.0)

places = st.floats(-9, 30, allow_nan=False).map(lambda v: round(v, 3))
positions_2d = st.lists(st.tuples(places, places), min_size=1, max_size=6).map(np.array)


def as_groups(*groups):
    """(B, 1, 2, C) from lists of [x, y]."""
    return np.array(groups).transpose(0, 2, 1)[:, None]


class TestGroupFrames:
    @pytest.mark.finding("TORCH-REASSEMBLY-SIGN-001")
    def test_relative_offsets_by_hand(self):
        offsets, relative = coords.group_offsets(as_groups(GROUP))
        assert offsets.shape == (1, 1, 2, 1)
        assert relative.shape == (1, 1, 2, 4)
        assert offsets[0, 0, :, 0].tolist() == list(GROUP_MEAN)
        # The member to the right of and below the mean, (30, 60), has NEGATIVE relative offsets.
        assert relative[0, 0, 0].tolist() == [7.25, 0.25, 5.25, -12.75]
        assert relative[0, 0, 1].tolist() == [13.0, 12.0, 2.0, -27.0]

    @pytest.mark.finding("NEW-LABEL-MIRROR")
    def test_a_member_stands_at_offset_minus_relative(self):
        other = GROUP[::-1] + np.array([100, -3])
        offsets, relative = coords.group_offsets(as_groups(GROUP, other))
        np.testing.assert_allclose(
            coords.member_positions(offsets, relative), np.concatenate([GROUP, other]), rtol=0, atol=1e-12
        )

    @pytest.mark.finding("TF-XLA-BATCH-BROADCAST-001")
    def test_row_b_times_C_plus_c_is_member_c_of_group_b(self):
        offsets = np.array([1000.0, 2000.0, 3000.0]).reshape(3, 1, 1, 1) * np.array([1, 10]).reshape(
            1, 1, 2, 1
        )
        relative = np.array([[-1.0, -2.0], [-5.0, -7.0]]).reshape(1, 1, 2, 2) * np.ones((3, 1, 1, 1))
        expected = [
            [1001, 10005],
            [1002, 10007],
            [2001, 20005],
            [2002, 20007],
            [3001, 30005],
            [3002, 30007],
        ]
        assert coords.member_positions(offsets, relative).tolist() == expected

    @pytest.mark.finding("COORDS-RELATIVE (bug 2026-02-05)")
    def test_with_one_member_the_relative_offset_is_exactly_zero(self):
        groups = np.random.default_rng(0).uniform(0, 400, (7, 1, 2, 1))
        offsets, relative = coords.group_offsets(groups)
        assert not relative.any()
        np.testing.assert_array_equal(offsets, groups)

    @pytest.mark.finding("BASELINE-OFFSET-001")
    @given(st.integers(0, 99), st.floats(-500, 500), st.floats(-500, 500))
    def test_relative_offsets_are_centred_and_blind_to_the_frame(self, seed, dx, dy):
        groups = np.random.default_rng(seed).uniform(0, 400, (5, 1, 2, 4))
        offsets, relative = coords.group_offsets(groups)
        assert np.abs(relative.sum(axis=3)).max() < 1e-9
        moved_offsets, moved_relative = coords.group_offsets(groups + np.array([dx, dy]).reshape(1, 1, 2, 1))
        np.testing.assert_allclose(moved_relative, relative, atol=1e-9)
        np.testing.assert_allclose(moved_offsets[:, 0, :, 0] - offsets[:, 0, :, 0], [[dx, dy]] * 5, atol=1e-9)

    @pytest.mark.parametrize(
        ("mean", "centre"), [(2.0, 2), (2.49, 2), (2.5, 3), (3.5, 4), (-2.5, -2), (-0.51, -1)]
    )
    def test_a_canvas_is_centred_on_the_nearest_pixel_and_always_on_the_upper_of_two(self, mean, centre):
        groups = np.array([mean - 3, mean + 1, mean + 2, mean]).reshape(1, 1, 1, 4) + np.zeros((1, 1, 2, 1))
        centres, from_centres = coords.canvas_offsets(*coords.group_offsets(groups))
        np.testing.assert_array_equal(centres, np.full((1, 1, 2, 1), centre))
        np.testing.assert_allclose(from_centres, centre - groups, atol=1e-12)

    def test_positions_are_gathered_by_member_index(self):
        positions = np.array([[0.0, 100], [1, 101], [2, 102], [3, 103], [4, 104]])
        stacked = coords.stack_channels(positions, np.array([[4, 0, 2], [1, 1, 3]]))
        assert stacked.shape == (2, 1, 2, 3)
        assert stacked[0, 0].tolist() == [[4, 0, 2], [104, 100, 102]]
        assert stacked[1, 0].tolist() == [[1, 1, 3], [101, 101, 103]]

    @pytest.mark.parametrize("shape", [(4, 2), (3, 2, 1, 4), (3, 1, 3, 4), (3, 1, 2, 4, 1)])
    def test_another_layout_is_refused_with_what_was_found(self, shape):
        with pytest.raises(
            DataContractError, match=r"must have shape \(B, 1, 2, C\); got \(" + str(shape[0])
        ):
            coords.group_offsets(np.zeros(shape))

    def test_metamorphic(self):
        groups = np.random.default_rng(3).uniform(0, 90, (6, 1, 2, 4))
        for part in (0, 1):
            meta.batch_independent(lambda g, part=part: coords.group_offsets(g)[part], groups)
            meta.permutation_equivariant(lambda g, part=part: coords.group_offsets(g)[part], groups)
        meta.pure(coords.group_offsets, groups)
        meta.pure(coords.member_positions, *coords.group_offsets(groups))


class TestChannels:
    @pytest.mark.finding("BUG-TF-001")
    @pytest.mark.parametrize(
        ("gridsize", "places"),
        [
            (1, [(0, 0)]),
            (2, [(0, 0), (0, 1), (1, 0), (1, 1)]),
            (3, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]),
        ],
    )
    def test_channels_run_along_rows(self, gridsize, places):
        assert [coords.channel_to_grid(c, gridsize) for c in range(gridsize**2)] == places
        assert [coords.grid_to_channel(*place, gridsize) for place in places] == list(range(gridsize**2))

    @pytest.mark.finding("BUG-TF-001")
    def test_flat_image_b_times_C_plus_c_is_channel_c_of_group_b(self):
        B, H, W, C = 3, 2, 5, 4
        groups = np.zeros((B, H, W, C), int)
        for b in range(B):
            for i in range(H):
                for j in range(W):
                    for c in range(C):
                        groups[b, i, j, c] = 1000 * b + 100 * c + 10 * i + j
        flat = coords.channels_to_flat(groups)
        assert flat.shape == (B * C, H, W)
        for b in range(B):
            for c in range(C):
                assert flat[b * C + c, 1, 3] == 1000 * b + 100 * c + 13
        np.testing.assert_array_equal(coords.flat_to_channels(flat, C), groups)

    def test_images_that_make_no_whole_groups(self):
        with pytest.raises(DataContractError, match="7 images do not make groups of 4"):
            coords.flat_to_channels(np.zeros((7, 2, 2)), 4)


class TestTranslate:
    @pytest.mark.finding("NEW-TRANSLATE-SIGN")
    @pytest.mark.parametrize(
        ("shift", "lands"), [((3, 0), (8, 11)), ((0, 2), (10, 8)), ((-3, 0), (8, 5)), ((2, -4), (4, 10))]
    )
    def test_content_moves_to_larger_indices(self, shift, lands):
        image = np.zeros((15, 19))
        image[8, 8] = 1
        moved = coords.translate(image, shift)
        assert moved.shape == (15, 19)
        assert np.argwhere(moved).tolist() == [list(lands)]
        assert moved[lands] == 1

    @pytest.mark.finding("NEW-TRANSLATE-SIGN")
    def test_a_sub_pixel_shift_shares_by_distance(self):
        image = np.zeros((7, 9))
        image[3, 4] = 1
        moved = coords.translate(image, (0.25, 0.5))
        expected = np.zeros((7, 9))
        expected[3, 4], expected[3, 5], expected[4, 4], expected[4, 5] = 0.375, 0.125, 0.375, 0.125
        np.testing.assert_allclose(moved, expected, atol=1e-15)

    def test_what_leaves_is_lost_and_what_enters_is_zero(self):
        image = np.arange(1.0, 16).reshape(3, 5)
        np.testing.assert_array_equal(
            coords.translate(image, (2, -1)), [[0, 0, 6, 7, 8], [0, 0, 11, 12, 13], [0, 0, 0, 0, 0]]
        )
        assert not coords.translate(image, (5, 0)).any()
        assert not coords.translate(image, (0, -3.0)).any()
        assert not coords.translate(image, (900, -700)).any()

    @given(st.floats(-8, 8), st.floats(-8, 8))
    def test_as_the_loops_say(self, dx, dy):
        image = oracles.noise_object(5, 8, seed=2)
        np.testing.assert_allclose(
            coords.translate(image, (dx, dy)), oracles.translate(image, dx, dy), atol=1e-12
        )

    def test_a_complex_image_is_two_real_ones(self):
        image, shift = oracles.noise_object(6, 9), (1.3, -0.6)
        both = coords.translate(image.real, shift) + 1j * coords.translate(image.imag, shift)
        np.testing.assert_allclose(coords.translate(image, shift), both, atol=1e-15)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
    def test_floating_types_are_kept(self, dtype):
        assert coords.translate(np.eye(5, 7, dtype=dtype), (0.5, 1.5)).dtype == dtype

    @pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
    def test_whole_numbers_move_by_fractions_too(self, dtype):
        image = np.eye(5, 7).astype(dtype)
        np.testing.assert_allclose(
            coords.translate(image, (0.5, 0.25)), oracles.translate(image.astype(float), 0.5, 0.25)
        )

    def test_metamorphic(self):
        image = oracles.noise_object(6, 9)
        shift = (1.25, -2.5)
        move = lambda picture: coords.translate(picture, shift)  # noqa: E731
        meta.pure(move, image)
        meta.dtype_stable(move, image)
        meta.homogeneous(move, image, 2 - 1j, 1)
        meta.equal(coords.translate(image.T, shift[::-1]), move(image).T, atol=1e-14)
        meta.equal(coords.translate(image[:, ::-1], (-shift[0], shift[1])), move(image)[:, ::-1], atol=1e-14)
        meta.equal(coords.translate(image[::-1], (shift[0], -shift[1])), move(image)[::-1], atol=1e-14)


class TestExtract:
    @pytest.mark.finding("REASSEMBLY-BRIDGE-001/axis")
    @pytest.mark.parametrize("size", [4, 6, 32])
    def test_a_patch_is_the_slice_about_its_position_x_being_the_column(self, size):
        obj = oracles.noise_object(61, 97)
        half = size // 2
        where = np.array([[half, half], [97 - half, 61 - half], [70, half + 3], [half + 1, 40]])
        where = np.minimum(where, [97 - half, 61 - half])
        for patch, (x, y) in zip(coords.extract_patches(obj, where, size), where, strict=True):
            np.testing.assert_array_equal(patch, obj[y - half : y + half, x - half : x + half])

    @given(positions_2d, st.sampled_from([1, 2, 3, 6]))
    def test_as_the_loops_say_inside_across_the_edge_and_outside(self, where, size):
        obj = oracles.noise_object(13, 22, seed=4)
        np.testing.assert_allclose(
            coords.extract_patches(obj, where, size), oracles.extract(obj, where, size), atol=1e-12
        )

    def test_between_pixels_a_plane_stays_a_plane(self):
        """Bilinear interpolation is exact on a + b*x + c*y: an analytic oracle for fraction and sign."""
        y, x = np.mgrid[:40, :55]
        obj = 2.0 + 0.3 * x - 0.7 * y
        for px, py in [(20.37, 11.81), (31.5, 25.25), (17.99, 20.01)]:
            patch = coords.extract_patches(obj, np.array([[px, py]]), 8)[0]
            i, j = np.mgrid[:8, :8]
            np.testing.assert_allclose(patch, 2.0 + 0.3 * (px - 4 + j) - 0.7 * (py - 4 + i), atol=1e-12)

    @pytest.mark.finding("NEW-COMPLEX-DTYPE")
    def test_the_phase_is_kept(self):
        obj = oracles.smooth_object(50, 70).astype(np.complex64)
        patch = coords.extract_patches(obj, np.array([[31.0, 22.0]]), 16)[0]
        assert patch.dtype == np.complex64
        crop = obj[14:30, 23:39]
        assert np.abs(np.angle(crop)).max() > 0.5
        assert np.abs(np.angle(patch) - np.angle(crop)).max() < 1e-6

    def test_half_a_patch_beyond_the_edge_is_zero(self):
        patch = coords.extract_patches(np.ones((20, 30)), np.array([[0.0, 20.0]]), 8)[0]
        expected = np.zeros((8, 8))
        expected[:4, 4:] = 1
        np.testing.assert_array_equal(patch, expected)

    def test_windows_need_not_be_square(self):
        image = oracles.noise_object(20, 30)
        window = coords.extract_windows(image, np.array([[7, 3]]), (4, 11))[0]
        np.testing.assert_array_equal(window, image[3:7, 7:18])

    def test_metamorphic(self):
        obj = oracles.noise_object(24, 37, seed=6)
        where = oracles.scan_positions(7, obj.shape, 8, seed=2)
        x, y = where.T
        patches = coords.extract_patches(obj, where, 8)
        meta.batch_independent(lambda p: coords.extract_patches(obj, p, 8), where)
        meta.permutation_equivariant(lambda p: coords.extract_patches(obj, p, 8), where)
        meta.pure(coords.extract_patches, obj, where, 8)
        meta.dtype_stable(lambda o: coords.extract_patches(o, where, 8), obj)
        meta.homogeneous(lambda o: coords.extract_patches(o, where, 8), obj, 3j, 1)
        close = {"atol": 1e-12}
        meta.equal(coords.extract_patches(obj.T, np.stack([y, x], 1), 8), meta.transposed(patches), **close)
        mirrored = coords.extract_patches(obj[:, ::-1], np.stack([37 - x, y], 1), 8)
        meta.equal(mirrored, patches[:, :, ::-1], **close)
        upside_down = coords.extract_patches(obj[::-1], np.stack([x, 24 - y], 1), 8)
        meta.equal(upside_down, patches[:, ::-1], **close)
        framed = np.pad(obj, ((5, 2), (11, 1)))
        meta.equal(coords.extract_patches(framed, where + np.array([11, 5]), 8), patches, **close)


class TestSpread:
    def test_a_single_pixel_by_hand(self):
        window = np.zeros((1, 2, 3))
        window[0, 1, 2] = 8
        spread, corners = coords.spread_windows(window, np.array([[10.75, -4.5]]))
        assert corners.tolist() == [[10, -5]]
        expected = np.zeros((1, 3, 4))
        expected[0, 1, 2], expected[0, 1, 3], expected[0, 2, 2], expected[0, 2, 3] = 1, 3, 1, 3
        np.testing.assert_array_equal(spread, expected)

    def test_whole_pixel_places_leave_the_values_alone(self):
        window = oracles.noise_object(5, 5)[None]
        spread, corners = coords.spread_windows(window, np.array([[3.0, 9.0]]))
        assert corners.tolist() == [[3, 9]]
        np.testing.assert_array_equal(spread[0, :5, :5], window[0])
        assert not spread[0, 5].any()
        assert not spread[0, :, 5].any()

    @given(st.floats(0, 6), st.floats(0, 4), st.sampled_from([1, 3, 4]))
    def test_as_the_loops_say(self, x, y, size):
        window = oracles.noise_object(size, size, seed=9)[None]
        spread, corners = coords.spread_windows(window, np.array([[x, y]]))
        canvas = np.zeros((12, 14), complex)
        canvas[corners[0, 1] :, corners[0, 0] :][: size + 1, : size + 1] += spread[0]
        centre = np.array([[x, y]]) + size // 2
        np.testing.assert_allclose(canvas, oracles.place(window, centre, (0, 0), (12, 14)), atol=1e-12)
        assert abs(spread.sum() - window.sum()) < 1e-12

    @given(st.integers(0, 50))
    def test_it_is_the_adjoint_of_extraction(self, seed):
        rng = np.random.default_rng(seed)
        image, windows = (
            oracles.noise_object(17, 26, seed),
            oracles.noise_object(15, 5, seed + 1).reshape(3, 5, 5),
        )
        top_left = rng.uniform([0, 0], [20, 11], (3, 2))
        spread, corners = coords.spread_windows(windows, top_left)
        canvas = np.zeros((18, 27), complex)
        for piece, (x, y) in zip(spread, corners, strict=True):
            canvas[y : y + 6, x : x + 6] += piece
        forward = np.vdot(windows, coords.extract_windows(image, top_left, (5, 5)))
        assert abs(forward - np.vdot(canvas[:17, :26], image)) < 1e-10

    @pytest.mark.parametrize("dtype", [np.uint16, bool])
    def test_whole_numbers_are_shared_too(self, dtype):
        spread, _ = coords.spread_windows(np.ones((1, 2, 2), dtype), np.array([[0.5, 0.0]]))
        np.testing.assert_allclose(spread[0, :2], [[0.5, 1, 0.5], [0.5, 1, 0.5]])

    def test_metamorphic(self):
        windows = oracles.noise_object(15, 3).reshape(5, 3, 3)
        where = oracles.scan_positions(5, (20, 30), 4)
        for part in (0, 1):
            meta.batch_independent(lambda w, p, part=part: coords.spread_windows(w, p)[part], windows, where)
        meta.pure(coords.spread_windows, windows, where)
        meta.dtype_stable(lambda w: coords.spread_windows(w, where)[0], windows)


class TestCanvasFrame:
    def test_by_hand(self):
        # x: footprints 10.2-2 .. 15.7+2, pixels 8..17; y: 30-2 .. 41.5+2, pixels 28..43.
        origin, shape = coords.canvas_frame(np.array([[10.2, 41.5], [15.7, 30.0]]), 4)
        assert origin == (8, 28)
        assert shape == (16, 10)

    @pytest.mark.parametrize("size", [4, 5])
    def test_one_patch_on_a_pixel_is_its_own_canvas(self, size):
        origin, shape = coords.canvas_frame(np.array([[20.0, 31.0]]), size)
        assert origin == (18, 29)
        assert shape == (size, size)

    @pytest.mark.parametrize("size", [4, 5])
    def test_sides_have_the_parity_of_the_patch(self, size):
        _, shape = coords.canvas_frame(np.array([[0.0, 0.0], [3.0, 4.0]]), size)
        assert shape == (size + 4, size + 4)

    @pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/C1")
    def test_the_published_scan_needs_828_pixels(self):
        _, shape = coords.canvas_frame(np.array([[-382.0, 0.0], [382.0, 5.0]]), 64)
        assert shape == (70, 828)

    @pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/C1")
    @given(positions_2d, st.sampled_from([2, 5, 20, 64]))
    def test_it_holds_every_footprint_and_obeys_the_bound(self, where, size):
        (x0, y0), (height, width) = coords.canvas_frame(where, size)
        for x, y in where:
            assert x0 <= math.floor(x - size // 2)
            assert y0 <= math.floor(y - size // 2)
            assert math.ceil(x - size // 2) + size <= x0 + width
            assert math.ceil(y - size // 2) + size <= y0 + height
        centre = (where.min(axis=0) + where.max(axis=0)) / 2
        reach = np.abs(where - centre).max(axis=0)
        assert width >= math.ceil(size + 2 * reach[0] - 1e-9)
        assert height >= math.ceil(size + 2 * reach[1] - 1e-9)
        assert (width - size) % 2 == (height - size) % 2 == 0
        # Not wasteful either: rounding and parity cost at most three pixels.
        assert width <= size + 2 * reach[0] + 3
        assert height <= size + 2 * reach[1] + 3

    def test_more_positions_never_shrink_it(self):
        where = oracles.scan_positions(30, (200, 300), 64)
        shapes = [coords.canvas_frame(where[:count], 64)[1] for count in range(1, 31)]
        assert all(small[0] <= big[0] and small[1] <= big[1] for small, big in pairwise(shapes))

    @pytest.mark.parametrize("where", [np.zeros((0, 2)), np.zeros((3, 3)), np.zeros(2)])
    def test_what_are_no_positions(self, where):
        with pytest.raises(CanvasError, match=r"must have shape \(M, 2\) with M > 0; got \("):
            coords.canvas_frame(where, 64)


class TestInsideObject:
    @pytest.mark.finding("PTYCHOVIT-FRAME-001")
    def test_x_goes_with_the_width_and_y_with_the_height(self):
        where = np.array([[0, 0], [30, 20], [25, 5], [5, 25], [-0.1, 5], [31, 5], [5, -0.1]])
        assert coords.inside_object(where, (20, 30)).tolist() == [
            True,
            True,
            True,
            False,
            False,
            False,
            False,
        ]

    @pytest.mark.finding("PTYCHOVIT-FRAME-001")
    def test_a_margin_keeps_whole_footprints_inside(self):
        where = np.array([[4, 4], [26, 16], [3.9, 10], [26.1, 10], [15, 3.9], [15, 16.1]])
        assert coords.inside_object(where, (20, 30), 4).tolist() == [True, True, False, False, False, False]


class TestCentreCrop:
    @pytest.mark.parametrize(
        ("side", "size", "first"),
        [(8, 4, 2), (9, 4, 2), (9, 5, 2), (8, 5, 1), (8, 8, 0), (7, 7, 0), (5, 1, 2)],
    )
    @pytest.mark.finding("NEW-TRIM-ZERO")
    def test_margins_even_odd_and_none(self, side, size, first):
        image = np.arange(side * (side + 2)).reshape(side, side + 2)
        cropped = coords.centre_crop(image, size)
        np.testing.assert_array_equal(cropped, image[first : first + size, first + 1 : first + 1 + size])

    def test_leading_axes_are_kept(self):
        stack = np.arange(2 * 3 * 6 * 7).reshape(2, 3, 6, 7)
        np.testing.assert_array_equal(coords.centre_crop(stack, 4)[1, 2], coords.centre_crop(stack[1, 2], 4))

    @pytest.mark.parametrize("size", [0, -2, 7])
    def test_what_cannot_be_cropped(self, size):
        with pytest.raises(CanvasError, match=f"cannot crop {size} px out of 6 x 9"):
            coords.centre_crop(np.zeros((6, 9)), size)
