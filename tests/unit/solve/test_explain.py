"""What can be had of a scan, asked of the solver; the gates ask where an object does not explain its patterns."""

from dataclasses import replace

import numpy as np
import oracles
import pytest

from ptycho.base.errors import SolverDiverged
from ptycho.settings.sections import SolverConfig
from ptycho.solve import engine, explain
from ptycho.stages import pipeline

N = 32


@pytest.fixture(scope="module")
def scan():
    return oracles.make_scan(count=120, N=N, shape=(60, 64), seed=4)


def shuffled(raw):
    order = np.random.default_rng(1).permutation(len(raw))
    return replace(raw.without_truth(), xcoords=raw.xcoords[order], ycoords=raw.ycoords[order])


def test_it_is_what_solving_leaves(scan):
    asked = SolverConfig(passes=4, batch_patterns=8)
    assert explain.best_error(scan, asked) == engine.solve(scan, asked).errors[-1]


@pytest.mark.finding("UNSOLVABLE-SCAN-001")
def test_positions_of_other_patterns_leave_much(scan):
    assert explain.best_error(scan) < 1e-3
    assert explain.best_error(shuffled(scan)) > 0.05


def test_where_solving_diverges_nothing_can_be_had(scan, monkeypatch):
    def diverge(*_, **__):
        raise SolverDiverged("in pass 1")

    monkeypatch.setattr(engine, "solve", diverge)
    assert explain.best_error(scan) == np.inf


def test_of_a_large_scan_the_patterns_about_its_middle_are_asked(scan, monkeypatch):
    monkeypatch.setattr(explain, "MOST", 30)
    some = explain.sample(scan)
    middle = np.median(scan.positions, axis=0)
    away = np.linalg.norm(scan.positions - middle, axis=1)
    assert np.linalg.norm(some.positions - middle, axis=1).max() == np.sort(away)[29]
    assert len(some) == 30
    monkeypatch.setattr(explain, "MOST", 120)
    assert explain.sample(scan) is scan


def allowing(config, error):
    """The config with another limit of the data error."""
    return config.model_copy(update={"gates": config.gates.model_copy(update={"max_data_error": error})})


class TestTheGate:
    """Of an object that does not explain its patterns."""

    def reason(self, finished, **given):
        stitched = finished.result.artifacts["stitch"]
        wrong = replace(stitched, object=np.full_like(stitched.object, 0.1))
        kept = {name: finished.result.artifacts[name] for name in ("geometry", "train", "infer")}
        given = {**kept, "stitch": wrong, **given}
        result = pipeline.run_pipeline(allowing(finished.config, 0.01), given=given, until="gate")
        verdict = next(each for each in result.artifacts["gate"] if each.name == "data_consistency")
        assert verdict.status == "fail"
        return verdict.reason

    def test_it_says_that_the_scan_can_be_solved(self, finished):
        assert "the network is at fault, not the scan" in self.reason(finished)

    @pytest.mark.finding("UNSOLVABLE-SCAN-001")
    def test_it_says_that_the_scan_cannot(self, finished):
        groups = finished.result.artifacts["group_test"]
        noise = np.abs(np.random.default_rng(3).normal(size=groups.raw.diff3d.shape)).astype(np.float32)
        bad = replace(groups, raw=replace(groups.raw, diff3d=noise))
        assert "and no better: look at the scan's geometry, probe and patterns" in self.reason(
            finished, group_test=bad
        )

    def test_a_gate_that_passes_asks_nothing(self, finished, monkeypatch):
        monkeypatch.setattr(engine, "solve", lambda *_, **__: pytest.fail("asked"))
        given = {
            name: finished.result.artifacts[name]
            for name in ("geometry", "group_test", "train", "stitch", "evaluate")
        }
        result = pipeline.run_pipeline(allowing(finished.config, 1.0), given=given, until="gate")
        verdict = next(each for each in result.artifacts["gate"] if each.name == "data_consistency")
        assert (verdict.status, "solved directly" in verdict.reason) == ("pass", False)
