"""`ptycho isolate` on the command line: what it says, what it leaves, and what it refuses before any time is spent."""

import json
import re
import subprocess
import sys
import time

import numpy as np
import oracles
import pytest
from command import call

from ptycho.base import layout
from ptycho.commands import isolate
from ptycho.isolate import sides
from ptycho.runs import directory
from ptycho.scan.formats import npz

TINY_MODEL = ("training.epochs=1", "model.warm_steps=4", "model.steps=1", "model.filters=4", "model.levels=1")

pytestmark = pytest.mark.usefixtures("at_desk")


@pytest.fixture
def at_desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def both(options, *more):
    """The options of the small run for both sides."""
    sets = [word for word in options if word != "--set"]
    words = [part for text in sets for part in ("--good-set", text, "--bad-set", text)]
    return [*words, *more]


@pytest.mark.slow
def test_a_cause_is_named_and_the_test_that_keeps_it_fails_on_bad_alone(
    tiny_options, cache_folder, tmp_path, capsys
):
    out = tmp_path / "isolated"
    code = call(
        *("isolate", "gs1_ideal", "gs1_ideal", *both(tiny_options), "--bad-set", "inference.n_groups=9"),
        *("--bad-set", "training.patience=40", "--bad-set", "solver.passes=50"),
        *("--out", str(out), "--cache", str(cache_folder), "--workers", "2"),
    )
    said = capsys.readouterr().out
    assert code == 0
    assert "inference.n_groups (stage group_test, 100% of the gap)" in said
    assert "fails on BAD and passes on GOOD, as was tried" in said
    values = json.loads((out / "isolation.json").read_text())
    assert [cause["name"] for cause in values["causes"]] == ["inference.n_groups"]
    assert values["complete"]
    assert re.search(r"physics alone leaves \d+%, BAD's network leaves \d+% unexplained", values["reach"])
    assert "no stage of these runs reads it" in values["cleared"]["solver.passes"]
    page = (out / "isolation.html").read_text()
    assert "inference.n_groups" in page
    assert "<script" not in page
    assert (out / "isolation.png").read_bytes().startswith(b"\x89PNG")
    assert "| inference.n_groups | group_test |" in (out / "isolation.md").read_text()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(out),
        str(out / "test_isolated.py"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=out)
    assert done.returncode == 1
    assert "look at inference.n_groups" in done.stdout
    # All of it is in the record: nothing is run a second time.
    assert call("isolate", "gs1_ideal", "gs1_ideal", *both(tiny_options), "--bad-set", "inference.n_groups=9",
                "--bad-set", "training.patience=40", "--bad-set", "solver.passes=50",
                "--out", str(out), "--cache", str(cache_folder), "--resume", "--no-test") == 0  # fmt: skip
    assert json.loads((out / "isolation.json").read_text())["experiments"] == 0


@pytest.mark.slow
def test_a_scan_alone_is_compared_with_its_twin_and_its_guessed_probe_is_named(
    tmp_path, cache_folder, capsys
):
    scan = oracles.make_scan(count=80, N=32, shape=(80, 90), seed=4).without_truth()
    phase = np.exp(1j * np.linspace(-1, 1, 32)[:, None] ** 2 * 8)
    npz.write_npz(tmp_path / "guessed.npz", scan.derived(probe=scan.probe * phase))
    small = [part for text in TINY_MODEL for part in ("--bad-set", text)]
    command = ["isolate", "guessed.npz", *small, "--out", "out", "--cache", str(cache_folder)]
    assert call(*command) == 0
    said = capsys.readouterr().out
    assert (
        "GOOD is the digital twin of 64 patterns about the middle of guessed" in said
        or "of 80 patterns" in said
    )
    values = json.loads((tmp_path / "out" / "isolation.json").read_text())
    assert values["causes"][0]["name"] == "scan.probe"
    assert "add --probe-from solve" in values["verdict"]
    assert "settings" in values["notes"][-1]
    assert len(npz.read_npz(tmp_path / "out" / "twin.npz")) in (64, 80)


@pytest.mark.slow
def test_what_a_killed_isolation_knew_is_not_asked_again(tiny_options, cache_folder, tmp_path, capsys):
    out = tmp_path / "killed"
    command = [
        *(
            "isolate",
            "gs1_ideal",
            "gs1_ideal",
            *both(tiny_options),
            "--bad-set",
            "gates.scale_tolerance=1e-9",
        ),
        *("--out", str(out), "--cache", str(cache_folder), "--no-test"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "ptycho", *command], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    record = out / isolate.EXPERIMENTS
    deadline = time.monotonic() + 120
    while not record.is_file():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert call(*command) == 2
    assert "--resume" in capsys.readouterr().err
    assert call(*command, "--resume") == 0
    values = json.loads((out / "isolation.json").read_text())
    assert [each["name"] for each in values["judges"]] == ["gates.scale_tolerance"]
    assert values["experiments"] < len(json.loads(record.read_text())["outcomes"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gs2_ideal", "gs2_ideal"], "differ in nothing that any stage of these runs reads"),
        (["gs2_ideal", "gs2_ideal", "--bad-set", "solver.passes=9"], "differ in nothing"),
        (["gs2_ideal", "nowhere"], "no scenario 'nowhere'"),
        (["gs2_ideal", "gs2_ideal", "--bad-set", "training.epoch=3"], "training.epochs"),
        (
            ["gs2_ideal", "gs1_ideal", "--budget", "soon"],
            "--budget soon: expected a time like 90s, 10m or 1h",
        ),
        (["gs2_ideal", "gs1_ideal", "--budget", "0.1s"], "no experiment takes so little"),
        (["history/gs1_ideal_2026_01", "gs1_ideal"], "cannot be the good side"),
        (["gs2_ideal", "--bad-rev", "HEAD", "--bad-python", "python3"], "leave one of them out"),
        (["gs2_ideal", "--bad-python", "/no/python"], "cannot be run"),
        (["gs2_ideal", "gs1_ideal", "--workers", "0"], "--workers 0: must be at least 1"),
        (["gs2_ideal", "absent.npz"], "absent.npz: no such file"),
    ],
)
def test_what_cannot_be_isolated_is_one_line_before_any_work(arguments, words, capsys, tmp_path):
    assert call("isolate", *arguments, "--cache", "none") == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def runs(finished, tmp_path):
    """Copies of a finished run with another record of its verdict."""

    def copy(name, **changes):
        folder = tmp_path / name
        folder.mkdir()
        record = directory.read_metadata(finished.folder) | changes
        (folder / layout.METADATA).write_text(json.dumps(record))
        return str(folder)

    return copy


def test_two_good_runs_and_a_bad_good_side_are_known_from_their_records(runs, capsys):
    one, other = runs("one", passed=True), runs("other", passed=True)
    assert call("isolate", one, other, "--cache", "none") == 2
    assert "both pass their gates" in capsys.readouterr().err
    bad, worse = runs("bad", passed=False), runs("worse", passed=False)
    assert call("isolate", bad, worse, "--cache", "none") == 2
    assert "is no good side" in capsys.readouterr().err
    assert call("isolate", one, bad, "--bad-set", "seed=3", "--cache", "none") == 2
    assert "a run directory is as it ran" in capsys.readouterr().err


def test_a_run_whose_scan_is_gone_is_refused_with_its_place(runs, capsys):
    request = {"command": "run", "data": {"path": "/gone/scan.npz", "sha256": "0" * 64}, "reading": {}}
    one, gone = runs("one", passed=True), runs("gone", passed=False, request=request)
    assert call("isolate", one, gone, "--cache", "none") == 2
    assert "/gone/scan.npz, is not there any more" in capsys.readouterr().err


def test_a_folder_of_something_else_is_left_alone(tmp_path, capsys):
    folder = tmp_path / "taken"
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    command = ["isolate", "gs2_ideal", "gs1_ideal", "--cache", "none", "--out", str(folder)]
    assert call(*command) == 2
    assert "holds something else" in capsys.readouterr().err
    (folder / isolate.EXPERIMENTS).write_text("{}")
    assert call(*command) == 2
    assert "add --resume" in capsys.readouterr().err
    assert (folder / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h", 3600), ("45", 45), ("1.5min", 90)]
)
def test_a_budget_is_read_as_people_write_it(text, seconds):
    assert isolate.seconds_of(text) == seconds


def test_a_run_is_repeated_by_the_words_of_its_record():
    request = {
        "command": "run",
        "scenario": "gs1_ideal",
        "profile": "stable",
        "data": None,
        "overrides": ["training.epochs=3"],
        "seed": 4,
        "fault": "SOME-FAULT:x",
        "reading": {"intensity": True, "geometry": ["flip_x"], "mask": None, "keep_frames": "3"},
    }
    assert sides.command_of(request) == (
        *("gs1_ideal", "--profile", "stable", "--set", "training.epochs=3", "--seed", "4", "--fault", "SOME-FAULT:x"),
        *("--intensity", "--geometry", "flip_x", "--keep-frames", "3"),
    )  # fmt: skip
