"""The command line: exit codes, one-line complaints, nothing half-written."""

import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from command import call

import ptycho
from ptycho.base import identity
from ptycho.base.errors import InvariantError
from ptycho.commands import cli
from ptycho.network import bundle as bundles
from ptycho.stages import pipeline, scale, scan, split
from ptycho.stages import train as training


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "give a scenario"),
        (["run", "gs1_idea"], "did you mean gs1_ideal"),
        (["run", "gs1_ideal", "--set", "training.epoch=3"], "did you mean training.epochs"),
        (["run", "gs1_ideal", "--set", "N=50"], "N must be one of"),
        (["run", "gs1_ideal", "--profile", "quick"], "unknown profile"),
        (["run", "--data", "nowhere.npz"], "no such file"),
        (["run", "--bogus"], "--bogus"),
        (["run", "gs1_ideal", "--until", "stich"], "no stage 'stich'; did you mean stitch?"),
        (["run", "gs1_ideal", "--batch-size", "0"], "--batch-size = 0: must be at least 1"),
        (["cache", "info", "--cache", "none"], "names no folder"),
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


@pytest.mark.parametrize("arguments", [["findings", "--json"], ["--help"]])
def test_a_reader_who_goes_ends_nothing_with_a_failed_gate(arguments):
    """`ptycho ... | head -1`: rich ends a process with code 1, which here says that a gate failed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ptycho", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    complaint = process.stderr.read().decode()
    process.stderr.close()
    assert (process.wait(60), complaint) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_under_the_output_is_told_in_a_line_and_the_exit_code_is_that_of_the_work():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ptycho", "stages"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0
    assert (
        done.stderr == "ptycho: cannot write to standard output: No space left on device; the work goes on\n"
    )


def test_it_can_be_called_from_a_thread(capsys):
    """Only the main thread may set what a signal does."""
    codes = []
    thread = threading.Thread(target=lambda: codes.append(call("cache", "info", "--cache", "nowhere")))
    thread.start()
    thread.join(60)
    assert codes == [0], capsys.readouterr().err


@pytest.mark.slow
def test_a_run_without_a_fault_loads_no_faults(tmp_path, tiny_options):
    """The command line loads what a command needs: all faults, and the tools of the tests, took most of a second."""
    arguments = [
        "run",
        "gs1_ideal",
        "--until",
        "split",
        "--cache",
        "none",
        "--out",
        str(tmp_path / "r"),
        *tiny_options,
    ]
    code = (
        "import sys\nfrom ptycho.commands import cli\n"
        f"try:\n    cli.main({arguments!r})\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "loaded = [name for name in sys.modules if name.startswith(('ptycho.findings.', 'ptycho.testing.golden.', 'pytest'))]\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_run_leaves_a_complete_directory_and_can_be_taken_apart(tmp_path, monkeypatch, tiny_options):
    monkeypatch.chdir(tmp_path)
    assert call("run", "gs1_ideal", "--out", "whole", *tiny_options) == 0
    described = json.loads((tmp_path / "whole" / "run_metadata.json").read_text())
    assert described["passed"]
    assert described["stages"]["stitch"]["telemetry"]["fits_canvas"]
    assert described["figure_errors"] == {}
    names = [name for stage in described["stages"].values() for name in stage["files"]]
    assert {"bundle.npz", "history.json", "reconstruction.npz", "truth.npz", "metrics.json"} < set(names)
    assert all((tmp_path / "whole" / name).exists() for name in [*names, *described["figures"].values()])
    assert not list((tmp_path / "whole").glob(".*"))
    with np.load(tmp_path / "whole" / "reconstruction.npz", allow_pickle=False) as whole:
        assert whole["object"].dtype == np.complex64
        assert whole["coverage"].dtype == np.float32
        expected = whole["object"]
    page = (tmp_path / "whole" / "report.html").read_text()
    assert "PASS" in page
    assert "Twin image" in page
    assert "http://" not in page

    assert call("simulate", "gs1_ideal", "--out", "scan.npz", *tiny_options) == 0
    assert call("train", "gs1_ideal", "--data", "scan.npz", "--out", "model", *tiny_options) == 0
    assert call("infer", "model/bundle.npz", "--data", "scan.npz", "--out", "rec.npz") == 0
    judge = ["evaluate", "rec.npz", "--bundle", "model/bundle.npz", "--data", "scan.npz"]
    assert call(*judge, "--out", "numbers") == 0
    assert json.loads((tmp_path / "numbers" / "metrics.json").read_text())["direct"]["pearson"] > 0
    assert call(*judge, "--set", "gates.min_ssim=1") == 1
    assert call(*judge, "--all") == 2  # the file says that it was made from the test part
    with np.load(tmp_path / "rec.npz", allow_pickle=False) as parts:
        np.testing.assert_allclose(parts["object"], expected, atol=1e-5)

    assert call("run", "gs1_ideal", "--out", "whole", *tiny_options) == 2
    assert call("run", "gs1_ideal", "--out", "whole", "--resume", *tiny_options) == 0
    assert call("run", "gs1_ideal", "--out", "whole", "--resume", *tiny_options, "--seed", "7") == 2


@pytest.mark.slow
def test_a_whole_new_scan_is_reconstructed_with_a_bundle(tmp_path, monkeypatch, finished, tiny_options):
    monkeypatch.chdir(tmp_path)
    new = ["--set", "simulation.object_seed=5", "--set", "simulation.seed=3"]
    assert call("simulate", "gs1_ideal", "--out", "new.npz", *tiny_options, *new) == 0
    command = ["infer", str(finished.folder / "bundle.npz"), "--data", "new.npz"]
    assert call(*command, "--out", "half.npz") == 0
    assert call(*command, "--out", "all.npz", "--all") == 0
    with np.load("half.npz") as half, np.load("all.npz") as every:
        patches = [json.loads(str(part["_reconstruction"]))["n_patches"] for part in (half, every)]
        assert patches == [32, 64]
        assert (every["coverage"] > 0.1).sum() > 1.5 * (half["coverage"] > 0.1).sum()
    judge = ["evaluate", "--bundle", str(finished.folder / "bundle.npz"), "--data", "new.npz"]
    assert call(*judge, "all.npz", "--all") == 0


@pytest.mark.finding("INFERENCE-OVERSAMPLE-001")
@pytest.mark.finding("MAINREF-CLI-001/#15")
def test_how_many_groups_a_training_run_reconstructed_is_not_inherited(
    tmp_path, monkeypatch, finished, tiny_options
):
    monkeypatch.chdir(tmp_path)
    assert call("simulate", "gs1_ideal", "--out", "scan.npz", *tiny_options) == 0
    about = {"config": {**finished.config.to_dict(), "inference": {"n_groups": 5}}}
    bundles.save_bundle(tmp_path / "bundle.npz", finished.result.artifacts["train"], about)
    for options, expected in [([], 32), (["--set", "inference.n_groups=7"], 7)]:
        assert (
            call("infer", "bundle.npz", "--data", "scan.npz", "--out", "rec.npz", "--overwrite", *options)
            == 0
        )
        with np.load("rec.npz") as written:
            assert json.loads(str(written["_reconstruction"]))["n_patches"] == expected


@pytest.mark.finding("MAINREF-CLI-001/#15")
def test_a_bundle_reconstructs_no_scan_of_another_size(tmp_path, monkeypatch, finished, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("simulate", "gs1_ideal", "--profile", "stable", "--out", "wide.npz") == 0
    bundle = str(finished.folder / "bundle.npz")
    assert call("infer", bundle, "--data", "wide.npz", "--out", "rec.npz") == 2
    assert "the scan that was given has N = 64 but the config says N = 32" in capsys.readouterr().err


def test_a_second_run_says_what_came_from_the_cache(tmp_path, monkeypatch, tiny_options, finished, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["run", "gs1_ideal", *tiny_options]
    call(*command, "--out", "a")
    capsys.readouterr()
    call(*command, "--out", "b", "--set", "evaluation.border_px=3")
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "from the cache: scan, inspect, geometry, split, group_train, group_test, scale, train, infer" in said
    )
    assert "computed: stitch, twin, evaluate, gate" in said
    assert call(*command, "--out", "c", "--cache", "none", "--until", "scale") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "computed: scan, inspect, split, group_train, scale NOT JUDGED (ends with scale)" in said


def test_the_cache_can_be_looked_at_and_cleared(tmp_path, monkeypatch, tiny_options, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("run", "gs1_ideal", *tiny_options, "--out", "a", "--cache", "kept", "--until", "split") == 0
    assert call("cache", "info", "--cache", "kept") == 0
    assert "split" in capsys.readouterr().out
    assert call("cache", "clear", "--cache", "kept") == 0
    assert "4 artifacts thrown away" in capsys.readouterr().out
    assert call("cache", "info", "--cache", "kept") == 0
    assert "split" not in capsys.readouterr().out


def test_the_stages_are_listed(capsys):
    assert call("stages") == 0
    listed = capsys.readouterr().out
    for stage in pipeline.STAGES:
        assert stage.name in listed


@pytest.mark.slow
def test_another_runs_artifact_takes_the_place_of_a_stage(
    tmp_path, monkeypatch, finished, tiny_options, capsys
):
    monkeypatch.chdir(tmp_path)
    command = ["run", "gs1_ideal", *tiny_options, "--seed", "3"]
    assert call(*command, "--out", "swapped", "--swap", f"train={finished.folder}") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "given: train" in said
    assert "group_train" not in said  # nothing that only training would have needed is run
    described = json.loads((tmp_path / "swapped" / "run_metadata.json").read_text())
    assert described["stages"]["train"]["digest"] == finished.result.records["train"].digest
    bundle = bundles.load_bundle(tmp_path / "swapped" / "bundle.npz")
    assert identity.digest(bundle) == finished.result.records["train"].digest
    # It is the artifact that came from there, not the run: the scan is another.
    assert described["stages"]["scan"]["digest"] != finished.result.records["scan"].digest


@pytest.mark.parametrize(
    ("swap", "words"),
    [
        ("trian={run}", "no stage 'trian'; did you mean train?"),
        ("train", "expected STAGE=RUN_DIR"),
        ("train=nowhere", "not a run directory"),
        ("train={run}", "that run has N = 32 but this one has N = 64"),
    ],
)
def test_a_swap_that_does_not_fit_is_refused(swap, words, tmp_path, monkeypatch, finished, capsys):
    monkeypatch.chdir(tmp_path)
    text = swap.format(run=finished.folder)
    assert call("run", "gs1_ideal", "--profile", "stable", "--out", "r", "--swap", text) == 2
    complaint = capsys.readouterr().err
    assert words in complaint
    assert len(complaint.strip().splitlines()) == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
@pytest.mark.finding("LOST-RUN-001")
def test_a_terminated_training_says_what_is_kept_and_how_to_go_on(
    tmp_path, monkeypatch, tiny_options, capsys
):
    monkeypatch.chdir(tmp_path)
    train = training.run
    epochs = []

    def stop_in_the_second_epoch(inputs, params, execution):
        def listen(progress):
            epochs.append(progress.milestone)
            if sum(epochs) == 2:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)  # a signal is handled between two instructions

        return train(inputs, params, dataclasses.replace(execution, listener=listen))

    command = ["train", "gs1_ideal", *tiny_options, "--cache", "none", "--out", "run", "--seed", "3"]
    with monkeypatch.context() as patch:
        patch.setattr(training, "run", stop_in_the_second_epoch)
        assert call(*command) == 143
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "ptycho: terminated; finished stages and epochs are kept in run; go on with the same command and --resume"
    )
    assert call(*command) == 2
    assert "holds the epochs of an interrupted run; add --resume" in capsys.readouterr().err
    assert call(*command, "--resume") == 0
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[2] for line in said] == [" epoch 2/2"], "without a terminal, a line an epoch"
    assert len(json.loads((tmp_path / "run" / "history.json").read_text())["epochs"]) == 3


def test_an_interrupt_before_anything_was_written_leaves_nothing(tmp_path, monkeypatch, tiny_options, capsys):
    def stop(*_):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scale, "run", stop)
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    try:
        assert call("run", "gs1_ideal", *tiny_options, "--cache", "none", "--out", "run") == 130
    finally:
        signal.signal(signal.SIGINT, usual)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ptycho: interrupted; nothing was written")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (ZeroDivisionError("two\nlines"), "ZeroDivisionError: two lines; this is a bug of ptycho"),
        (InvariantError("stage scale: it must hold"), "ptycho: stage scale: it must hold; this is a bug"),
    ],
)
def test_a_bug_of_ours_is_not_called_bad_input(raised, words, tmp_path, monkeypatch, tiny_options, capsys):
    def crash(*_):
        raise raised

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scale, "run", crash)
    command = ["run", "gs1_ideal", *tiny_options, "--cache", "none"]
    assert call(*command) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    if not isinstance(raised, InvariantError):
        monkeypatch.setenv("PTYCHO_TRACEBACK", "1")
        with pytest.raises(ZeroDivisionError):
            cli.main(command)


def test_a_broken_invariant_is_found_and_is_a_bug(tmp_path, monkeypatch, tiny_options, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(split, "invariants", lambda _: iter([("it must hold", False)]))
    assert call("run", "gs1_ideal", *tiny_options, "--cache", "none") == 3
    assert "stage split: it must hold; this is a bug" in capsys.readouterr().err


def test_no_memory_is_no_bug(tmp_path, monkeypatch, tiny_options, capsys):
    def crash(*_):
        raise MemoryError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scale, "run", crash)
    assert call("run", "gs1_ideal", *tiny_options, "--cache", "none") == 2
    assert "out of memory; lower --batch-size" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("theano", "KERAS_BACKEND = 'theano': must be one of tensorflow, jax, torch"),
        ("torch", "the Keras backend torch is not installed; set KERAS_BACKEND=tensorflow, or install torch"),
    ],
)
def test_a_missing_backend_is_known_before_any_work(
    backend, words, tmp_path, monkeypatch, tiny_options, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", backend)
    find, there = importlib.util.find_spec, {"torch": None, "jax": None, "tensorflow": True}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: there[name] if name in there else find(name)
    )
    worked = []
    monkeypatch.setattr(scan, "run", lambda *_: worked.append(1))
    assert call("run", "gs1_ideal", *tiny_options, "--cache", "none") == 2
    assert words in capsys.readouterr().err
    assert not worked


def test_paths_are_printed_as_they_are(tmp_path, monkeypatch, tiny_options, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("run", "gs1_ideal", *tiny_options, "--until", "split", "--out", "[red]x") == 0
    assert "[red]x/report.html" in capsys.readouterr().out
    assert call("simulate", "gs1_ideal", *tiny_options, "--out", "[b]scan[/b].npz") == 0
    assert "wrote [b]scan[/b].npz" in capsys.readouterr().out
    assert call("infer", "no[i].npz", "--data", "[b]scan[/b].npz", "--out", "r.npz") == 2
    assert "no[i].npz: no such file" in capsys.readouterr().err


def test_a_scan_is_not_written_over_by_its_reconstruction(tmp_path, monkeypatch, finished, tiny_options):
    monkeypatch.chdir(tmp_path)
    assert call("simulate", "gs1_ideal", "--out", "scan.npz", *tiny_options) == 0
    before = (tmp_path / "scan.npz").read_bytes()
    bundle = str(finished.folder / "bundle.npz")
    assert call("infer", bundle, "--data", "scan.npz", "--out", "scan.npz") == 2
    assert (tmp_path / "scan.npz").read_bytes() == before


def test_a_frameworks_start_up_is_not_shown(tmp_path):
    """What native code writes to the file descriptor, past Python's streams, once stood in every terminal."""
    (tmp_path / "tensorflow.py").write_text("import os\nos.write(2, b'I0000 oneDNN custom operations')\n")
    code = (
        "from ptycho.commands import terminal\n"
        "with terminal.prepared():\n"
        "    import tensorflow\n"
        "import sys; sys.stderr.write('heard'); assert tensorflow.__file__\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"heard")


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "ptycho", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ptycho.__version__)
