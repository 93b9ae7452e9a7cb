"""The command line: exit codes, one-line complaints, nothing half-written."""

import json

import numpy as np
import pytest

from ptycho import cli


def call(*arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(list(arguments))
    return stop.value.code


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "give a scenario"),
        (["run", "gs1_idea"], "did you mean gs1_ideal"),
        (["run", "gs1_ideal", "--set", "training.epoch=3"], "did you mean training.epochs"),
        (["run", "gs1_ideal", "--set", "N=50"], "N must be one of"),
        (["run", "gs1_ideal", "--profile", "fast"], "unknown profile"),
        (["run", "--data", "nowhere.npz"], "no such file"),
        (["run", "--bogus"], "--bogus"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 2
    complaint = capsys.readouterr().err
    assert words in complaint
    assert "Traceback" not in complaint
    assert len(complaint.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


SMALL = [
    *("--set", "N=32", "--set", "simulation.object_size_px=96", "--set", "simulation.base_total_images=64"),
    *("--set", "grouping.n_groups=none", "--set", "training.epochs=1", "--set", "model.steps=1"),
    *(
        "--set",
        "model.filters=4",
        "--set",
        "model.levels=2",
        "--set",
        "gates.min_pearson=0",
        "--set",
        "gates.min_ssim=0",
    ),
    *("--set", "gates.max_data_error=1", "--set", "gates.scale_tolerance=0.5"),
]


def test_a_run_leaves_a_complete_directory_and_can_be_taken_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("run", "gs1_ideal", "--out", "whole", *SMALL) == 0
    described = json.loads((tmp_path / "whole" / "run_metadata.json").read_text())
    assert described["passed"]
    assert described["fits_canvas"]
    assert described["figure_errors"] == {}
    assert all((tmp_path / "whole" / name).exists() for name in described["artifacts"].values())
    with np.load(tmp_path / "whole" / "reconstruction.npz", allow_pickle=False) as whole:
        assert whole["object"].dtype == np.complex64
        assert whole["coverage"].dtype == np.float32
        expected = whole["object"]
    page = (tmp_path / "whole" / "report.html").read_text()
    assert "PASS" in page
    assert "Twin image" in page
    assert "http://" not in page

    assert call("simulate", "gs1_ideal", "--out", "scan.npz", *SMALL) == 0
    assert call("train", "gs1_ideal", "--data", "scan.npz", "--out", "model", *SMALL) == 0
    assert call("infer", "model/bundle.npz", "--data", "scan.npz", "--out", "rec.npz") == 0
    assert (
        call("evaluate", "rec.npz", "--bundle", "model/bundle.npz", "--data", "scan.npz", "--out", "m.json")
        == 0
    )
    with np.load(tmp_path / "rec.npz", allow_pickle=False) as parts:
        np.testing.assert_allclose(parts["object"], expected, atol=1e-5)

    assert call("run", "gs1_ideal", "--out", "whole", *SMALL) == 2
    assert call("run", "gs1_ideal", "--out", "whole", "--resume", *SMALL) == 0
    assert call("run", "gs1_ideal", "--out", "whole", "--resume", *SMALL, "--seed", "7") == 2


def test_a_failed_gate_is_exit_code_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("run", "gs1_ideal", "--out", "r", *SMALL, "--set", "gates.min_ssim=1") == 1
