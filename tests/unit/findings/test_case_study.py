"""The case study: commands that exist, a folder that is gone on with, a page that is what its results say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import call, without_xdist

from ptycho.base.errors import RunDirectoryError
from ptycho.commands import cli
from ptycho.findings import case_study, story

REPOSITORY = Path(__file__).resolve().parents[3]
DOCS = REPOSITORY / "docs"
RESULTS = json.loads((DOCS / story.RESULTS).read_text(encoding="utf-8"))
STEPS = {step.name: step for step in case_study.steps()}


@pytest.fixture
def two_steps(monkeypatch):
    """A study of two quick steps, whose processes are not started but noted; a test may say how they end."""
    steps = (
        case_study.Step("first", ("run", "gs1_ideal")),
        case_study.Step("second", ("run", "gs1_ideal", "--set", "N=0"), refused=True),
    )
    monkeypatch.setattr(case_study, "steps", lambda: steps)
    monkeypatch.setattr(story, "page", lambda results: json.dumps(results))
    started = []

    def run(words, where, log):
        started.append(words[3:])
        return codes.get(log.stem, 0), [f"{log.stem} is over"], 1.2

    codes = {"second": 2}
    monkeypatch.setattr(case_study, "_run", run)
    return started, codes


class TestThePage:
    def test_is_what_its_results_say(self):
        assert (DOCS / story.PAGE).read_text(encoding="utf-8") == story.page(RESULTS)

    def test_has_results_of_every_step_by_the_command_of_today(self):
        assert {name: entry["command"] for name, entry in RESULTS.items()} == {
            **{name: step.command for name, step in STEPS.items()},
            case_study.TESTS: "pytest",
        }

    def test_has_its_pictures(self):
        for name in story.PICTURES.values():
            assert (DOCS / "images" / name).is_file(), name
            assert f"images/{name}" in (DOCS / story.PAGE).read_text(encoding="utf-8")

    @pytest.mark.parametrize("name", ["params", "grouping", "probe"])
    def test_a_question_is_answered_today_as_it_is_there(self, name, tmp_path):
        assert call(*STEPS[name].words, "--out", str(tmp_path), "--cache", "none") == 0
        now = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
        then = RESULTS[name]["answers"][name]
        assert now["answer"] == then["answer"]
        assert now["numbers"].keys() == then["numbers"].keys()
        for side, values in now["numbers"].items():
            for each, value in values.items():
                expected = then["numbers"][side][each]
                number = isinstance(value, float)
                assert value == (pytest.approx(expected, rel=1e-4, abs=1e-6) if number else expected), each

    @pytest.mark.parametrize("name", [name for name, step in STEPS.items() if step.refused])
    def test_what_is_refused_is_refused_in_the_same_words(self, name, tmp_path, capsys):
        assert call(*STEPS[name].words, "--out", str(tmp_path / "run"), "--cache", "none") == 2
        assert " ".join(capsys.readouterr().err.split()) == " ".join(RESULTS[name]["line"].split())


class TestTheSteps:
    @pytest.mark.parametrize("name", STEPS)
    def test_each_is_a_command_of_this_program(self, name):
        command, _, ignored = cli.app.parse_known_args([*STEPS[name].words, "--out", name])[:3]
        assert command.__name__ == STEPS[name].words[0]
        assert not ignored

    def test_what_one_reads_an_earlier_one_made(self):
        names = list(STEPS)
        for side in STEPS["now"].words[2:] + STEPS["then"].words[2:]:
            assert names.index(side) < names.index("now")

    def test_each_criterion_has_a_step(self):
        assert {each.step for each in case_study.CRITERIA} <= {*STEPS, case_study.TESTS}

    def test_each_selector_collects_tests_and_all_of_them_passed(self):
        words = [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:syrupy",
        ]
        collected = subprocess.run(
            [*words, *case_study.selectors()],
            cwd=REPOSITORY,
            env=without_xdist(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for selector in case_study.selectors():
            assert f"{selector}::" in collected
        assert RESULTS[case_study.TESTS]["code"] == 0
        assert " passed" in RESULTS[case_study.TESTS]["line"]


class TestTheCommand:
    def test_what_is_done_is_not_done_again(self, two_steps, tmp_path):
        started, _ = two_steps
        folder = tmp_path / "study"
        assert call("case-study", "--out", str(folder), "--only", "first") == 1
        assert call("case-study", "--out", str(folder), "--resume") == 0
        assert [words[-1] for words in started if words[0] == "run"] == ["first", "second"]
        assert set(json.loads((folder / "page" / story.RESULTS).read_text())) == {"first", "second", "tests"}

    def test_a_step_with_other_words_is_done_again(self, two_steps, tmp_path):
        call("case-study", "--out", str(tmp_path / "study"))
        other = case_study.Step("first", ("run", "gs2_ideal"))
        assert not case_study.done(tmp_path / "study", other)

    def test_one_that_was_stopped_is_gone_on_with(self, two_steps, tmp_path):
        started, _ = two_steps
        (tmp_path / "first").mkdir()
        case_study.do(tmp_path, case_study.steps()[0], ("--cache", "none"))
        assert started == [["run", "gs1_ideal", "--out", "first", "--resume", "--cache", "none"]]

    @pytest.mark.parametrize(("name", "code"), [("first", 2), ("first", 3), ("second", 0), ("second", -9)])
    def test_one_that_ends_otherwise_than_it_should_stops_the_study_with_its_last_line(
        self, two_steps, name, code, tmp_path, capsys
    ):
        two_steps[1][name] = code
        assert call("case-study", "--out", str(tmp_path / "study"), "--only", name) == 2
        assert f"ended with {code}: {name} is over" in " ".join(capsys.readouterr().err.split())
        assert case_study.record(tmp_path / "study") == {}

    def test_a_step_that_there_is_not_is_named(self, tmp_path, capsys):
        assert call("case-study", "--out", str(tmp_path / "study"), "--only", "third") == 2
        assert "--only third: no such step (known: now_gs1_ideal," in " ".join(
            capsys.readouterr().err.split()
        )
        assert not (tmp_path / "study").exists()

    def test_a_folder_that_holds_something_else_is_left_alone(self, two_steps, tmp_path, capsys):
        (tmp_path / "mine").write_text("mine")
        assert call("case-study", "--out", str(tmp_path)) == 2
        assert "holds something else" in capsys.readouterr().err
        assert os.listdir(tmp_path) == ["mine"]

    def test_a_study_is_gone_on_with_by_resume_alone(self, two_steps, tmp_path, capsys):
        call("case-study", "--out", str(tmp_path / "study"))
        assert call("case-study", "--out", str(tmp_path / "study")) == 2
        assert "holds a case study; add --resume" in " ".join(capsys.readouterr().err.split())


def test_a_step_really_runs_and_leaves_its_log(tmp_path):
    step = case_study.Step("small", ("simulate", "gs1_ideal", "--set", "simulation.base_total_images=8"))
    with pytest.raises(RunDirectoryError, match="ended with 2"):
        case_study.do(tmp_path, step, ("--nonsense",))
    assert "nonsense" in (tmp_path / "small.log").read_text()
