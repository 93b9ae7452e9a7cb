"""`ptycho diagnose`: sides of every kind, files and page, and what cannot be asked."""

import json
import shutil

import oracles
import pytest
from command import call

from ptycho.commands import diagnose
from ptycho.scan.formats import npz

QUESTIONS = tuple(diagnose.questions())


@pytest.fixture(scope="module")
def scan_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "measured.npz"
    npz.write_npz(path, oracles.make_scan(count=40, shape=(60, 64), seed=4).without_truth())
    return path


def cache_of(finished):
    return ("--cache", str(finished.store.folder))


def test_all_questions_are_answered_of_a_run_on_one_page(finished, tmp_path, capsys):
    out = tmp_path / "answers"
    assert call("diagnose", "all", str(finished.folder), "--out", str(out), *cache_of(finished)) == 0
    shown = capsys.readouterr().out
    page = (out / "diagnosis.html").read_text()
    for name in QUESTIONS:
        made = json.loads((out / f"{name}.json").read_text())
        assert made["name"] == name
        assert made["answer"] in shown
        assert list(made["numbers"]) == ["run"]
        assert (out / f"{name}.md").read_text().startswith(f"## {name}: {made['question']}")
        assert f'id="{name}"' in page
    assert {path.stem for path in out.glob("*.png")} == set(QUESTIONS) - {
        "params",
        "scaler",
        "solvable",
        "geometry",
    }
    assert page.count("data:image/png;base64,") == len(QUESTIONS) - 4
    assert "http" not in page.replace("<!doctype html>", "")


def test_a_scenario_and_a_scan_are_put_side_by_side_with_a_run(finished, scan_file, capsys):
    assert call("diagnose", "probe", str(finished.folder), str(scan_file), *cache_of(finished)) == 0
    shown = capsys.readouterr().out
    assert "measured" in shown
    assert "forward model" in shown


def test_one_question_shows_its_numbers(finished, capsys):
    assert call("diagnose", "grouping", str(finished.folder), *cache_of(finished)) == 0
    shown = capsys.readouterr().out
    assert "Were all groups made that were asked for" in shown
    assert "train: groups" in shown


def test_a_scan_without_truth_says_so_on_the_page(scan_file, capsys):
    assert call("diagnose", "all", str(scan_file), "--cache", "none") == 0
    assert "There is no training" in capsys.readouterr().out


class TestBadInput:
    @pytest.mark.parametrize("question", ["bias", "scaler", "history", "compare"])
    def test_what_needs_a_run_says_what_to_run_first(self, question, scan_file, capsys):
        assert call("diagnose", question, str(scan_file), "--cache", "none") == 2
        assert "run `ptycho run` first" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("sides", "words"),
        [
            ((), "give a scenario, a scan"),
            (("gs1_ideal", "gs1_ideal"), "named twice"),
            (("nonsense",), "nonsense"),
            (("missing.npz",), "missing.npz"),
        ],
    )
    def test_sides_that_are_none(self, sides, words, capsys):
        assert call("diagnose", "params", *sides, "--cache", "none") == 2
        assert words in capsys.readouterr().err

    def test_two_runs_of_one_name_are_told_apart_by_their_paths(self, finished, tmp_path, capsys):
        for place in ("p", "q"):
            shutil.copytree(finished.folder, tmp_path / place / "run")
        sides = [str(tmp_path / place / "run") for place in ("p", "q")]
        assert call("diagnose", "params", *sides, "--cache", "none", "--out", str(tmp_path / "d")) == 0
        numbers = json.loads((tmp_path / "d" / "params.json").read_text())["numbers"]
        assert list(numbers) == sides

    def test_a_folder_without_a_run(self, tmp_path, capsys):
        assert call("diagnose", "params", str(tmp_path), "--cache", "none") == 2
        assert "not a run directory" in " ".join(capsys.readouterr().err.split())

    def test_results_of_different_gridsize_are_not_compared(self, finished, capsys):
        assert call("diagnose", "compare", str(finished.folder), "gs2_ideal", *cache_of(finished)) == 2
        assert "gridsize" in capsys.readouterr().err

    def test_a_run_that_was_cut_off_says_so(self, finished, tmp_path, capsys):
        shutil.copytree(finished.folder, tmp_path / "cut")
        path = tmp_path / "cut" / "run_metadata.json"
        metadata = json.loads(path.read_text())
        metadata["finished"] = False
        metadata["stages"] = {name: metadata["stages"][name] for name in ("scan", "split", "group_train")}
        path.write_text(json.dumps(metadata))
        assert call("diagnose", "history", str(tmp_path / "cut"), *cache_of(finished)) == 2
        assert "before train" in capsys.readouterr().err

    def test_a_run_of_another_version_says_so(self, finished, tmp_path, capsys):
        shutil.copytree(finished.folder, tmp_path / "old")
        path = tmp_path / "old" / "run_metadata.json"
        metadata = json.loads(path.read_text())
        metadata["config"]["training"]["momentous"] = 3
        path.write_text(json.dumps(metadata))
        assert call("diagnose", "params", str(tmp_path / "old"), *cache_of(finished)) == 2
        assert "another version" in capsys.readouterr().err
