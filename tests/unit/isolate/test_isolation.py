"""An isolation on a toy table whose effects are known: it names what was planted, and how much of the gap that makes."""

from contextlib import contextmanager

import numpy as np
import pytest

from ptycho.base.errors import ConfigError, RunDirectoryError
from ptycho.isolate import isolation
from ptycho.isolate.code import Replaced


def named(verdict):
    return {cause.difference.name for cause in verdict.causes}


def isolated(laboratory, sides, **changes):
    return isolation.isolate(laboratory(*sides(**changes)), reach=False)


def test_one_cause_among_differences_that_change_nothing_is_named_with_its_stage_and_share(laboratory, sides):
    verdict = isolated(
        laboratory, sides, model__momentum=0.7, training__clip_norm=2.0, seed=5, training__epochs=30
    )
    assert named(verdict) == {"model.momentum"}
    (cause,) = verdict.causes
    assert cause.stage == "make"
    assert cause.alone == pytest.approx(1, abs=0.05)
    assert cause.left == pytest.approx(0, abs=0.05)
    assert verdict.breaks == (("model.momentum",),)
    assert "model.momentum (stage make, 100% of the gap)" in verdict.sentence
    assert verdict.isolated


def test_what_is_cleared_is_cleared_with_a_reason(laboratory, sides):
    verdict = isolated(laboratory, sides, model__momentum=0.7, training__clip_norm=2.0, solver__passes=77)
    assert "no stage of these runs reads it" in verdict.cleared["solver.passes"]
    assert "shows nothing" in verdict.cleared["training.clip_norm"]
    assert verdict.cleared["stage scan"] == "the same code, parameters and files in both"


def test_an_identical_pair_with_another_seed_has_no_cause(laboratory, sides):
    for seed in range(1, 8):
        verdict = isolated(laboratory, sides, seed=seed)
        assert not verdict.causes
        assert "No visible effect" in verdict.sentence


def test_two_that_show_only_together_are_an_interaction(laboratory, sides):
    verdict = isolated(
        laboratory,
        sides,
        training__loss__mae=1.0,
        training__loss__total_variation=1.0,
        training__clip_norm=3.0,
    )
    assert verdict.breaks == (("training.loss.mae", "training.loss.total_variation"),)
    assert "None breaks GOOD alone" in verdict.sentence
    assert len(verdict.causes) == 1, "to repair one of them is enough"


def test_what_hides_half_of_a_cause_is_no_cause_where_the_repair_does_not_need_it(laboratory, sides):
    verdict = isolated(laboratory, sides, model__momentum=0.7, training__epochs=2)
    assert named(verdict) == {"model.momentum"}
    assert verdict.causes[0].alone > 1.5, "alone it does more than with what hides it"
    (hidden,) = verdict.hidden
    assert hidden.name == "training.epochs"
    assert hidden.left > 1.5
    assert "to repair it alone makes BAD worse" in hidden.sentence
    assert "training.epochs" not in verdict.cleared


def test_what_changes_neither_good_nor_bad_is_not_called_hidden(laboratory, sides):
    verdict = isolated(laboratory, sides, model__momentum=0.7, training__clip_norm=2.0, seed=7)
    assert verdict.hidden == ()


def test_two_causes_in_two_stages_are_both_needed(laboratory, sides):
    verdict = isolated(laboratory, sides, model__momentum=0.8, simulation__nphotons=50.0)
    assert named(verdict) == {"model.momentum", "simulation.nphotons"}
    assert {cause.stage for cause in verdict.causes} == {"make", "scan"}
    assert verdict.outcomes["BAD repaired"].passed


def test_a_run_that_ends_in_an_error_is_isolated_like_any_other(laboratory, sides):
    verdict = isolated(laboratory, sides, training__learning_rate=0.9, model__momentum=0.9500001)
    assert named(verdict) == {"training.learning_rate"}
    assert "the toy diverged" in verdict.causes[0].alone_says


def test_a_stricter_judge_is_told_from_a_worse_object(laboratory, sides):
    verdict = isolated(laboratory, sides, gates__scale_tolerance=1e-6)
    assert not verdict.causes
    assert [each.name for each in verdict.judges] == ["gates.scale_tolerance"]
    assert "makes the object that good makes" in verdict.sentence
    assert not verdict.judge.blind


def test_a_judge_that_fails_the_truth_is_blind_and_hides_no_other_cause(laboratory, sides):
    verdict = isolated(laboratory, sides, evaluation__border_px=6, model__momentum=0.7)
    assert verdict.judge.blind
    assert "fails error" in verdict.judge.sentence
    assert named(verdict) == {"model.momentum"}
    assert [each.name for each in verdict.judges] == ["evaluation.border_px"]


def test_code_that_differs_is_named_by_its_function_and_acts_in_its_row_alone(
    laboratory, sides, toy, monkeypatch
):
    @contextmanager
    def halved():
        with monkeypatch.context() as patch:
            patch.setattr(toy["make"], "gain", lambda inputs, params: 0.5)
            yield

    code = Replaced("toy_make:gain", "halved", halved)
    monkeypatch.setattr(Replaced, "reached_by", lambda self, stage: stage.name == "make")
    verdict = isolation.isolate(laboratory(*sides(code=[code], training__clip_norm=2.0)), reach=False)
    assert named(verdict) == {"toy_make:gain"}
    assert verdict.causes[0].stage == "make"


def test_of_code_that_ends_the_run_the_stage_is_the_one_that_it_ends(laboratory, sides, toy, monkeypatch):
    """Of a run that ended nothing is known of any stage; by itself the scan comes out the same."""

    def ends(inputs, params):
        raise ArithmeticError("no gain")

    @contextmanager
    def broken():
        with monkeypatch.context() as patch:
            patch.setattr(toy["make"], "gain", ends)
            yield

    monkeypatch.setattr(Replaced, "reached_by", lambda self, stage: stage.name in ("scan", "make"))
    code = Replaced("toy_make:gain", "broken", broken)
    # Another seed changes the scan, and says nothing of where the code does.
    verdict = isolation.isolate(laboratory(*sides(code=[code], seed=5)), reach=False)
    assert [(cause.difference.name, cause.stage) for cause in verdict.causes] == [("toy_make:gain", "make")]


def test_what_bads_scan_alone_says_of_itself_is_told(laboratory, sides, toy, monkeypatch):
    """As that its probe has a twin."""

    def notes(scan, params):
        yield "Probe: the same in both."
        if params.simulation.nphotons < 1000:
            yield "Twin image: nothing can decide."

    monkeypatch.setattr(toy["scan"], "notes", notes, raising=False)
    verdict = isolation.isolate(laboratory(*sides(simulation__nphotons=100.0)), reach=False)
    assert [note for note in verdict.notes if "scan alone" in note] == [
        "of BAD's scan alone it is said: Twin image: nothing can decide."
    ]


def test_where_the_budget_ends_the_verdict_is_partial_and_says_so(laboratory, sides):
    room = laboratory(*sides(model__momentum=0.7), budget=0.0)
    room.began -= 1
    verdict = isolation.isolate(room, reach=False)
    assert not verdict.complete
    assert not verdict.isolated
    assert "partial" in verdict.sentence


def test_experiments_are_taken_from_the_record_and_not_done_again(laboratory, sides, tmp_path):
    record = tmp_path / "experiments.json"
    first = isolation.isolate(laboratory(*sides(model__momentum=0.7), record=record), reach=False)
    again = isolation.isolate(laboratory(*sides(model__momentum=0.7), record=record), reach=False)
    assert first.experiments >= 4
    assert again.experiments == 0
    assert [cause.to_dict() for cause in again.causes] == [cause.to_dict() for cause in first.causes]


def test_the_record_of_other_sides_is_refused(laboratory, sides, tmp_path):
    record = tmp_path / "experiments.json"
    isolation.isolate(laboratory(*sides(model__momentum=0.7), record=record), reach=False)
    with pytest.raises(RunDirectoryError, match="of other sides"):
        laboratory(*sides(model__momentum=0.8), record=record)


def test_a_damaged_record_is_done_again_with_a_word(laboratory, sides, tmp_path, caplog):
    record = tmp_path / "experiments.json"
    record.write_text("{no json")
    verdict = isolation.isolate(laboratory(*sides(model__momentum=0.7), record=record), reach=False)
    assert named(verdict) == {"model.momentum"}
    assert "done again" in caplog.text


def test_the_verdict_as_json_has_numbers_that_a_program_reads(laboratory, sides):
    values = isolated(laboratory, sides, model__momentum=0.7).to_dict()
    (cause,) = values["causes"]
    assert cause["name"] == "model.momentum"
    assert cause["stage"] == "make"
    assert np.isclose(cause["alone"], 1, atol=0.05)
    assert values["outcomes"]["BAD"]["failed"] == ["error", "scale"]


def test_bugs_in_the_good_side_are_refused(laboratory, sides):
    good, bad = sides(model__momentum=0.7)
    from dataclasses import replace

    code = Replaced("toy_make:gain", "x", lambda: None)
    with pytest.raises(ConfigError, match="cannot be the good side"):
        laboratory(replace(good, code=(code,)), bad)


def test_a_good_side_that_ends_in_an_error_is_refused(laboratory, sides):
    good, bad = sides(good={"training": {"learning_rate": 0.9}}, training__learning_rate=0.001)
    with pytest.raises(
        ConfigError, match="GOOD itself, good, ends in an error: ArithmeticError: the toy diverged"
    ):
        isolation.isolate(laboratory(good, bad), reach=False)


def test_what_hides_half_of_a_cause_is_named_in_its_company(laboratory, sides):
    # Few epochs hide half of what the gain does, and do nothing by themselves.
    verdict = isolated(laboratory, sides, model__momentum=0.6, training__epochs=1, training__clip_norm=2.0)
    assert named(verdict) == {"model.momentum"}
    assert [each.name for each in verdict.hidden] == ["training.epochs"]
    assert "In the company of these act training.epochs." in verdict.sentence
