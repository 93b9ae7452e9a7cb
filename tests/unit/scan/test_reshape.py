"""Patterns cut to their middle, or binned: what the probe and the positions of the new scan predict is what its patterns hold."""

import numpy as np
import oracles
import pytest

from ptycho.base.errors import DataContractError
from ptycho.scan import optics, reshape
from ptycho.scan.optics import Optics


@pytest.fixture(scope="module")
def scan():
    return oracles.make_scan(count=9, N=64, seed=2).derived(
        metadata={"optics": Optics(1.4e-10, 1.9, 75e-6).to_dict()}
    )


def far_field(wave):
    """By numpy alone."""
    return np.abs(np.fft.fftshift(np.fft.fft2(wave, axes=(-2, -1)), axes=(-2, -1))) / wave.shape[-1]


def test_a_cut_probe_has_the_cut_far_field(scan):
    result = reshape.cropped(scan, 32)
    middle = slice(16, 48)
    np.testing.assert_array_equal(result.diff3d, scan.diff3d[:, middle, middle])
    np.testing.assert_allclose(far_field(result.probe), far_field(scan.probe)[:, middle, middle], atol=1e-5)


def test_positions_count_the_larger_pixels(scan):
    result = reshape.cropped(scan, 32)
    pixels = [optics.pixel_of(each.metadata, each.N) for each in (scan, result)]
    assert pixels[1] == pytest.approx(2 * pixels[0])
    np.testing.assert_allclose(result.positions * pixels[1], scan.positions * pixels[0])
    assert result.object_guess is None


def test_binned_counts_are_all_there(scan):
    result = reshape.binned(scan, 2)
    np.testing.assert_allclose(
        (result.diff3d**2).sum(axis=(1, 2)), (scan.diff3d**2).sum(axis=(1, 2)), rtol=1e-5
    )
    y, x = 7, 20
    block = scan.diff3d[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].astype(float)
    np.testing.assert_allclose(result.diff3d[:, y, x] ** 2, (block**2).sum(axis=(1, 2)), rtol=1e-5)


def test_binned_pixels_of_the_object_are_the_same(scan):
    result = reshape.binned(scan, 2)
    assert optics.pixel_of(result.metadata, 32) == pytest.approx(optics.pixel_of(scan.metadata, 64))
    np.testing.assert_array_equal(result.positions, scan.positions)
    np.testing.assert_array_equal(result.probe, scan.probe[:, 16:48, 16:48])


def test_a_bad_pixel_makes_its_block_bad(scan):
    bad = np.zeros((64, 64), bool)
    bad[11, 40] = True
    assert np.argwhere(reshape.binned(scan.derived(bad_pixels=bad), 2).bad_pixels).tolist() == [[5, 20]]


@pytest.mark.parametrize("side", [64, 128, 20, 0])
def test_a_side_that_is_none_is_refused(side, scan):
    with pytest.raises(DataContractError, match=f"--crop {side}: must be a side below 64 px"):
        reshape.cropped(scan, side)


@pytest.mark.parametrize("factor", [0, 1, 3, 4])
def test_a_factor_that_leaves_none_is_refused(factor, scan):
    with pytest.raises(DataContractError, match=f"--bin {factor}: must leave a side of"):
        reshape.binned(scan, factor)
