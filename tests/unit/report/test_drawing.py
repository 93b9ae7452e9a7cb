"""Pictures of an object: micrometres and a scale bar where the size of a pixel is known, pixels where it is not."""

import dataclasses

import numpy as np
import pytest

from ptycho.base import units
from ptycho.base.errors import DataContractError
from ptycho.physics.stitching import Reconstruction
from ptycho.report import drawing, figures
from ptycho.solve.solution import Solution
from ptycho.stages import solutions


def of(pixel_m):
    lit = np.ones((80, 100), np.float32)
    product = Reconstruction(np.exp(1j * lit), 2 * lit, (10, 20), 1.0, 5, pixel_m=pixel_m)
    return Solution(product, np.ones((1, 32, 32), np.complex64), np.zeros((5, 2)), np.ones(3))


def test_axes_are_micrometres_where_the_size_of_a_pixel_is_known():
    axes = figures.solution(of(50e-9), 0.5).axes[0]
    # The first pixel's left edge lies half a pixel before its centre.
    np.testing.assert_allclose(axes.images[0].get_extent(), [0.475, 5.475, 4.975, 0.975])
    assert axes.get_xlabel() == "µm"
    (bar,) = axes.lines
    length = np.ptp(bar.get_xdata())
    assert [text.get_text() for text in axes.texts] == ["1 µm"]
    assert length == pytest.approx(1.0)


def test_they_are_pixels_where_it_is_not():
    axes = figures.solution(of(None), 0.5).axes[0]
    np.testing.assert_allclose(axes.images[0].get_extent(), [9.5, 109.5, 99.5, 19.5])
    assert (axes.get_xlabel(), list(axes.lines), list(axes.texts)) == ("px", [], [])


@pytest.mark.parametrize(
    ("wide_m", "text"),
    [(5e-6, "1 µm"), (9e-6, "2 µm"), (0.9e-6, "200 nm"), (250e-6, "50 µm"), (4e-10, "100 pm")],
)
def test_a_bar_has_a_round_length_of_at_most_a_quarter(wide_m, text):
    solution = of(wide_m / 100)
    axes = figures.solution(solution, 0.5).axes[0]
    assert axes.texts[0].get_text() == text
    left, right, *_ = drawing.extent(solution.reconstruction)
    assert np.ptp(axes.lines[0].get_xdata()) <= (right - left) / 4 * (1 + 1e-6)


def test_a_length_is_written_in_metres_beside_pixels():
    assert units.length(2.5, 11e-9) == "2.5 px (27.5 nm)"
    assert units.length(2.5, None) == "2.5 px"


def test_the_size_of_a_pixel_goes_through_a_file(tmp_path):
    for pixel in (5.5e-8, None):
        solutions.write(tmp_path / "s.npz", of(pixel))
        assert solutions.read(tmp_path / "s.npz").reconstruction.pixel_m == pixel


@pytest.mark.parametrize("pixel", [0.0, -1.0])
def test_a_size_that_is_none_is_refused(pixel, tmp_path):
    solution = of(None)
    wrong = dataclasses.replace(solution.reconstruction, pixel_m=pixel)
    solutions.write(tmp_path / "s.npz", dataclasses.replace(solution, reconstruction=wrong))
    with pytest.raises(DataContractError, match=r"pixel_m = .* is no length"):
        solutions.read(tmp_path / "s.npz")
