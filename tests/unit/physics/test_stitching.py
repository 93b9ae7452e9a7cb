"""Stitching: true patches give back the object, in its own frame, whatever the order or chunking."""

import dataclasses
import weakref

import metamorphic as meta
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptycho.base.errors import CanvasError
from ptycho.physics import coords, stitching
from ptycho.physics.stitching import Canvas, PatchChunk, Prediction, Reconstruction

SHAPE = (52, 83)
SIZE = 8


def oracle_patches(count=40, *, size=SIZE, integer=True, seed=3, shape=SHAPE):
    """True patches, uneven weights and their positions: (patches, weights, positions, object)."""
    obj = oracles.noise_object(*shape, seed=seed)
    where = oracles.scan_positions(count, shape, size, seed, integer)
    patches = oracles.extract(obj, where, size).astype(np.complex64)
    weights = np.random.default_rng(seed).uniform(0.2, 2.0, patches.shape).astype(np.float32)
    return patches, weights, where, obj


def stitch(patches, weights, where, *, chunk=256, scan=None, probe=None, **options):
    probe = oracles.lopsided_probe(8) if probe is None else probe
    scan = where if scan is None else scan
    return stitching.stitch(
        stitching.from_arrays(patches, weights, where), scan, probe, chunk=chunk, **options
    )


def placed(where, size, shape=SHAPE):
    """How many footprints of whole-pixel positions lie on each pixel of the object's frame, by loops."""
    count = np.zeros(shape, int)
    for x, y in where.astype(int):
        count[y - size // 2 : y - size // 2 + size, x - size // 2 : x - size // 2 + size] += 1
    return count


def in_frame(reconstruction, image):
    """The part of an object-frame image that a reconstruction's canvas shows, zero outside the image."""
    (x0, y0), (height, width) = reconstruction.origin_xy, reconstruction.object.shape
    padded = np.pad(image, 200)
    return padded[y0 + 200 : y0 + 200 + height, x0 + 200 : x0 + 200 + width]


@pytest.mark.parametrize(
    ("lost", "fits"), [(0.0, True), (5e-7, True), (-5e-7, True), (2e-6, False), (-2e-6, False)]
)
def test_a_canvas_that_loses_more_than_a_millionth_does_not_fit(lost, fits):
    blank = np.zeros((4, 4), np.complex64)
    assert Reconstruction(blank, blank.real, (0, 0), 1 - lost, 1).fits_canvas == fits


@pytest.mark.finding("REASSEMBLY-M-CONTRACT-001")
@pytest.mark.parametrize("side", [6, 8, 10, 24])
def test_patches_of_any_side_are_placed_whole(side):
    """Two patches that touch at a corner: every pixel of both is there, the outermost too."""
    patches = np.random.default_rng(side).normal(size=(2, side, side)).astype(np.complex64)
    where = np.array([[20.0, 30.0], [20.0 + side, 30.0 + side]])
    result = stitch(patches, np.ones(patches.shape, np.float32), where)
    corner = where.astype(int) - side // 2 - result.origin_xy
    for patch, (x, y) in zip(patches, corner, strict=True):
        np.testing.assert_array_equal(result.object[y : y + side, x : x + side], patch)
    assert result.kept_fraction == 1


class TestOracle:
    @pytest.mark.finding("REASSEMBLY-BRIDGE-001/axis")
    @pytest.mark.finding("REASSEMBLY-METRIC-FRAME-001")
    @pytest.mark.finding("PTYCHOVIT-ASSEMBLY-001")
    def test_true_patches_give_the_object_in_the_objects_own_pixels(self):
        patches, weights, where, obj = oracle_patches()
        result = stitch(patches, weights, where)
        covered = in_frame(result, placed(where, SIZE)) > 0
        assert covered.sum() > 500
        np.testing.assert_allclose(result.object[covered], in_frame(result, obj)[covered], rtol=2e-6)
        assert not result.object[~covered].any()

    @pytest.mark.finding("TORCH-REASSEMBLY-SIGN-001")
    @pytest.mark.finding("TORCH-GS2-STITCH-001")
    def test_a_group_of_four_lands_where_its_members_were(self):
        """Places are rebuilt from offsets and relative offsets; patches are slices of the object."""
        raw = oracles.make_scan(integer=True)
        indices = np.random.default_rng(4).integers(0, 23, (9, 4))
        groups = coords.stack_channels(raw.positions, indices)
        where = coords.member_positions(*coords.group_offsets(groups))
        xy = raw.positions[indices.ravel()].astype(int)
        patches = np.array([raw.object_guess[y - 16 : y + 16, x - 16 : x + 16] for x, y in xy])
        result = stitch(patches, np.ones(patches.shape, np.float32), where)
        covered = in_frame(result, placed(xy, 32, raw.object_guess.shape)) > 0
        np.testing.assert_allclose(
            result.object[covered], in_frame(result, raw.object_guess)[covered], rtol=1e-5, atol=1e-5
        )

    @pytest.mark.finding("TORCH-REASSEMBLY-SIGN-001")
    def test_one_bright_pixel_right_of_the_centre_stays_right_of_it(self):
        patch = np.zeros((1, 16, 16), np.complex64)
        patch[0, 8 - 2, 8 + 5] = 7
        result = stitch(patch, np.ones(patch.shape, np.float32), np.array([[40.0, 30.0]]))
        (y,), (x,) = np.nonzero(result.object)
        assert (x + result.origin_xy[0], y + result.origin_xy[1]) == (45, 28)

    def test_between_pixels_it_is_the_weighted_mean_of_the_loops(self):
        patches, weights, where, _ = oracle_patches(12, integer=False, size=6)
        result = stitch(patches, weights, where)
        expected = oracles.merge(
            patches.astype(complex), weights, where, result.origin_xy, result.object.shape
        )
        np.testing.assert_allclose(result.object, expected, rtol=1e-5, atol=1e-6)

    @pytest.mark.finding("REASSEMBLY-BRIDGE-001/axis")
    @given(st.lists(st.tuples(st.floats(0, 14), st.floats(-3, 6)), min_size=1, max_size=5), st.integers(0, 9))
    def test_any_positions_as_the_loops_say(self, where, seed):
        where = np.round(np.array(where), 2)
        patches = oracles.noise_object(4 * len(where), 4, seed).reshape(-1, 4, 4)
        weights = np.random.default_rng(seed).uniform(0.1, 1, patches.shape)
        result = stitch(patches, weights, where, probe=oracles.lopsided_probe(4))
        expected = oracles.merge(patches, weights, where, result.origin_xy, result.object.shape)
        np.testing.assert_allclose(result.object, expected, rtol=1e-4, atol=1e-5)
        assert result.fits_canvas

    @pytest.mark.finding("TORCH-GS2-CENTRAL-MASK-MERGE-001")
    def test_a_constant_merges_to_the_constant_wherever_anything_was_placed(self):
        _, weights, where, _ = oracle_patches(25, integer=False)
        weights[:, 0] = 1e-7  # hardly lit edges count as much as they are worth, not less
        patches = np.full(weights.shape, 3 - 1j, np.complex64)
        result = stitch(patches, weights, where)
        lit = np.abs(result.object) > 0
        assert lit.sum() > 500
        np.testing.assert_allclose(result.object[lit], 3 - 1j, rtol=1e-5)

    def test_two_patches_on_one_place_by_hand(self):
        patches = np.array([np.full((4, 4), 1), np.full((4, 4), 5j)], np.complex64)
        weights = np.array([np.full((4, 4), 3), np.full((4, 4), 1)], np.float32)
        result = stitch(patches, weights, np.array([[20.0, 9], [20.0, 9]]), probe=np.ones((1, 4, 4)))
        (x0, y0) = result.origin_xy
        assert result.object[9 - y0, 20 - x0] == pytest.approx((3 + 5j) / 4)
        assert result.n_patches == 2

    @pytest.mark.finding("STITCH-GRIDSIZE-001")
    def test_a_single_patch_is_itself(self):
        patches, _, where, _ = oracle_patches(1)
        result = stitch(patches, np.ones(patches.shape, np.float32), where)
        (x, y), (x0, y0) = where[0].astype(int) - 4, result.origin_xy
        np.testing.assert_array_equal(result.object[y - y0 : y - y0 + 8, x - x0 : x - x0 + 8], patches[0])

    @pytest.mark.parametrize("size", [1, 5, 7, 20])
    def test_patches_of_any_size_even_or_odd(self, size):
        patches, weights, where, obj = oracle_patches(30, size=size, shape=(60, 91))
        result = stitch(patches, weights, where, probe=oracles.lopsided_probe(4))
        covered = in_frame(result, placed(where, size, (60, 91))) > 0
        np.testing.assert_allclose(result.object[covered], in_frame(result, obj)[covered], rtol=2e-6)


class TestPairing:
    @pytest.mark.finding("TORCH-GS2-POSITION-OFFSETS-001")
    def test_each_patch_stands_at_its_own_place(self):
        """Index-coded patches on places that do not overlap."""
        where = np.array([[10 + 9 * (k % 4), 10 + 11 * (k // 4)] for k in range(12)], float)
        patches = np.arange(1, 13).reshape(-1, 1, 1) * np.ones((12, 6, 6), np.complex64)
        result = stitch(patches, np.ones((12, 6, 6), np.float32), where, probe=np.ones((1, 6, 6)))
        (x0, y0) = result.origin_xy
        for k, (x, y) in enumerate(where.astype(int)):
            assert (result.object[y - 3 - y0 : y + 3 - y0, x - 3 - x0 : x + 3 - x0] == k + 1).all()

    @pytest.mark.finding("PTYCHOVIT-ASSEMBLY-001")
    def test_permuting_the_positions_destroys_the_picture(self):
        patches, weights, where, obj = oracle_patches(60)
        wrong = stitch(patches, weights, np.random.default_rng(0).permutation(where))
        covered = in_frame(wrong, placed(where, SIZE)) > 0
        truth = in_frame(wrong, obj)[covered]
        correlation = np.abs(np.corrcoef(wrong.object[covered].real, truth.real)[0, 1])
        assert correlation < 0.5

    @pytest.mark.finding("TORCH-GS2-POSITION-OFFSETS-001")
    @pytest.mark.parametrize("count", [1, 3, 8])
    def test_positions_that_do_not_match_the_patches_are_refused(self, count):
        with pytest.raises(CanvasError, match=rf"4 patches need positions \(4, 2\); got \({count}, 2\)"):
            PatchChunk(np.ones((4, 6, 6)), np.ones((4, 6, 6)), np.ones((count, 2)))

    @pytest.mark.finding("TORCH-GS2-STITCH-001")
    @pytest.mark.parametrize("shape", [(4, 6, 6, 4), (6, 6), (4, 6, 7)])
    def test_another_layout_is_refused(self, shape):
        with pytest.raises(CanvasError, match=r"patches must have shape \(b, M, M\); got"):
            PatchChunk(np.ones(shape), np.ones(shape), np.ones((shape[0], 2)))

    def test_weights_of_another_shape_are_refused(self):
        with pytest.raises(CanvasError, match=r"weights \(6, 6\) do not match patches \(4, 6, 6\)"):
            PatchChunk(np.ones((4, 6, 6)), np.ones((6, 6)), np.ones((4, 2)))

    @pytest.mark.finding("REASSEMBLY-BRIDGE-001/ring")
    @pytest.mark.parametrize("announced", [3, 5])
    def test_another_number_of_positions_is_refused(self, announced):
        patches, weights, where, _ = oracle_patches(4)
        prediction = stitching.from_arrays(patches, weights, where)
        with pytest.raises(CanvasError, match=f"4 patches need as many positions; got {announced}"):
            dataclasses.replace(prediction, positions=np.resize(where, (announced, 2)))


class TestCanvas:
    @pytest.mark.finding("REASSEMBLY-BRIDGE-001/ring")
    @pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/C1")
    def test_a_raster_is_kept_whole_out_to_its_corners(self):
        """21 x 21 positions, snug canvas: none of the outer ring may go."""
        x, y = np.meshgrid(10 + 3 * np.arange(21), 12 + 2 * np.arange(21))
        where = np.stack([x.ravel(), y.ravel()], 1).astype(float)
        ones = np.ones((441, SIZE, SIZE), np.float32)
        result = stitch(ones.astype(np.complex64), ones, where)
        assert result.n_patches == 441
        assert result.fits_canvas
        assert result.kept_fraction == 1.0
        canvas = Canvas(*coords.canvas_frame(where, SIZE))
        canvas.add(ones, ones, where)
        assert canvas.weight.sum() == 441 * SIZE**2
        assert canvas.weight.min() > 0
        assert (
            canvas.weight[0, 0] == canvas.weight[-1, -1] == canvas.weight[0, -1] == canvas.weight[-1, 0] == 1
        )
        np.testing.assert_array_equal(
            canvas.weight, oracles.place(np.ones((441, SIZE, SIZE)), where, canvas.origin_xy, canvas.shape)
        )

    @pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/C1")
    def test_the_published_failure_does_not_fit_and_says_so(self):
        """A 74-px canvas for a scan over 392 px kept 0.3 % of it, silently."""
        where = oracles.scan_positions(50, (392, 392), 64)
        canvas = Canvas((159, 159), (74, 74))
        canvas.add(np.ones((50, 64, 64)), np.ones((50, 64, 64)), where)
        assert canvas.outside == 50
        assert 0 < canvas.kept_fraction < 0.2
        inside = oracles.place(np.ones((50, 64, 64)), np.round(where), (0, 0), (400, 400))[159:233, 159:233]
        assert canvas.kept_fraction == pytest.approx(inside.sum() / (50 * 64**2), rel=0.05)

    @pytest.mark.finding("REASSEMBLY-BRIDGE-001/ring")
    @pytest.mark.parametrize("step", [(-0.01, 0), (0, -0.01), (2.01, 0), (0, 4.01)])
    def test_a_hundredth_of_a_pixel_beyond_the_edge_counts_as_outside(self, step):
        canvas = Canvas((10, 20), (12, 10))
        canvas.add(np.ones((1, 8, 8)), np.ones((1, 8, 8)), np.array([[14.0, 24.0]]))
        canvas.add(np.ones((1, 8, 8)), np.ones((1, 8, 8)), np.array([[16.0, 28.0]]))
        assert canvas.outside == 0
        canvas.add(np.ones((1, 8, 8)), np.ones((1, 8, 8)), np.array([[14.0, 24.0]]) + step)
        assert canvas.outside == 1
        assert canvas.kept_fraction == pytest.approx(1 - 8 * 0.01 / (3 * 64), rel=1e-9)

    def test_what_lies_beyond_is_lost_and_the_rest_is_placed_where_it_belongs(self):
        canvas = Canvas((0, 0), (8, 9))
        values = np.arange(32.0).reshape(2, 4, 4) + 1
        canvas.add(values, np.ones((2, 4, 4)), np.array([[1.0, 7.0], [40.0, 4.0]]))
        expected = np.zeros((8, 9))
        expected[5:8, 0:3] = values[0, :3, 1:]
        np.testing.assert_array_equal(canvas.merged(), expected)
        assert canvas.outside == 2
        assert canvas.kept_fraction == 9 / 32

    def test_a_stitched_object_that_lost_something_does_not_fit(self):
        patches, weights, where, _ = oracle_patches()
        result = stitch(patches, weights, where)
        assert result.fits_canvas
        assert not dataclasses.replace(result, kept_fraction=0.999).fits_canvas
        assert not dataclasses.replace(result, n_outside=1).fits_canvas

    @pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/C1")
    def test_what_stitching_could_not_place_is_reported(self, monkeypatch):
        """On a canvas of the wrong size, whoever sized it: both ways of adding count, over all chunks."""
        patches, weights, where, _ = oracle_patches(40)
        monkeypatch.setattr(coords, "canvas_frame", lambda positions, size: ((20, 12), (20, 40)))
        result = stitch(patches, weights, where, chunk=7)
        half = SIZE // 2
        x, y = where.T
        whole = (x - half >= 20) & (x + half <= 60) & (y - half >= 12) & (y + half <= 32)
        assert 0 < whole.sum() < 40
        assert result.n_outside == 40 - whole.sum()
        assert not result.fits_canvas

    def test_an_empty_canvas_is_zero_and_lost_nothing(self):
        canvas = Canvas((0, 0), (5, 7))
        assert canvas.merged().shape == (5, 7)
        assert not canvas.merged().any()
        assert canvas.kept_fraction == 1.0

    def test_canvas_positions_are_object_positions_less_the_origin(self):
        patches, weights, where, _ = oracle_patches(5)
        result = stitch(patches, weights, where)
        x0, y0 = result.origin_xy
        assert (x0, y0) != (0, 0)
        np.testing.assert_array_equal(
            result.to_canvas(where), np.stack([where[:, 0] - x0, where[:, 1] - y0], 1)
        )


class TestStream:
    @pytest.mark.finding("REASSEMBLY-BATCH-001")
    @pytest.mark.parametrize("count", [1, 63, 64, 65, 1001])
    def test_chunking_changes_nothing(self, count):
        patches, weights, where, _ = oracle_patches(count, integer=False, size=4)
        whole = stitch(patches, weights, where, chunk=count)
        for chunk in {7, 32, 64, count} if count > 100 else {1, 7, 32, 64}:
            part = stitch(patches, weights, where, chunk=chunk)
            np.testing.assert_allclose(part.object, whole.object, atol=1e-5)
            assert part.n_patches == count

    @pytest.mark.finding("REASSEMBLY-BATCH-001")
    def test_a_prediction_can_be_read_again(self):
        patches, weights, where, _ = oracle_patches(9)
        prediction = stitching.from_arrays(patches, weights, where)
        assert len(prediction) == 9
        for _ in range(2):
            assert [len(chunk.patches) for chunk in prediction.chunks(4)] == [4, 4, 1]
            np.testing.assert_array_equal(np.concatenate([c.positions for c in prediction.chunks(4)]), where)

    def test_progress_counts_every_patch(self):
        patches, weights, where, _ = oracle_patches(9)
        seen = []
        stitch(patches, weights, where, chunk=4, progress=seen.append)
        assert seen == [4, 4, 1]

    def test_memory_does_not_grow_with_the_prediction(self):
        """Of 400 chunks that are read from disk, as it were, no more than the last two are alive at any time."""
        made, most = [], 0

        class OnDisk:
            shape = (400, 8, 8)

            def __len__(self):
                return 400

            def __getitem__(self, rows):
                nonlocal most
                patches = np.ones((len(range(400)[rows]), 8, 8), np.complex64)
                made.append(weakref.ref(patches))
                most = max(most, sum(ref() is not None for ref in made[-20:]))
                return patches

        where, none = np.full((400, 2), 20.0), np.zeros(400)
        prediction = Prediction(OnDisk(), np.ones((400, 8, 8), np.float32), where, none, none)
        result = stitching.stitch(prediction, where, oracles.lopsided_probe(8), chunk=1)
        assert len(made) == 400
        assert most <= 2
        assert result.n_patches == 400

    def test_the_predictor_s_error_is_that_of_all_its_patterns(self):
        """Sums, not a mean of ratios; where nothing was measured it is not known."""
        patches, weights, where, _ = oracle_patches(3)
        known = Prediction(patches, weights, where, np.array([0.1, 0.02, 0.03]), np.array([0.2, 0.3, 0.1]))
        result = stitching.stitch(known, where, oracles.lopsided_probe(8))
        assert result.network_error == pytest.approx(0.15 / 0.6)
        dark = stitching.stitch(
            dataclasses.replace(known, energy=np.zeros(3)), where, oracles.lopsided_probe(8)
        )
        assert np.isnan(dark.network_error)

    @pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/success")
    def test_patches_that_are_not_finite_are_counted(self):
        patches, weights, where, _ = oracle_patches(10)
        patches[3, 2, 2] = np.nan
        patches[7] = np.inf
        assert stitch(patches, weights, where, chunk=3).n_nonfinite == 2


class TestCoverage:
    def test_it_is_the_summed_illumination_at_the_scan_positions(self):
        """The coverage belongs to the patterns, not to the predicted patches."""
        patches, weights, where, _ = oracle_patches(5)
        probe = oracles.lopsided_probe(12, modes=2)
        scan = oracles.scan_positions(7, SHAPE, 12, seed=8)
        result = stitch(patches, weights, where, scan=scan, probe=probe)
        lit = np.zeros((12, 12))
        for mode in probe:
            lit += np.abs(mode) ** 2
        expected = oracles.place(np.array([lit / lit.max()] * 7), scan, result.origin_xy, result.object.shape)
        assert result.coverage.dtype == np.float32
        np.testing.assert_allclose(result.coverage, expected, rtol=1e-5, atol=1e-6)

    def test_one_position_peaks_at_one(self):
        patches, weights, where, _ = oracle_patches(1)
        assert stitch(patches, weights, where).coverage.max() == pytest.approx(1, rel=1e-6)

    def test_the_canvas_holds_patches_and_illumination_both(self):
        small, big = oracles.lopsided_probe(4), oracles.lopsided_probe(24)
        patches, weights, where, _ = oracle_patches(5)
        narrow = stitch(patches, weights, where, probe=small)
        wide = stitch(patches, weights, where, probe=big)
        assert np.array_equal(np.subtract(narrow.origin_xy, wide.origin_xy), [8, 8])
        assert np.array_equal(np.subtract(wide.object.shape, narrow.object.shape), [16, 16])

    def test_the_illumination_peaks_at_one_and_adds_modes_by_intensity(self):
        probe = np.zeros((2, 4, 4), complex)
        probe[0, 1, 2], probe[1, 1, 2], probe[1, 3, 0] = 3j, 4, 5
        expected = np.zeros((4, 4), np.float32)
        expected[1, 2] = expected[3, 0] = 1
        np.testing.assert_array_equal(stitching.illumination(probe), expected)
        assert stitching.illumination(probe).dtype == np.float32

    def test_many_positions_are_covered_in_parts_alike(self):
        scan = oracles.scan_positions(600, SHAPE, 4, seed=8)
        probe = oracles.lopsided_probe(4)
        origin, shape = coords.canvas_frame(scan, 4)
        found = stitching.coverage_map(scan, probe, origin, shape)
        lit = np.abs(probe[0]) ** 2 / (np.abs(probe[0]) ** 2).max()
        np.testing.assert_allclose(
            found, oracles.place(np.array([lit] * 600), scan, origin, shape), rtol=1e-5, atol=1e-5
        )


class TestMetamorphic:
    def test_order_and_purity(self):
        patches, weights, where, _ = oracle_patches(30, integer=False)
        meta.permutation_invariant(lambda p, w, x: stitch(p, w, x).object, patches, weights, where, atol=1e-5)
        meta.permutation_invariant(
            lambda p, w, x: stitch(p, w, x).coverage, patches, weights, where, atol=1e-5
        )
        meta.pure(lambda p, w, x: stitch(p, w, x).object, patches, weights, where)

    @pytest.mark.finding("REASSEMBLY-BRIDGE-001/norm")
    def test_a_factor_on_the_patches_is_a_factor_on_the_object_one_on_the_weights_is_none(self):
        patches, weights, where, _ = oracle_patches(30, integer=False)
        meta.homogeneous(lambda p: stitch(p, weights, where).object, patches, 4.6975j, 1, rtol=1e-5)
        meta.homogeneous(lambda w: stitch(patches, w, where).object, weights, 0.01, 0, rtol=1e-5)

    @pytest.mark.finding("BASELINE-OFFSET-001")
    @pytest.mark.finding("TORCH-REASSEMBLY-COM-STALE-001")
    def test_moving_the_scan_moves_the_frame_and_nothing_else(self):
        patches, weights, where, _ = oracle_patches(30, integer=False)
        here, there = (stitch(patches, weights, where + move) for move in ([0, 0], [87, -140]))
        assert there.origin_xy == (here.origin_xy[0] + 87, here.origin_xy[1] - 140)
        np.testing.assert_allclose(there.object, here.object, atol=1e-5)
        np.testing.assert_allclose(there.coverage, here.coverage, atol=1e-5)
        assert here.object.any()

    @pytest.mark.finding("REASSEMBLY-BRIDGE-001/axis")
    def test_transposing_patches_and_positions_transposes_the_object(self):
        patches, weights, where, _ = oracle_patches(30, integer=False)
        here = stitch(patches, weights, where)
        there = stitch(
            meta.transposed(patches),
            meta.transposed(weights),
            where[:, ::-1],
            probe=meta.transposed(oracles.lopsided_probe(8)),
        )
        assert there.origin_xy == here.origin_xy[::-1]
        assert there.object.shape == here.object.shape[::-1]
        assert here.object.shape[0] != here.object.shape[1]
        np.testing.assert_allclose(there.object, here.object.T, atol=1e-5)
        np.testing.assert_allclose(there.coverage, here.coverage.T, atol=1e-5)

    @pytest.mark.finding("REASSEMBLY-BATCH-001")
    def test_a_complex_object_is_two_real_ones(self):
        patches, weights, where, _ = oracle_patches(30, integer=False)
        real, imag = (
            stitch(part.astype(np.complex64), weights, where) for part in (patches.real, patches.imag)
        )
        both = real.object + 1j * imag.object
        np.testing.assert_allclose(stitch(patches, weights, where).object, both, atol=1e-5)

    @pytest.mark.finding("REASSEMBLY-BATCH-001")
    @pytest.mark.parametrize("integer", [int, np.int64, np.int32, np.array])
    def test_any_kind_of_integer_will_do_for_a_chunk(self, integer):
        patches, weights, where, _ = oracle_patches(5)
        result = stitch(patches, weights, where, chunk=integer(2))
        np.testing.assert_array_equal(result.object, stitch(patches, weights, where).object)
