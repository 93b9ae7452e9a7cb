"""Frames of a detector become patterns: cut about the beam, in pixels of the object."""

import numpy as np
import pytest

from ptycho.base.errors import DataContractError
from ptycho.scan import inspection
from ptycho.scan.formats import source
from ptycho.scan.formats.source import Source, Window
from ptycho.scan.optics import Optics

OPTICS = Optics(1.4e-10, 1.9, 75e-6)


def spot(shape, centre, width):
    """A round beam."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return 1000 * np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / (2 * width**2))


def of(frames, **more):
    count = len(frames)
    positions = np.stack([np.arange(count) * 1e-7, np.arange(count) % 3 * 1e-7], axis=1)
    return Source(**{"patterns": frames, "positions": positions, "optics": OPTICS, **more})


class TestWindow:
    def test_it_is_cut_about_its_centre_and_filled_where_there_is_no_detector(self):
        frame = np.arange(12).reshape(3, 4)
        cut = Window(4, (0, 3)).cut(frame, -1)
        assert cut.tolist() == [[-1, -1, -1, -1], [-1, -1, -1, -1], [1, 2, 3, -1], [5, 6, 7, -1]]
        assert Window(2, (1, 1)).cut(frame).tolist() == [[0, 1], [4, 5]]
        assert Window(2, (1, 1)).cut(np.stack([frame, frame])).shape == (2, 2, 2)

    @pytest.mark.parametrize(
        ("shape", "centre", "width", "N"),
        [
            ((195, 180), (90, 101), 8.0, 64),
            ((195, 180), (90, 101), 20.0, 128),
            ((514, 514), (250, 260), 30.0, 256),
            ((60, 60), (30, 29), 4.0, 32),
        ],
    )
    def test_the_smallest_that_holds_the_light_is_taken_about_the_beam(self, shape, centre, width, N):
        assert source.window_of(spot(shape, centre, width)) == Window(N, centre)

    def test_a_detector_that_is_smaller_is_filled_up(self):
        flat = np.ones((100, 100))
        assert source.window_of(flat).N == 128

    def test_light_elsewhere_does_not_move_it(self):
        """A second spot, as a reflection leaves it, far from the beam."""
        frame = spot((256, 256), (100, 120), 4.0) + 0.1 * spot((256, 256), (220, 30), 2.0)
        assert source.window_of(frame, 64) == Window(64, (100, 120))

    def test_nor_does_a_hot_pixel(self):
        frame = spot((256, 256), (100, 120), 6.0)
        frame[200, 17] = 1e9
        assert source.window_of(source.without_hot_pixels(frame)) == Window(64, (100, 120))

    def test_a_side_that_the_program_does_not_have_is_refused(self):
        with pytest.raises(DataContractError, match="--pixels 100: must be one of 32, 64, 128, 256"):
            source.window_of(np.ones((100, 100)), 100)

    def test_no_light_is_told(self):
        with pytest.raises(DataContractError, match="hold no light"):
            source.window_of(np.zeros((64, 64)))


class TestScan:
    def test_positions_are_pixels_of_the_object_with_the_whole_first_patch_inside(self):
        scan = source.scan_of(of(np.stack([spot((80, 80), (41, 38), 5.0)] * 7)), Optics())
        pixel = 1.4e-10 * 1.9 / (scan.N * 75e-6)
        np.testing.assert_allclose(np.diff(scan.xcoords), 1e-7 / pixel)
        assert (scan.xcoords.min(), scan.ycoords.min()) == (scan.N / 2, scan.N / 2)
        assert scan.metadata["optics"] == {
            "wavelength_m": 1.4e-10,
            "distance_m": 1.9,
            "detector_pixel_m": 75e-6,
        }

    def test_what_was_cut_and_how_large_a_pixel_is_are_told(self):
        lines = source.scan_of(
            of(np.stack([spot((80, 80), (41, 38), 7.0)] * 7), lines=("from a file",)), Optics()
        ).metadata[inspection.READ]
        assert lines[0] == "from a file"
        assert lines[1] == "64 x 64 of 80 x 80 detector pixels about row 41, column 38 (100.0% of the light)"
        assert lines[2].endswith("object pixel 55.4 nm")

    def test_pixels_that_the_detector_lacks_are_masked(self):
        scan = source.scan_of(of(np.stack([spot((80, 80), (70, 40), 5.0)] * 7)), Optics())
        bad = np.flatnonzero(scan.bad_pixels.all(axis=1))
        assert bad.tolist() == list(range(scan.N // 2 + 10, scan.N))

    def test_the_largest_number_in_every_frame_stands_for_no_value(self):
        frames = np.stack([spot((64, 64), (32, 32), 4.0)] * 7).astype(np.uint32)
        frames[:, 5:7, 9] = 2**32 - 1
        frames[3, 30, 30] = 2**32 - 1
        scan = source.scan_of(of(frames), Optics(), 64)
        assert np.argwhere(scan.bad_pixels).tolist() == [[5, 9], [6, 9]]
        assert any(
            "2 pixels hold 4294967295, which stands for no value" in line
            for line in scan.metadata[inspection.READ]
        )

    def test_amplitudes_are_no_counts(self):
        frames = np.stack([spot((64, 64), (32, 32), 4.0)] * 7).astype(np.float32)
        counts, amplitudes = (
            source.scan_of(of(frames, amplitudes=own), Optics(), 64) for own in (False, True)
        )
        np.testing.assert_allclose(counts.diff3d, np.sqrt(frames), rtol=1e-6)
        np.testing.assert_allclose(amplitudes.diff3d, frames)

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"positions": np.zeros((5, 2))}, "7 patterns but 5 positions; add --pair leading"),
            ({"positions": np.full((7, 2), np.nan)}, "positions hold values that are no numbers"),
            (
                {"optics": Optics(None, 1.0, None)},
                "how large a pixel of the object is; add --energy, --detector-pixel",
            ),
            ({"bad": np.zeros((3, 3), bool)}, r"the mask is \(3, 3\) and the frames are \(64, 64\)"),
        ],
    )
    def test_what_is_not_of_one_scan_is_refused(self, more, words):
        with pytest.raises(DataContractError, match=words):
            source.scan_of(of(np.stack([spot((64, 64), (32, 32), 4.0)] * 7), **more), Optics())


class TestCentre:
    frames = np.stack([spot((80, 80), (41, 38), 5.0)] * 7)

    def told(self, centre):
        lines = source.scan_of(of(self.frames, centre=centre), Optics(), 64).metadata[inspection.READ]
        return next(line for line in lines if "detector pixels about" in line)

    def test_what_a_file_states_is_the_zero_frequency(self):
        assert "about row 40, column 40" in self.told((40, 40))

    @pytest.mark.parametrize("centre", [(0, 0), (40, 70), None])
    def test_but_not_where_its_light_is_far_from_there(self, centre):
        assert "about row 41, column 38" in self.told(centre)


class Counted:
    """Patterns of a long scan, made when they are asked for, and how many were asked for."""

    shape, dtype = (5000, 64, 64), np.dtype(np.uint16)

    def __init__(self):
        self.asked, self.frame = 0, spot((64, 64), (32, 32), 4.0).astype(np.uint16)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        if isinstance(rows, (int, np.integer)):
            self.asked += 1
            return self.frame
        count = len(range(*rows.indices(len(self)))) if isinstance(rows, slice) else len(rows)
        self.asked += count
        return np.repeat(self.frame[None], count, axis=0)


class TestMost:
    def test_of_a_long_scan_the_middle_is_read_and_no_more(self):
        patterns = Counted()
        positions = np.stack(np.meshgrid(np.arange(100.0), np.arange(50.0)), axis=-1).reshape(-1, 2) * 1e-7
        scan = source.scan_of(
            Source(patterns=patterns, positions=positions, optics=OPTICS), Optics(), 64, 300
        )
        assert len(scan) == 300
        assert patterns.asked <= 300 + source.SAMPLE
        assert any(
            "the 300 patterns about the middle are taken of 5000" in line for line in scan.metadata["read"]
        )
        # A disc of 300 unit steps has a radius of 9.8.
        pixel = OPTICS.object_pixel_m(64)
        assert np.ptp(scan.xcoords) * pixel / 1e-7 == pytest.approx(19.5, abs=1.5)

    def test_a_short_one_is_read_whole(self):
        frames = np.stack([spot((64, 64), (32, 32), 4.0)] * 7)
        assert len(source.scan_of(of(frames), Optics(), 64, 300)) == 7


class TestProbe:
    @pytest.mark.parametrize(
        ("light", "centre"),
        [((33, 31), (32, 32)), ((41, 25), (41, 25))],
        ids=["about the middle, which is the zero frequency", "far from it"],
    )
    def test_one_for_whole_frames_is_cut_in_the_far_field_as_they_are(self, light, centre):
        frames = np.stack([spot((64, 64), light, 3.0)] * 7)
        probe = np.random.default_rng(0).normal(size=(2, 64, 64)).astype(np.complex64)
        scan = source.scan_of(of(frames, probe=probe), Optics(), 32)
        # Not by our own forward model: plain sums over all pixels.
        y, x = np.mgrid[:64, :64] - 32
        v, u = np.mgrid[:32, :32] - 16
        down, right = centre[0] - 32, centre[1] - 32
        for row, column in ((0, 0), (3, -2), (-9, 6)):
            wave = np.exp(-2j * np.pi * ((row + down) * y + (column + right) * x) / 64)
            kept = np.exp(-2j * np.pi * (row * v + column * u) / 32)
            before = abs((probe * wave).sum(axis=(1, 2)) / 64)
            after = abs((scan.probe * kept).sum(axis=(1, 2)) / 32)
            np.testing.assert_allclose(after, before, rtol=1e-4)

    def test_one_for_the_part_that_is_kept_is_taken_as_it_is(self):
        frames = np.stack([spot((80, 70), (40, 30), 3.0)] * 7)
        probe = np.random.default_rng(0).normal(size=(1, 32, 32)).astype(np.complex64)
        np.testing.assert_array_equal(source.scan_of(of(frames, probe=probe), Optics()).probe, probe)

    def test_one_for_something_else_is_refused(self):
        frames = np.stack([spot((80, 70), (40, 30), 3.0)] * 7)
        with pytest.raises(
            DataContractError, match="the probe is 50 x 50, for frames of 80 x 70 of which 32 x 32 are kept"
        ):
            source.scan_of(of(frames, probe=np.ones((1, 50, 50), np.complex64)), Optics())


class TestFirstProbe:
    def test_its_far_field_is_the_mean_pattern(self):
        mean = spot((64, 64), (32, 32), 5.0)
        positions = np.stack(np.meshgrid(np.arange(8) * 4.0, np.arange(8) * 4.0), axis=-1).reshape(-1, 2)
        (probe,) = source.first_probe(mean, positions, 2.0)
        # Not by our own forward model: the plain sum over all pixels, of one frequency.
        y, x = np.mgrid[:64, :64] - 32
        for row, column in ((32, 32), (36, 30), (25, 40)):
            wave = np.exp(-2j * np.pi * ((row - 32) * y + (column - 32) * x) / 64)
            assert abs((probe * wave).sum() / 64) ** 2 == pytest.approx(mean[row, column], rel=1e-3)

    @pytest.mark.parametrize("sign", [1, -1])
    @pytest.mark.parametrize("spread", [1.5, 2.5])
    def test_its_light_has_the_radius_that_is_asked_for(self, spread, sign):
        mean = spot((128, 128), (64, 64), 8.0)
        positions = np.stack(np.meshgrid(np.arange(8) * 5.0, np.arange(8) * 5.0), axis=-1).reshape(-1, 2)
        (probe,) = source.first_probe(mean, positions, sign * spread)
        y, x = np.mgrid[:128, :128] - 64
        light = np.abs(probe.astype(complex)) ** 2
        assert np.sqrt((light * (x**2 + y**2)).sum() / light.sum()) == pytest.approx(5.0 * spread, rel=0.1)

    @pytest.mark.parametrize("defocus", [300e-6, -500e-6])
    def test_a_defocus_in_metres_is_the_propagation_over_it(self, defocus):
        """By the angular spectrum in metres, and not in px: exp(-i pi wavelength z f^2), here conjugated with the sign of z."""
        N, optics = 128, Optics(1.4e-10, 1.9, 75e-6)
        pixel = optics.object_pixel_m(N)
        frequency = np.fft.fftshift(np.fft.fftfreq(N, pixel))
        squared = frequency[:, None] ** 2 + frequency[None, :] ** 2
        pupil = squared < (15 / (N * pixel)) ** 2
        wave = pupil * np.exp(1j * np.pi * 1.4e-10 * defocus * squared)
        truth = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(wave)))
        mean = pupil.astype(float)
        positions = np.stack(np.meshgrid(np.arange(8) * 5.0, np.arange(8) * 5.0), axis=-1).reshape(-1, 2)
        (probe,) = source.first_probe(mean, positions, source.spread_of(defocus, mean, positions, optics))
        likeness = abs(np.vdot(probe, truth)) / (np.linalg.norm(probe) * np.linalg.norm(truth))
        assert likeness == pytest.approx(1.0, abs=1e-5)
