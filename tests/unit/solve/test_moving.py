"""How positions move: together at first, by themselves then, and strays across the canvas."""

import numpy as np
import pytest
import strangers

from ptycho.settings import sections
from ptycho.settings.sections import SolverConfig
from ptycho.solve import choose, engine, moving, steps

COUNT = 64


@pytest.fixture
def where():
    return np.random.default_rng(1).uniform(0, 60, (COUNT, 2))


def off(scan, positions):
    """How far positions are from the true ones, px: the root mean square of what is no affine map."""
    away = positions - scan.positions
    away -= away.mean(axis=0)
    return strangers.rms_of(away - steps.affine(scan.positions, away))


class TestVelocity:
    def test_the_mean_is_kept(self, where):
        moves = np.random.default_rng(2).normal(0.3, 0.2, (COUNT, 2))
        for share in (0.0, 0.2, 1.0):
            step = moving.velocity(0 * moves, moves, where, share, affine=False)
            np.testing.assert_allclose(step.mean(axis=0), 0, atol=1e-12)

    def test_at_the_end_each_moves_by_itself_but_for_what_all_have_in_common(self, where):
        moves = np.random.default_rng(2).normal(0, 0.1, (COUNT, 2))
        moves -= moves.mean(axis=0)
        moves -= steps.affine(where, moves)
        step = moving.velocity(0 * moves, moves, where, 1.0, affine=False)
        np.testing.assert_allclose(step, moves - moves.mean(axis=0), atol=1e-12)
        common = 0.001 * (where - where.mean(axis=0))
        step = moving.velocity(0 * moves, common, where, 1.0, affine=False)
        np.testing.assert_allclose(step, moving.COMMON * common, atol=1e-12)

    @pytest.mark.finding("FAR-POSITIONS-001")
    def test_at_first_neighbours_in_the_order_of_the_scan_move_together(self, where):
        """What a drift asks for stays; what each asks for by itself is averaged out."""
        drift = np.outer(np.where(np.arange(COUNT) < COUNT // 2, 0.1, -0.1), [1, 0])
        alone = np.random.default_rng(2).normal(0, 0.1, (COUNT, 2))
        kept = moving.velocity(0 * drift, drift, where, 0.0, affine=False)
        lost = moving.velocity(0 * drift, alone, where, 0.0, affine=False)
        assert strangers.rms_of(lost) < 0.6 * strangers.rms_of(alone)
        assert strangers.rms_of(kept) > 0.8 * strangers.rms_of(drift)

    def test_no_position_moves_further_than_the_largest_step_and_a_map_stays_one(self, where):
        moves = 3.0 * np.random.default_rng(2).normal(0, 1, (COUNT, 2))
        step = moving.velocity(0 * moves, moves, where, 1.0, affine=False)
        assert np.linalg.norm(step, axis=1).max() < 1.3 * moving.LARGEST_STEP  # the mean is taken out after
        step = moving.velocity(
            0 * moves, 0.2 * (where - where.mean(axis=0)) @ [[0, 1], [1, 0]], where, 0, affine=True
        )
        assert np.linalg.norm(step, axis=1).max() == pytest.approx(moving.LARGEST_STEP, rel=0.05)
        np.testing.assert_allclose(step, steps.affine(where, step), atol=1e-9)


@pytest.fixture(scope="module")
def scan():
    return strangers.right("X-rays, zone plate", side=10)


SETTINGS = SolverConfig(probe="refine", positions="refine", passes=24)


class TestStrays:
    def moved(self, scan, rows, by):
        positions = scan.positions.copy()
        positions[rows] += by
        return scan.raw.at(positions)

    @pytest.mark.finding("STRAY-POSITIONS-001")
    def test_patterns_that_are_12_px_off_come_back(self, scan):
        rows = [13, 47, 66, 81]
        raw = self.moved(scan, rows, np.array([[12, 0], [-8.5, 8.5], [0, -12], [9, 8]]))
        assert off(scan, engine.solve(raw, SETTINGS).positions) < 0.2

    def test_where_all_lie_where_they_belong_none_is_a_stray(self, scan):
        solution = engine.solve(scan.raw.at(scan.positions), SETTINGS)
        assert off(scan, solution.positions) < 0.15

    def test_a_pattern_that_belongs_nowhere_stays(self, scan):
        """Speckle that knows nothing of the object is explained nowhere."""
        patterns = scan.raw.diff3d.copy()
        patterns[40] = patterns.mean(axis=0) * np.sqrt(
            np.random.default_rng(0).exponential(1, patterns[0].shape)
        )
        raw = scan.raw.at(scan.positions).derived(diff3d=patterns)
        solution = engine.solve(raw, SETTINGS)
        others = np.delete(np.arange(len(raw)), 40)
        away = solution.positions - scan.positions
        assert strangers.rms_of((away - away.mean(axis=0))[others]) < 0.5

    def test_errors_are_those_of_each_pattern(self, scan):
        raw = scan.raw
        patches = np.random.default_rng(0).normal(1, 0.1, (3, raw.N, raw.N)).astype(np.complex64)
        measured = np.fft.ifftshift(raw.diff3d[:3], axes=(1, 2))
        measured[:, :4] = -1
        found = steps.errors(patches, raw.probe, measured)
        for patch, amplitudes, error in zip(patches, measured, found, strict=True):
            modulus = np.abs(np.fft.fft2(patch * raw.probe[0], norm="ortho"))[4:]
            known = amplitudes[4:]
            assert error == pytest.approx(np.sum((modulus - known) ** 2) / np.sum(known**2), rel=1e-4)


@pytest.mark.finding("FAR-POSITIONS-001")
def test_a_stage_that_is_8_px_off_is_chosen_to_be_refined_for_long():
    """Drift, backlash and jitter; and of the same patterns in another order nothing is."""
    config = SolverConfig(choose=",".join(sections.CHOSEN))
    raw = strangers.stage(8, outliers=0)(strangers.right("X-rays, zone plate").raw)
    choice = choose.choose(raw, config)
    assert choice.refined["positions"] == "refine"
    assert choice.refined["passes"] == choose.LONGEST
    assert choice.unexplained < 0.3
    wrong = choose.choose(strangers.shuffled(raw), config)
    assert not wrong.unexplained < 0.7
