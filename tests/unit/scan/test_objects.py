"""Objects: the lines object has the published numbers and no symmetry."""

import metamorphic as meta
import numpy as np
import pytest

from ptycho.scan import objects


@pytest.fixture(scope="module")
def published():
    return objects.lines_object(392, 42)


def test_seed_42_has_the_published_statistics(published):
    amplitude = np.abs(published).astype(np.float64)
    assert amplitude.mean() == pytest.approx(2.708247, abs=1e-6)
    assert amplitude.std() == pytest.approx(0.641030, abs=1e-6)
    assert amplitude.min() == pytest.approx(0.612898, abs=1e-6)
    assert amplitude.max() == pytest.approx(4.856126, abs=1e-6)


def test_it_is_real_and_positive_and_stored_as_a_complex_image(published):
    assert published.shape == (392, 392)
    assert published.dtype == np.complex64
    assert not published.imag.any()
    assert published.real.min() > 0


def test_it_has_no_symmetry_that_would_hide_a_swapped_axis(published):
    image = published.real - published.real.mean()
    for other in (image.T, image[::-1], image[:, ::-1], image[::-1, ::-1]):
        assert np.mean(image * other) / image.var() < 0.5


def test_every_pixel_follows_from_the_recipe():
    """Bresenham lines by hand from the same draws, blurred by an explicit Gaussian sum at one pixel."""
    size, seed = 24, 3
    rng = np.random.RandomState(seed)
    canvas = np.zeros((48, 48))
    for _ in range(400):
        r, c, r1, c1 = (int(v * 48) for v in rng.uniform(size=4))
        dr, dc = abs(r1 - r), abs(c1 - c)
        sr, sc = (1 if r1 > r else -1), (1 if c1 > c else -1)
        steps = max(dr, dc)
        error = 2 * min(dr, dc) - steps
        for _ in range(steps):
            canvas[r, c] = 1
            if error >= 0:
                r, c = (r, c + sc) if dr >= dc else (r + sr, c)
                error -= 2 * steps
            r, c = (r + sr, c) if dr >= dc else (r, c + sc)
            error += 2 * min(dr, dc)
        canvas[r1, c1] = 1
    obj = objects.lines_object(size, seed).real
    for i, j in [(0, 0), (5, 17), (23, 2)]:
        expected = 0.0
        for weight, sigma in ((1, 1), (2, 5), (5, 10)):
            reach = int(4 * sigma + 0.5)
            k = np.arange(-reach, reach + 1)
            kernel = np.exp(-(k**2) / (2 * sigma**2))
            kernel /= kernel.sum()
            mirror = lambda n: np.where((n % 96) < 48, n % 96, 95 - n % 96)  # noqa: E731  reflect, edge twice
            window = canvas[np.ix_(mirror(i + 12 + k), mirror(j + 12 + k))]
            expected += weight * kernel @ window @ kernel
        assert obj[i, j] == pytest.approx(expected, rel=1e-5)


def test_a_seed_is_an_object():
    meta.pure(lambda: objects.lines_object(40, 5))
    assert not np.array_equal(objects.lines_object(40, 5), objects.lines_object(40, 6))


@pytest.mark.parametrize("size", [33, 40])
def test_odd_and_even_sizes(size):
    assert objects.lines_object(size, 1).shape == (size, size)
