"""`ptycho diagnose` of runs on measured scans: the scan is found, or asked for, and each case has its own reason."""

import shutil

import numpy as np
import oracles
import pytest
from command import call

from ptycho.diagnose import canvas, probes
from ptycho.scan.formats import npz


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asked")
    npz.write_npz(folder / "scan.npz", oracles.make_scan(count=60, shape=(60, 64), seed=4).without_truth())
    options = ("--passes", "3", "--cache", "none", "--out", str(folder / "solved"))
    assert call("solve", "--data", str(folder / "scan.npz"), *options) == 0
    return folder


def asked(capsys, *arguments):
    capsys.readouterr()
    code = call("diagnose", *arguments, "--cache", "none")
    out, err = capsys.readouterr()
    return code, " ".join(out.split()), " ".join(err.split())


@pytest.mark.finding("ASKED-RUN-001")
def test_everything_can_be_asked_of_a_finished_solution(solved, capsys, tmp_path):
    code, said, complaint = asked(capsys, "all", str(solved / "solved"), "--out", str(tmp_path / "d"))
    assert (code, complaint) == (0, "")
    assert "The scan brings its own probe" in said
    assert "It can: solved directly" in said
    assert "run it to its end" not in said
    assert "not to be had" not in said
    assert "ptycho solve makes no group_train; ptycho run does" in said
    assert (tmp_path / "d" / "diagnosis.html").stat().st_size > 10_000


def test_a_scan_that_has_moved_is_asked_for_and_taken(solved, capsys, tmp_path):
    run = tmp_path / "solved"
    shutil.copytree(solved / "solved", run)
    record = run / "run_metadata.json"
    record.write_text(record.read_text().replace(str(solved / "scan.npz"), str(tmp_path / "gone.npz")))
    code, said, _ = asked(capsys, "all", str(run))
    assert code == 0
    assert f"the scan of that run, {tmp_path}/gone.npz, is not there any more; add --data FILE" in said
    code, said, _ = asked(capsys, "probe", str(run), "--data", str(solved / "scan.npz"))
    assert code == 0
    assert "The scan brings its own probe" in said


def test_another_scan_is_not_taken_for_it(solved, capsys, tmp_path):
    npz.write_npz(tmp_path / "other.npz", oracles.make_scan(count=60, shape=(60, 64), seed=5).without_truth())
    code, said, _ = asked(capsys, "all", str(solved / "solved"), "--data", str(tmp_path / "other.npz"))
    assert code == 0
    assert "other.npz is not the file that the run read; add --data with that one" in said


def test_a_question_that_fails_is_a_row_and_costs_the_others_nothing(solved, capsys, tmp_path, monkeypatch):
    def broken(_):
        raise ValueError("a bug")

    monkeypatch.setattr(canvas, "ask", broken)
    monkeypatch.setattr(probes, "draw", broken)
    out = tmp_path / "d"
    code, said, complaint = asked(capsys, "all", str(solved / "solved"), "--out", str(out))
    assert code == 0
    assert "Not answered, by a bug of this program: ValueError: a bug." in said
    assert "diagnose reassembly failed: ValueError: a bug" in complaint
    page = (out / "diagnosis.html").read_text()
    assert "Not answered, by a bug" in page
    assert "The scan brings its own probe" in page
    assert not (out / "probe.png").exists()


def test_a_mask_is_no_step_that_changes_the_brightness(tmp_path, capsys):
    """What says that nothing was measured is no light."""
    bad = np.zeros((32, 32), bool)
    bad[10:20] = True
    scan = oracles.make_scan(count=60, shape=(60, 64), seed=4).without_truth()
    npz.write_npz(tmp_path / "scan.npz", scan.derived(bad_pixels=bad))
    quick = ("model.warm_steps=2", "model.steps=1", "model.filters=4", "model.levels=1", "training.epochs=1")
    options = [word for text in quick for word in ("--set", text)]
    code = call(
        "run",
        "--data",
        str(tmp_path / "scan.npz"),
        "--out",
        str(tmp_path / "run"),
        "--cache",
        "none",
        *options,
    )
    assert code in (0, 1)
    asked(capsys, "intensity", str(tmp_path / "run"), "--out", str(tmp_path / "d"))
    lines = (tmp_path / "d" / "intensity.md").read_text().splitlines()
    row = next(line for line in lines if "scaled -> network input" in line)
    assert float(row.split("|")[-2]) == pytest.approx(1, abs=0.01)


def test_of_a_scenario_it_is_said_how_the_probe_is_normalised(capsys):
    code, said, _ = asked(capsys, "probe", "gs1_ideal")
    assert code == 0
    assert "normalised as the scenario says" in said
