"""Modes of a probe: apart, in order, and no pattern changes for it."""

import numpy as np
import oracles
import pytest

from ptycho.solve import modes

N = 16


def mixed():
    """Three modes that are not orthogonal, the weakest first."""
    probe = oracles.lopsided_probe(N, 3).astype(np.complex64)
    return np.stack([0.1 * probe[2] + 0.05 * probe[0], probe[0] + 0.3j * probe[1], probe[1] + 0.2 * probe[0]])


def gram(probe):
    flat = probe.reshape(len(probe), -1)
    return flat @ flat.conj().T


@pytest.mark.finding("PROBE-MODES-001")
def test_orthogonal_modes_make_the_same_patterns():
    probe, patch = mixed(), oracles.noise_object(N, N, seed=1)
    made = modes.orthogonal(probe)
    np.testing.assert_allclose(oracles.far_field(patch, made), oracles.far_field(patch, probe), rtol=1e-4)


@pytest.mark.finding("PROBE-MODES-001")
def test_they_are_orthogonal_and_the_strongest_is_first():
    found = gram(modes.orthogonal(mixed()))
    power = np.diag(found).real
    assert (np.abs(found - np.diag(np.diag(found))) < 1e-5 * power[0]).all()
    assert list(power) == sorted(power, reverse=True)


def test_modes_that_are_orthogonal_stay_as_they_are():
    probe = modes.orthogonal(mixed())
    np.testing.assert_allclose(modes.orthogonal(probe), probe, atol=1e-5 * np.abs(probe).max())


def test_one_mode_stays_as_it_is():
    probe = mixed()[:1]
    assert modes.orthogonal(probe) is probe
    np.testing.assert_array_equal(modes.with_modes(probe, 1), probe)


def test_new_modes_are_weak_and_apart_from_all_others():
    probe = mixed()[1:2]
    made = modes.with_modes(probe, 5)
    found = gram(made)
    power = np.diag(found).real
    np.testing.assert_allclose(power[1:] / power[0], modes.SHARE, rtol=1e-4)
    assert (np.abs(found - np.diag(np.diag(found))) < 1e-5 * power[0]).all()
    np.testing.assert_array_equal(made[0], probe[0])


def test_fewer_modes_are_the_strongest():
    np.testing.assert_array_equal(modes.with_modes(mixed(), 2), modes.orthogonal(mixed())[:2])
