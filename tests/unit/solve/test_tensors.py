"""The solver on Keras's backend: the same solution as by the loops on the CPU, which others here test against the truth."""

from dataclasses import replace

import numpy as np
import oracles
import pytest
from command import call
from lazily import Lazy

from ptycho.base import provenance
from ptycho.base.errors import ConfigError, SolverDiverged
from ptycho.evaluation import frames, metrics
from ptycho.settings.sections import SolverConfig
from ptycho.solve import engine, engines, steps, tensors

keras = Lazy("keras")

N = 32
CLOSE = 3e-4
"""Of the norm; rounding alone is told apart by 1e-5 to 1e-4 after twelve passes."""


@pytest.fixture(scope="module")
def scan():
    return oracles.make_scan(count=120, N=N, shape=(60, 64), seed=4)


def settings(**changes):
    return SolverConfig(passes=6, batch_patterns=16, engine="keras", **changes)


def difference(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def both(raw, config, **how):
    return tensors.solve(raw, config, **how), engine.solve(raw, config, **how)


@pytest.mark.finding("FFT-NORMALISATION-001")
@pytest.mark.finding("STEP-WEIGHT-PLACE-001")
def test_the_object_is_that_of_the_loops(scan):
    found, expected = both(scan, settings())
    assert difference(found.reconstruction.object, expected.reconstruction.object) < CLOSE
    np.testing.assert_allclose(found.errors, expected.errors, rtol=1e-3)
    np.testing.assert_array_equal(found.probe, expected.probe)
    np.testing.assert_array_equal(found.positions, scan.positions)


def test_it_is_the_truth_in_its_own_units(scan):
    found = tensors.solve(scan, SolverConfig(passes=12, batch_patterns=8, engine="keras"))
    numbers = metrics.all_metrics(frames.compare_frames(found.reconstruction, scan.object_guess, 0.1, 2))
    assert numbers["pearson"] > 0.998
    assert numbers["amplitude_ratio"] == pytest.approx(1, abs=0.005)


def test_modes_are_refined_as_by_the_loops(scan):
    y, x = (np.mgrid[:N, :N] - N // 2) / N
    guess = replace(scan, probe=2 * scan.probe * np.exp(-2j * (x**2 + y**2) + 0.8 * x))
    found, expected = both(guess, settings(probe="refine", modes=2))
    assert difference(found.probe, expected.probe) < CLOSE
    assert difference(expected.probe, guess.probe) > 0.1
    assert difference(found.reconstruction.object, expected.reconstruction.object) < CLOSE


@pytest.mark.finding("POSITION-SIGN-001")
def test_positions_move_as_by_the_loops(scan):
    x, y = (scan.positions + np.random.default_rng(2).normal(0, 0.4, scan.positions.shape)).T
    guess = replace(scan, xcoords=x, ycoords=y)
    found, expected = both(guess, settings(positions="refine", positions_from=2))
    moved = expected.positions - guess.positions
    assert np.abs(moved).max() > 0.3
    np.testing.assert_allclose(found.positions - guess.positions, moved, atol=2e-3)


def test_counts_and_pixels_that_are_not_to_be_believed(scan):
    """Poisson's likelihood magnifies rounding: after six passes another probe by 1e-7 makes another object by 0.03."""
    bad = np.zeros((N, N), bool)
    bad[N // 2 + 10] = True
    broken = replace(scan, photon_scale=1e3, diff3d=np.where(bad, 9, scan.diff3d).astype(np.float32))
    asked = SolverConfig(passes=4, batch_patterns=16, engine="keras", likelihood="poisson")
    found, expected = both(replace(broken, bad_pixels=bad), asked)
    assert difference(found.reconstruction.object, expected.reconstruction.object) < 0.03
    believed = engine.solve(broken, asked)
    assert difference(believed.reconstruction.object, expected.reconstruction.object) > 0.1


def test_it_starts_from_an_object(scan):
    start = engine.solve(scan, SolverConfig(passes=4, batch_patterns=16)).reconstruction
    found, expected = both(scan, settings(), start=start)
    assert found.errors[0] < 0.1 * engine.solve(scan, settings()).errors[0]
    assert difference(found.reconstruction.object, expected.reconstruction.object) < CLOSE


def test_it_goes_on_where_it_was_stopped(scan, tmp_path):
    whole = tensors.solve(scan, settings())
    tensors.solve(scan, settings(), key="k", state_dir=tmp_path)
    told = []
    again = tensors.solve(scan, settings(), key="k", state_dir=tmp_path, resume=True, listener=told.append)
    assert not told
    np.testing.assert_allclose(again.errors, whole.errors, rtol=1e-3)


def test_a_solution_that_is_no_number_stops_at_once(scan, monkeypatch):
    monkeypatch.setattr(steps, "TINY", np.nan)
    with pytest.raises(SolverDiverged, match=r"diverged in pass 1: the error is nan; raise solver\.damping"):
        tensors.solve(scan, settings())


class TestPositionsTellNothing:
    def test_where_the_object_is_flat(self):
        """As by the loops: no step, and no NaN."""
        task = tensors._Task(provenance.keras_backend(), (40, 40), N, None, 1e-9, None, False, True)
        flat, change = np.ones((2, N, N), np.complex64), np.ones((2, 1, N, N), np.complex64)
        probe = oracles.lopsided_probe(N, 1).astype(np.complex64)
        pairs = [
            tuple(keras.ops.convert_to_tensor(np.array(part)) for part in (array.real, array.imag))
            for array in (flat, probe, change)
        ]
        found = keras.ops.convert_to_numpy(tensors.Step(task).moves_of(*pairs))
        np.testing.assert_array_equal(found, steps.moves(flat, probe, change))
        assert (found == 0).all()


class TestNotThere:
    def test_a_backend_that_is_not_installed_is_named(self, scan, monkeypatch):
        monkeypatch.setenv("KERAS_BACKEND", "jax")
        monkeypatch.setattr(provenance.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ConfigError, match=r"solver.engine = keras: .*jax is not installed"):
            engines.solve(scan, settings())

    def test_the_command_says_so_before_any_work(self, monkeypatch, capsys, tmp_path):
        monkeypatch.setattr(provenance, "check_installed", refused)
        out = ("--out", str(tmp_path / "out"), "--cache", "none")
        assert call("solve", "gs1_ideal", "--engine", "keras", *out) == 2
        assert "solver.engine = keras: not there" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def refused(what):
    raise ConfigError(f"{what}not there")
