"""What is refined, and how smooth an object is, is chosen by patterns that were left out; can a scan be solved at all."""

from dataclasses import replace

import numpy as np
import oracles
import pytest
import strangers

from ptycho.base.errors import SolverDiverged
from ptycho.settings.sections import SolverConfig
from ptycho.solve import choose, engine, engines, halves
from ptycho.solve.choose import Choice
from ptycho.stages import pipeline

N = 32
ALL = "probe,modes,positions,likelihood,smoothness,passes"


@pytest.fixture(scope="module")
def scan():
    return oracles.make_scan(count=120, N=N, shape=(60, 64), seed=4)


def blurred(raw):
    """The scan with a probe that is not its own."""
    y, x = (np.mgrid[:N, :N] - N // 2) / N
    return replace(raw.without_truth(), probe=raw.probe * np.exp(-2j * (x**2 + y**2) + 0.8 * x))


def shuffled(raw):
    order = np.random.default_rng(1).permutation(len(raw))
    return raw.without_truth().at(raw.positions[order])


def test_nothing_is_tried_where_nothing_is_free_or_patterns_are_too_few(scan):
    assert choose.choose(scan, SolverConfig()) == Choice()
    assert choose.choose(scan.take(np.arange(15)), SolverConfig(choose=ALL)) == Choice()


@pytest.mark.finding("UNREFINED-PROBE-001")
def test_a_probe_that_is_not_the_scans_own_is_refined(scan):
    found = choose.choose(blurred(scan), SolverConfig(choose=ALL, batch_patterns=8))
    assert found.refined.get("probe") == "refine"
    assert found.tried["probe = refine"] < 0.8 * found.tried["as given"]
    assert found.unexplained < 0.2
    assert found.shuffled > found.mean_pattern


def test_only_what_is_free_is_tried(scan):
    found = choose.choose(blurred(scan), SolverConfig(choose="positions", batch_patterns=8))
    assert all("probe" not in name for name in found.tried)


def test_where_all_diverges_nothing_is_known(scan, monkeypatch):
    def diverge(*_, **__):
        raise SolverDiverged("in pass 1")

    monkeypatch.setattr(engine, "solve", diverge)
    found = choose.choose(scan, SolverConfig(choose=ALL))
    assert np.isnan(found.unexplained)


def test_of_a_large_scan_the_patterns_about_its_middle_are_tried(scan):
    some = choose.middle(scan, 30 * N**2, 8, 100)
    centre = np.median(scan.positions, axis=0)
    away = np.linalg.norm(scan.positions - centre, axis=1)
    assert np.linalg.norm(some.positions - centre, axis=1).max() == np.sort(away)[29]
    assert len(some) == 30
    assert len(choose.middle(scan, 30 * N**2, 40, 100)) == 40
    assert len(choose.middle(scan, 30 * N**2, 8, 20)) == 20
    assert choose.middle(scan, 120 * N**2, 8, 1000) is scan


class TestSolve:
    def test_without_a_choice_it_is_the_engine(self, scan):
        config = SolverConfig(passes=4, batch_patterns=8)
        found = choose.solve(scan, config, Choice(), seed=3)
        expected = engines.solve(scan, config, seed=3)
        assert (found.reconstruction.object == expected.reconstruction.object).all()

    def test_an_object_of_few_photons_is_solved_anew_under_the_refined_probe(self, scan):
        config = SolverConfig(passes=6, batch_patterns=8)
        raw = blurred(scan)
        smoothed = {"likelihood": "poisson", "random_passes": 0, "smoothness": 0.3}
        found = choose.solve(raw, config, Choice({"probe": "refine"}, smoothed))
        first = engines.solve(raw, SolverConfig(passes=6, batch_patterns=8, probe="refine"))
        last = engines.solve(
            raw.derived(probe=first.probe), SolverConfig(passes=6, batch_patterns=8, **smoothed)
        )
        assert (found.probe == first.probe).all()
        assert (found.reconstruction.object == last.reconstruction.object).all()
        assert len(found.errors) == 6


@pytest.fixture(scope="module")
def few():
    return strangers.right("phase, few photons")


class TestFewPhotons:
    @pytest.mark.finding("FEW-PHOTONS-001")
    def test_a_smooth_object_is_chosen_where_photons_are_few(self, few):
        """The error on its own patterns falls on, and that on left-out patterns rises: the truth says which is right."""
        found = choose.choose(few.raw, SolverConfig(choose=ALL))
        assert found.smoothed.get("smoothness", 0) > 0
        assert found.unexplained < 0.5
        smooth = choose.solve(few.raw, SolverConfig(), found)
        rough = engines.solve(few.raw, SolverConfig(likelihood="poisson", random_passes=0))
        assert strangers.distance(smooth, few) < 0.85 * strangers.distance(rough, few)
        assert found.tried["as given"] > found.mean_pattern

    def test_a_probe_that_is_right_is_not_made_to_follow_the_noise(self, few):
        assert choose.choose(few.raw, SolverConfig(choose="probe,modes")).refined == {}

    def test_many_photons_need_no_smoothness(self, scan):
        assert choose.choose(scan, SolverConfig(choose=ALL, batch_patterns=8)).smoothed == {}


class TestHalves:
    def test_each_pattern_is_predicted_by_the_half_that_it_is_not_in(self, scan):
        config = SolverConfig(passes=8, batch_patterns=8)
        solutions = halves.solve(scan, lambda half, number: engines.solve(half, config, seed=number))
        assert [len(each.positions) for each in solutions] == [60, 60]
        np.testing.assert_allclose(solutions[0].positions, scan.positions[0::2])
        found = halves.left_out(scan, solutions)
        assert len(np.unique(found.rows)) == len(found.rows)
        assert found.unexplained < 0.2
        swapped = halves.left_out(scan, solutions[::-1])
        assert swapped.error < 0.5 * found.error  # their own patterns

    @pytest.mark.finding("DATA-ERROR-NULL-001")
    def test_a_small_error_on_their_own_patterns_is_nothing_at_wrong_positions(self, scan):
        config = SolverConfig(passes=8, batch_patterns=8)
        wrong = shuffled(scan)
        solutions = halves.solve(wrong, lambda half, number: engines.solve(half, config, seed=number))
        assert halves.left_out(wrong, solutions).unexplained > 0.9


class TestTheGate:
    """Of an object that does not explain its patterns."""

    def reason(self, finished, **given):
        stitched = finished.result.artifacts["stitch"]
        wrong = replace(stitched, object=np.full_like(stitched.object, 0.1))
        kept = {name: finished.result.artifacts[name] for name in ("geometry", "train", "infer")}
        given = {**kept, "stitch": wrong, **given}
        result = pipeline.run_pipeline(allowing(finished.config, 0.5), given=given, until="gate")
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
        result = pipeline.run_pipeline(allowing(finished.config, 100.0), given=given, until="gate")
        verdict = next(each for each in result.artifacts["gate"] if each.name == "data_consistency")
        assert (verdict.status, "solved directly" in verdict.reason) == ("pass", False)


def allowing(config, share):
    """The config with another limit of what may be left unexplained."""
    return config.model_copy(update={"gates": config.gates.model_copy(update={"max_unexplained": share})})
