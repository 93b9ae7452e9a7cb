"""What a detector's file holds beside light: gap codes, no numbers, negative counts, masks, cubes."""

import damaged
import numpy as np
import pytest

from ptycho.base.errors import DataContractError
from ptycho.scan import inspection
from ptycho.scan.formats import detector, npz

GAP = slice(44, 46)


@pytest.fixture(scope="module")
def scan():
    return damaged.clean("structured probe")


@pytest.fixture
def file_of(scan, tmp_path):
    def save(counts, name="scan.npz", **more):
        arrays = {"xcoords": scan.xcoords, "ycoords": scan.ycoords, "probeGuess": scan.probe[0]}
        np.savez(tmp_path / name, diff3d=counts, **arrays, **more)
        return tmp_path / name

    return save


def counts(scan, dtype=np.float32):
    return damaged.counts_of(scan).round().astype(dtype)


@pytest.mark.finding("GAP-CODES-001")
@pytest.mark.parametrize(
    ("dtype", "code"),
    [(np.float32, np.nan), (np.float64, np.inf), (np.int32, -1), (np.int16, -2), (np.float32, -1)],
)
def test_a_code_for_no_value_makes_the_mask(scan, file_of, dtype, code):
    stack = counts(scan, dtype)
    stack[:, GAP] = code
    raw = npz.read_npz(file_of(stack), intensity=True)
    assert np.argwhere(raw.bad_pixels).tolist() == [[y, x] for y in (44, 45) for x in range(64)]
    good = ~raw.bad_pixels
    np.testing.assert_allclose(raw.diff3d[:, good], np.sqrt(counts(scan)[:, good]), rtol=1e-6)
    assert not raw.diff3d[:, GAP].any()
    assert "128 pixels" in raw.metadata[inspection.READ][0]


@pytest.mark.finding("GAP-CODES-001")
@pytest.mark.parametrize(
    ("dtype", "code"), [(np.uint32, 2**32 - 1), (np.uint16, 2**16 - 1), (np.int32, 2**31 - 1)]
)
def test_the_largest_number_of_a_type_is_masked_when_the_scan_is_looked_at(scan, file_of, dtype, code):
    stack = counts(scan, dtype)
    stack[:, GAP] = code
    found = inspection.inspect(npz.read_npz(file_of(stack), intensity=True))
    assert np.argwhere(found.scan.bad_pixels).tolist() == [[y, x] for y in (44, 45) for x in range(64)]


@pytest.mark.finding("GAP-CODES-001")
def test_a_frame_of_no_numbers_is_a_dark_one_and_its_pixels_stay(scan, file_of):
    stack = counts(scan)
    stack[7] = np.nan
    stack[9, 3, 4] = np.nan
    raw = npz.read_npz(file_of(stack), intensity=True)
    assert np.argwhere(raw.bad_pixels).tolist() == [[3, 4]]  # one mask for all frames
    assert raw.metadata[inspection.READ][1] == "1 frames are NaN or infinite (row 7), and taken for dark ones"
    assert 7 not in inspection.inspect(raw).kept


@pytest.mark.parametrize("of", ["frames", "pixels"])
def test_nothing_but_no_numbers_is_refused(scan, file_of, of):
    stack = counts(scan)
    stack[slice(None) if of == "frames" else (slice(None), slice(None))] = np.nan
    with pytest.raises(DataContractError, match="no frame of diff3d has values"):
        npz.read_npz(file_of(stack), intensity=True)


class TestNegativeCounts:
    @pytest.mark.finding("NEGATIVE-COUNTS-001")
    def test_after_a_background_was_subtracted_they_are_taken_for_zero_and_told(self, scan, file_of):
        stack = counts(scan) - np.float32(0.4)
        raw = npz.read_npz(file_of(stack), intensity=True)
        np.testing.assert_allclose(raw.diff3d, np.sqrt(np.maximum(stack, 0)), rtol=1e-6)
        (line,) = raw.metadata[inspection.READ]
        assert f"{int((stack < 0).sum())} negative values in 144 of 144 patterns (rows 0, 1, 2" in line
        assert "the lowest -0.4" in line
        assert raw.bad_pixels is None

    @pytest.mark.finding("NEGATIVE-COUNTS-001")
    def test_too_many_are_refused_with_how_many_where_and_what_to_do(self, scan, file_of):
        stack = counts(scan)
        stack[5:8] -= 4000
        with pytest.raises(DataContractError) as caught:
            npz.read_npz(file_of(stack), intensity=True)
        message = str(caught.value)
        assert "negative values in 3 of 144 patterns (rows 5, 6, 7), the lowest -4000" in message
        assert "too much for noise about zero; subtract less background" in message

    @pytest.mark.finding("NEGATIVE-COUNTS-001")
    def test_those_under_a_mask_are_not_looked_at(self, scan, file_of, tmp_path):
        stack = counts(scan, np.int64)
        stack[:, GAP] = np.random.default_rng(0).integers(-(10**6), 10**6, stack[:, GAP].shape)
        bad = np.zeros((64, 64), np.uint8)
        bad[GAP] = 1
        np.savez(tmp_path / "mask.npz", bad_pixels=bad)
        raw = npz.read_npz(file_of(stack), intensity=True, mask=tmp_path / "mask.npz")
        np.testing.assert_array_equal(raw.bad_pixels, bad.astype(bool))
        assert inspection.READ not in raw.metadata


class TestMasks:
    def test_the_file_of_a_scan_may_bring_one(self, scan, file_of):
        bad = np.zeros((64, 64), bool)
        bad[3, 4] = True
        raw = npz.read_npz(file_of(counts(scan), bad_pixels=bad), intensity=True)
        np.testing.assert_array_equal(raw.bad_pixels, bad)

    def test_it_is_written_and_read_back(self, scan, tmp_path):
        bad = np.zeros((64, 64), bool)
        bad[3, 4] = True
        masked = scan.derived(bad_pixels=bad)
        npz.write_npz(tmp_path / "scan.npz", masked)
        again = npz.read_npz(tmp_path / "scan.npz")
        assert again.digest == masked.digest or np.array_equal(again.bad_pixels, bad)
        np.testing.assert_array_equal(again.diff3d, masked.diff3d)

    def test_two_that_agree_are_one(self, scan, file_of, tmp_path):
        bad = np.eye(64, dtype=bool)
        np.savez(tmp_path / "mask.npz", bad_pixels=bad)
        path = file_of(counts(scan), bad_pixels=bad)
        raw = npz.read_npz(path, intensity=True, mask=tmp_path / "mask.npz")
        np.testing.assert_array_equal(raw.bad_pixels, bad)

    @pytest.mark.parametrize(
        ("own", "other", "words"),
        [
            (np.eye(64), np.eye(64)[::-1], r"names 64 pixels and --mask .* names 64, and they differ in 128"),
            (None, np.eye(32), "must be 64 x 64 of 0 and 1"),
            (None, np.ones((64, 64)), "leaves no pixel"),
            (np.eye(32), None, "must be 64 x 64 of 0 and 1"),
            (np.array([["a"]]), None, "bad_pixels must be numeric"),
        ],
    )
    def test_those_that_cannot_be_meant_are_refused(self, scan, file_of, tmp_path, own, other, words):
        mask = None
        if other is not None:
            np.savez(tmp_path / "mask.npz", bad_pixels=other)
            mask = tmp_path / "mask.npz"
        path = file_of(counts(scan), **({} if own is None else {"bad_pixels": own}))
        with pytest.raises(DataContractError, match=words):
            npz.read_npz(path, intensity=True, mask=mask)


@pytest.fixture(scope="module")
def cube(scan):
    return scan.take(np.flatnonzero((np.arange(144) % 12 < 8) & (np.arange(144) // 12 < 8)))


class TestCube:
    """64 patterns of 64 x 64: the shape does not say which axis is the scan."""

    @pytest.fixture
    def read(self, cube, tmp_path):
        def read(stack):
            arrays = {"xcoords": cube.xcoords, "ycoords": cube.ycoords, "probeGuess": cube.probe[0]}
            np.savez(tmp_path / "cube.npz", diff3d=stack, **arrays)
            return npz.read_npz(tmp_path / "cube.npz")

        return read

    @pytest.mark.finding("CUBE-AXIS-001")
    def test_the_last_axis_is_taken_where_that_explains_more_and_it_is_told(self, cube, read):
        raw = read(np.moveaxis(cube.diff3d, 0, -1))
        np.testing.assert_array_equal(raw.diff3d, cube.diff3d)
        assert (
            "diff3d is 64 x 64 x 64, and its last axis is taken for the scan"
            in raw.metadata[inspection.READ][0]
        )

    @pytest.mark.finding("CUBE-AXIS-001")
    def test_the_first_axis_stays_without_a_word(self, cube, read):
        raw = read(cube.diff3d)
        np.testing.assert_array_equal(raw.diff3d, cube.diff3d)
        assert inspection.READ not in raw.metadata

    def test_where_neither_is_clear_the_first_is_taken_and_it_is_told(self, cube, read):
        noise = np.random.default_rng(0).uniform(1, 2, cube.diff3d.shape).astype(np.float32)
        raw = read(noise)
        np.testing.assert_array_equal(raw.diff3d, noise)
        assert "which axis is the scan is not to be told" in raw.metadata[inspection.READ][0]


def test_whole_numbers_of_any_type_keep_their_roots(scan):
    for dtype in (np.uint8, np.uint16, np.int32, np.float64):
        stack = np.minimum(counts(scan, np.int64), 200).astype(dtype)
        read = detector.read(stack, True, None)
        np.testing.assert_allclose(read.amplitudes, np.sqrt(stack.astype(float)), rtol=1e-6)
        assert not read.lines
        assert not read.bad.any()
