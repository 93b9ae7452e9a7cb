"""The digital twin of a scan: what a solver finds of it, and nothing else."""

import numpy as np
import oracles
import pytest

from ptycho.base.errors import DataContractError
from ptycho.isolate import twin


@pytest.fixture(scope="module")
def scan():
    return oracles.make_scan(count=80, N=32, shape=(80, 90), seed=4)


@pytest.fixture(scope="module")
def pair(scan):
    phase = np.exp(1j * np.linspace(-1, 1, 32)[:, None] ** 2 * 8)
    return twin.of(scan.without_truth().derived(probe=scan.probe * phase))


def test_its_patterns_are_those_of_the_scan_but_for_noise(pair, scan):
    twins = pair
    ours, theirs = twins.given.diff3d.astype(float), twins.twin.diff3d.astype(float)
    assert len(twins.twin) == len(twins.given) <= len(scan)
    assert np.sum((ours - theirs) ** 2) / np.sum(ours**2) < 0.05
    assert not np.array_equal(ours, theirs), "they were drawn, not copied"


def test_its_probe_is_the_one_that_was_found_and_its_positions_are_near(pair, scan):
    twins = pair

    def alike(probe):
        ours, theirs = probe[0].ravel(), scan.probe[0].ravel()
        return abs(np.vdot(ours, theirs)) / (np.linalg.norm(ours) * np.linalg.norm(theirs))

    assert alike(twins.twin.probe) > alike(twins.given.probe) + 0.05
    assert twins.moved_px < 1
    assert twins.twin.object_guess is None


def test_what_nothing_explains_has_no_twin(scan):
    shuffled = scan.at(np.random.default_rng(2).permutation(scan.positions))
    with pytest.raises(DataContractError, match="a twin of that would be a twin of nothing"):
        twin.of(shuffled)


def test_a_scan_of_few_patterns_has_no_twin(scan):
    with pytest.raises(DataContractError, match="has no"):
        twin.of(scan.take(np.arange(10)))
