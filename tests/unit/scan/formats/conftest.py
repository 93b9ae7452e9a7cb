"""A scan, and what a detector saw of it."""

import beamline
import oracles
import pytest


@pytest.fixture(scope="session")
def raw():
    return beamline.bright(oracles.make_scan(count=30, N=32, seed=3))


@pytest.fixture(scope="session")
def seen(raw):
    return beamline.measured(raw)
