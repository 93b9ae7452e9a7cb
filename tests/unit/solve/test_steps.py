"""A step of the solver against finite differences of errors that loops compute, and against known displacements."""

import numpy as np
import oracles
import pytest

from ptycho.solve import steps

N = 12
BACKGROUND = 0.5


@pytest.fixture
def case():
    """Two patches, two modes, amplitudes of other patches (zero frequency in the middle)."""
    probe = 2 * oracles.lopsided_probe(N, 2)
    patches = oracles.noise_object(2 * N, N, seed=2).reshape(2, N, N)
    others = oracles.noise_object(2 * N, N, seed=6).reshape(2, N, N)
    return probe, patches, np.array([oracles.far_field(other, probe) for other in others])


def revised(probe, patches, measured, background=None):
    shifted = np.fft.ifftshift(measured, axes=(1, 2)).astype(np.float32)
    return steps.revise(patches.astype(np.complex64), probe.astype(np.complex64), shifted, background)


def amplitude_error(patches, probe, measured):
    return sum(np.sum((oracles.far_field(p, probe) - a) ** 2) for p, a in zip(patches, measured, strict=True))


def poisson_error(patches, probe, measured):
    """Negative log-likelihood of counts measured^2 under predicted intensities, both over a background."""
    total = 0.0
    for patch, amplitude in zip(patches, measured, strict=True):
        mean = oracles.far_field(patch, probe) ** 2 + BACKGROUND
        total += np.sum(mean - (amplitude**2 + BACKGROUND) * np.log(mean))
    return total


def slope(error, at, along, step=1e-5):
    return (error(at + step * along) - error(at - step * along)) / (2 * step)


def test_the_residual_is_the_error_of_the_prediction(case):
    probe, patches, measured = case
    _, residual = revised(probe, patches, measured)
    assert residual == pytest.approx(amplitude_error(patches, probe, measured), rel=1e-4)


@pytest.mark.finding("FFT-NORMALISATION-001")
@pytest.mark.parametrize(
    ("background", "error", "factor"), [(None, amplitude_error, -2), (BACKGROUND, poisson_error, -4)]
)
def test_the_object_s_step_is_along_the_gradient(case, background, error, factor):
    """d error / d patch = factor * Re <change, d patch>: half the step of the amplitude's Newton method, a quarter of Poisson's."""
    probe, patches, measured = case
    change, _ = revised(probe, patches, measured, background)
    along = oracles.noise_object(2 * N, N, seed=9).reshape(2, N, N)
    found = slope(lambda p: error(p, probe, measured), patches, along)
    step = steps.object_gradient(change, probe.astype(np.complex64))
    assert found == pytest.approx(factor * np.vdot(step, along).real, rel=2e-3)


def test_where_a_mode_is_alone_it_is_the_same(case):
    probe, patches, measured = case
    change, _ = revised(probe[:1], patches, measured)
    one = steps.object_gradient(change, probe[:1].astype(np.complex64))
    zero = np.concatenate([probe[:1], 0 * probe[:1]]).astype(np.complex64)
    padded = np.concatenate([change, 0 * change], axis=1)
    np.testing.assert_allclose(one, steps.object_gradient(padded, zero), rtol=1e-5)


def test_how_the_probe_lies_in_memory_changes_nothing(case):
    probe, patches, measured = case
    change, _ = revised(probe, patches, measured)
    lying = np.asfortranarray(probe.astype(np.complex64))
    expected = np.sum(np.conj(probe) * change, axis=1)
    np.testing.assert_allclose(steps.object_gradient(change, lying), expected, rtol=1e-4)


def test_the_probe_s_step_is_along_the_gradient_and_lowers_the_error(case):
    probe, patches, measured = case
    change, _ = revised(probe, patches, measured)
    # With so much damping that every pixel is weighed alike.
    evidence = steps.probe_evidence(patches.astype(np.complex64), change)
    made = steps.revised_probe(probe.astype(np.complex64), *evidence, 1.0)
    lit = np.sum(np.abs(patches) ** 2, axis=0).max()
    along = oracles.noise_object(2 * N, N, seed=4).reshape(2, N, N)
    found = slope(lambda p: amplitude_error(patches, p, measured), probe, along)
    assert found == pytest.approx(-2 * lit * np.vdot(made - probe, along).real, rel=5e-3)
    better = steps.revised_probe(probe.astype(np.complex64), *evidence, 0.5)
    assert amplitude_error(patches, better, measured) < 0.9 * amplitude_error(patches, probe, measured)


@pytest.mark.finding("POSITION-SIGN-001")
@pytest.mark.parametrize("off", [(0.1, 0.0), (0.0, -0.1), (-0.07, 0.12)])
def test_a_small_displacement_is_found_with_its_sign(off):

    def patch(x, y):
        """Of an object that is known between its pixels, too."""
        y, x = np.mgrid[:N, :N] + np.array([y, x])[:, None, None]
        return ((1.2 + 0.3 * np.sin(0.35 * x + 0.2 * y)) * np.exp(0.5j * np.cos(0.3 * x - 0.25 * y)))[None]

    probe = oracles.lopsided_probe(N).astype(np.complex64)
    patches, true = patch(20.0, 18.0), patch(20.0 + off[0], 18.0 + off[1])
    change = ((true - patches)[:, None] * probe).astype(np.complex64)
    found = steps.moves(patches.astype(np.complex64), probe, change)
    np.testing.assert_allclose(found, [off], atol=0.01)


def test_no_pattern_is_thrown_far(case):
    probe, patches, _ = case
    change = 1e3 * np.ones((2, 2, N, N), np.complex64) * patches[:, None].astype(np.complex64)
    found = steps.moves(patches.astype(np.complex64), probe.astype(np.complex64), change)
    assert np.abs(found).max() == steps.LARGEST_MOVE


def test_where_the_object_is_flat_nothing_moves(case):
    probe, patches, measured = case
    change, _ = revised(probe, patches, measured)
    flat = np.ones((2, N, N), np.complex64)
    np.testing.assert_array_equal(steps.moves(flat, probe.astype(np.complex64), change), 0)


@pytest.mark.parametrize("background", [None, BACKGROUND])
def test_darkness_makes_no_nan(case, background):
    probe, patches, measured = case
    for prediction, data in ((0 * patches, measured), (patches, 0 * measured), (0 * patches, 0 * measured)):
        change, residual = revised(probe, prediction, data, background)
        assert np.isfinite(change).all()
        assert np.isfinite(residual)
