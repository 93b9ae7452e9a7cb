"""pty-chi on the same scan: our forward model, conventions and results, checked by code that nobody here wrote.

tox -e ptychi
"""

import dataclasses
import importlib.util
import os
from dataclasses import replace

import numpy as np
import oracles
import pytest
from command import call

from ptycho.base.errors import ConfigError
from ptycho.evaluation import frames, metrics
from ptycho.scan.formats import npz
from ptycho.settings.sections import SolverConfig
from ptycho.solve import engine, engines, ptychi

N = 32
THERE = all(importlib.util.find_spec(name) is not None for name in engines.ENGINES["ptychi"].libraries)
installed = pytest.mark.skipif(
    not THERE and not os.environ.get("PTYCHO_REQUIRE_PTYCHI"),
    reason="pty-chi is not installed: tox -e ptychi, or pip install 'ptycho[ptychi]'",
)
SETTINGS = SolverConfig(engine="ptychi", passes=20, batch_patterns=8)


@pytest.fixture(scope="module")
def scan():
    return oracles.make_scan(count=120, N=N, shape=(60, 64), seed=4)


@pytest.fixture(scope="module")
def theirs(scan):
    return ptychi.solve(scan, SETTINGS)


@installed
class TestTheirs:
    def test_the_object_is_found_where_it_lies_in_its_own_units(self, scan, theirs):
        """In the object's frame and without a fitted factor: half a pixel or a factor of N would show."""
        found = metrics.all_metrics(frames.compare_frames(theirs.reconstruction, scan.object_guess, 0.5, 2))
        assert found["pearson"] > 0.98
        assert found["amplitude_ratio"] == pytest.approx(1, abs=0.02)

    def test_it_agrees_with_ours(self, scan, theirs):
        ours = engine.solve(scan, SolverConfig(passes=20, batch_patterns=8))
        both = np.minimum(ours.reconstruction.coverage, theirs.reconstruction.coverage) > 0.5
        a, b = ours.reconstruction.object[both], theirs.reconstruction.object[both]
        turned = b * np.exp(-1j * np.angle(np.vdot(a, b)))  # the global phase, which no pattern tells
        assert np.linalg.norm(turned - a) < 0.05 * np.linalg.norm(a)
        assert ours.reconstruction.origin_xy == theirs.reconstruction.origin_xy

    def test_shuffled_patterns_are_explained_by_neither(self, scan):
        order = np.random.default_rng(1).permutation(len(scan))
        other = replace(scan.without_truth(), xcoords=scan.xcoords[order], ycoords=scan.ycoords[order])
        assert ptychi.solve(other, SETTINGS).errors[-1] > 10 * ptychi.solve(scan, SETTINGS).errors[-1]

    def test_its_error_is_that_of_its_object(self, scan, theirs):
        """By our loops; between pixels theirs shifts by Fourier's rule and ours by the bilinear one, which differ by 1e-4."""
        made = theirs.reconstruction
        patches = oracles.sample(made.object, theirs.positions - np.array(made.origin_xy), N)
        predicted = np.array([oracles.far_field(patch, scan.probe) for patch in patches])
        error = np.sum((predicted - scan.diff3d) ** 2) / np.sum(scan.diff3d**2)
        assert error == pytest.approx(theirs.errors[-1], abs=1.5e-4)
        assert theirs.errors[0] > 100 * 1.5e-4

    def test_positions_that_stay_come_back_as_they_were(self, scan, theirs):
        np.testing.assert_allclose(theirs.positions, scan.positions, atol=1e-3)

    def test_a_probe_that_is_refined_keeps_its_power(self, scan):
        found = ptychi.solve(scan, SETTINGS.model_copy(update={"probe": "refine", "modes": 2, "passes": 4}))
        assert found.probe.shape == (2, N, N)
        assert np.sum(np.abs(found.probe) ** 2) == pytest.approx(np.sum(np.abs(scan.probe) ** 2), rel=0.05)

    def test_the_command_writes_the_same_files(self, scan, tmp_path):
        npz.write_npz(tmp_path / "scan.npz", scan)
        options = ("--data", str(tmp_path / "scan.npz"), "--engine", "ptychi", "--passes", "2")
        assert call("solve", *options, "--out", str(tmp_path / "s")) == 0
        assert {"reconstruction.npz", "solution_metrics.json"} <= {p.name for p in (tmp_path / "s").iterdir()}


def needing(monkeypatch, *libraries):
    """Let pty-chi need other libraries."""
    needs = dataclasses.replace(engines.ENGINES["ptychi"], libraries=libraries)
    monkeypatch.setitem(engines.ENGINES, "ptychi", needs)


@pytest.mark.parametrize("command", [("solve", "gs1_ideal"), ("run", "gs1_ideal", "--refine")])
def test_without_it_the_remedy_is_named_before_any_work(command, monkeypatch, capsys, tmp_path):
    """A network is not trained for an end that is not to be had."""
    needing(monkeypatch, "no_such_package")
    assert call(*command, "--set", "solver.engine=ptychi", "--out", str(tmp_path / "s")) == 2
    told = capsys.readouterr().err
    assert "no_such_package is not installed" in told
    assert "pip install 'ptycho[ptychi]'" in told
    assert not (tmp_path / "s").exists()


def test_what_it_cannot_do_is_refused(monkeypatch):
    needing(monkeypatch)
    with pytest.raises(ConfigError, match=r"solver\.likelihood = poisson: with solver\.engine = ptychi"):
        engines.check(SolverConfig(engine="ptychi", likelihood="poisson"))


def test_our_own_needs_nothing(monkeypatch):
    needing(monkeypatch, "no_such_package")
    assert engines.check(SolverConfig()) is None


def test_pixels_that_it_cannot_leave_out_are_refused_before_any_work(monkeypatch):
    needing(monkeypatch)
    bad = np.eye(32, dtype=bool)
    scan = oracles.make_scan(count=9, N=32, shape=(60, 64)).derived(bad_pixels=bad)
    words = r"the scan has 32 bad pixels, and solver\.engine = ptychi leaves none out; use .*own or keras"
    with pytest.raises(ConfigError, match=words):
        engines.solve(scan, SolverConfig(engine="ptychi"))
