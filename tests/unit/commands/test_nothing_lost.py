"""Files of other people: no command replaces, deletes or half-writes one that it was not told to."""

import json
import os
import shutil
import stat

import numpy as np
import oracles
import pytest
from command import call, contents

from ptycho.artifacts.stage import Execution
from ptycho.artifacts.store import MARK
from ptycho.base import atomic, layout
from ptycho.base.errors import RunDirectoryError
from ptycho.runs import claim, directory
from ptycho.scan.formats import npz
from ptycho.settings import scenarios


@pytest.fixture(autouse=True)
def at_desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(capsys, *command):
    """What is said where a command is refused."""
    assert call(*command) == 2
    words = capsys.readouterr().err.splitlines()
    return words[-1]


@pytest.mark.finding("OUT-OVER-INPUT-001")
class TestFilesThatAreRead:
    @pytest.mark.parametrize("more", [(), ("--overwrite",)], ids=["plain", "overwrite"])
    def test_a_scenario_is_not_simulated_over_itself(self, more, tmp_path, capsys):
        scenario = tmp_path / "mine.toml"
        scenario.write_text("N = 32\nsimulation.object_size_px = 96\nsimulation.base_total_images = 8\n")
        before = contents(tmp_path)
        words = refused(capsys, "simulate", "mine.toml", "--out", "mine.toml", "--cache", "none", *more)
        assert "is the file that is read" in words
        assert contents(tmp_path) == before

    def test_nor_over_the_probe_that_it_names(self, tmp_path, capsys):
        probe = oracles.make_scan(count=4, N=32, seed=1).probe
        np.savez(tmp_path / "probe.npz", probeGuess=probe)
        before = contents(tmp_path)
        sets = (
            "--set",
            "N=32",
            "--set",
            "probe.kind=custom",
            "--set",
            f"probe.file={tmp_path / 'probe.npz'}",
        )
        command = ("simulate", "gs1_custom", *sets, "--out", "./probe.npz", "--overwrite", "--cache", "none")
        assert "is the file that is read" in refused(capsys, *command)
        assert contents(tmp_path) == before

    def test_an_object_is_not_inferred_over_the_solution_that_it_takes(self, tmp_path, capsys):
        for name in ("bundle.npz", "scan.npz", "solution.npz"):
            (tmp_path / name).write_bytes(name.encode())
        before = contents(tmp_path)
        for name in ("bundle.npz", "scan.npz", "solution.npz"):
            command = ("infer", "bundle.npz", "--data", "scan.npz", "--probe-from", "solution.npz")
            assert "is the file that is read" in refused(capsys, *command, "--out", name, "--overwrite")
        assert contents(tmp_path) == before

    def test_a_failure_is_not_replayed_over_its_only_record(self, tmp_path, capsys):
        (tmp_path / "failure.zip").write_bytes(b"all that is left")
        words = refused(capsys, "replay", "failure.zip", "--out", "failure.zip", "--overwrite")
        assert "is the file that is read" in words
        assert (tmp_path / "failure.zip").read_bytes() == b"all that is left"

    @pytest.mark.parametrize(
        "command",
        [
            ("simulate", "gs1_ideal", "--cache", "none"),
            ("infer", "bundle.npz", "--data", "scan.npz"),
            ("golden", "review"),
            ("replay", "bundle.npz"),
        ],
        ids=lambda command: command[0],
    )
    def test_what_is_there_is_replaced_only_where_that_is_said(self, command, tmp_path, capsys):
        for name in ("bundle.npz", "scan.npz", "theirs"):
            (tmp_path / name).write_bytes(name.encode())
        before = contents(tmp_path)
        assert "add --overwrite" in refused(capsys, *command, "--out", "theirs")
        assert contents(tmp_path) == before


@pytest.mark.finding("PAGES-OVER-OTHERS-001")
class TestFoldersOfOthers:
    def test_a_diagnosis_is_not_written_into_a_run(self, finished, tmp_path, capsys):
        run = tmp_path / "run"
        shutil.copytree(finished.folder, run)
        before = contents(run)
        for more in ((), ("--overwrite",)):
            assert "holds something else" in refused(
                capsys, "diagnose", "history", "run", "--out", "run", *more
            )
        assert contents(run) == before

    def test_a_diagnosis_is_replaced_where_that_is_said(self, tmp_path, capsys):
        command = ("diagnose", "params", "gs1_ideal", "gs2_ideal", "--out", "said", "--cache", "none")
        assert call(*command) == 0
        assert "holds a diagnosis; add --overwrite" in refused(capsys, *command)
        assert call(*command, "--overwrite") == 0

    @pytest.mark.parametrize("place", ["file", "file/below", "/proc/none/of/mine", "n" * 300, "/dev/null"])
    def test_what_can_be_no_folder_is_named_before_anything_is_asked(self, place, tmp_path, capsys):
        (tmp_path / "file").write_text("mine")
        words = refused(capsys, "diagnose", "params", "gs1_ideal", "--out", place, "--cache", "none")
        assert place[:20] in words
        assert (tmp_path / "file").read_text() == "mine"

    def test_pages_of_findings_leave_other_pages_alone(self, tmp_path, capsys):
        notes = tmp_path / "notes"
        notes.mkdir()
        (notes / "my-notes.md").write_text("mine")
        assert call("findings", "pages", "notes") == 0
        assert call("findings", "pages", "notes") == 0
        assert (notes / "my-notes.md").is_file()
        assert (notes / "my-notes.md").read_text() == "mine"
        # A page of ours whose finding has gone goes with it.
        index = (notes / "README.md").read_text()
        (notes / "OLD-001.md").write_text("# OLD-001")
        (notes / "README.md").write_text(index + "| scan | [OLD-001](OLD-001.md) old | x | 1 |\n")
        assert call("findings", "pages", "notes") == 0
        assert not (notes / "OLD-001.md").exists()

    def test_nor_do_they_take_the_place_of_a_readme(self, tmp_path, capsys):
        (tmp_path / "README.md").write_text("# My project")
        before = contents(tmp_path)
        assert "is no index of findings" in refused(capsys, "findings", "pages", ".")
        assert contents(tmp_path) == before


@pytest.mark.finding("CACHE-UNMARKED-001")
class TestACache:
    @pytest.fixture
    def theirs(self, tmp_path):
        """A folder of somebody who likes the names that a cache has."""
        folder = tmp_path / "theirs"
        for name in ("entries/scan-1/data.txt", "staging/thesis.tex", "locks/key.lock", "notes.txt"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
        return folder

    @pytest.mark.parametrize("what", ["info", "clear"])
    def test_a_folder_without_the_mark_is_none(self, what, theirs, capsys):
        before = contents(theirs)
        assert "is no cache of ptycho" in refused(capsys, "cache", what, "--cache", str(theirs))
        assert contents(theirs) == before

    def test_a_run_goes_on_without_it_and_touches_nothing(self, theirs, capsys):
        before = contents(theirs)
        command = ("run", "gs1_ideal", "--set", "simulation.base_total_images=64", "--until", "split")
        assert call(*command, "--out", "run", "--cache", str(theirs)) == 0
        assert "cannot be used" in capsys.readouterr().err
        assert contents(theirs) == before

    def test_ours_is_marked_and_cleared(self, tmp_path, capsys):
        command = ("run", "gs1_ideal", "--set", "simulation.base_total_images=64", "--until", "split")
        assert call(*command, "--out", "run", "--cache", "cache") == 0
        assert (
            (tmp_path / "cache" / MARK).read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")
        )
        assert call("cache", "clear", "--cache", "cache") == 0
        assert "4 artifacts thrown away" in capsys.readouterr().out
        assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == [MARK]


@pytest.mark.finding("NAME-LEADS-OUTSIDE-001")
@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "..", "a/../../b", ".", "", "a\x1b[2Jb"])
def test_a_name_that_leads_out_of_the_runs_folder_is_refused(name, tmp_path, capsys):
    (tmp_path / "s.toml").write_text(f"name = {json.dumps(name)}\n")
    assert "name = " in refused(capsys, "run", "s.toml", "--until", "scan", "--cache", "none")
    assert os.listdir(tmp_path) == ["s.toml"]


def test_a_file_with_letters_that_cannot_be_shown_gives_its_run_a_name_that_can(tmp_path):
    path = tmp_path / "a\x1b[2Jb.npz"
    npz.write_npz(path, oracles.make_scan(count=40, N=32, seed=1))
    assert call("run", "--data", path.name, "--until", "split", "--cache", "none") == 0
    assert os.listdir(tmp_path / "runs") == ["a_[2Jb"]


class TestARunDirectory:
    @pytest.mark.finding("RECORD-SHRINKS-001")
    @pytest.mark.parametrize("until", ["split", "train"])
    def test_a_finished_run_that_is_gone_on_with_to_an_earlier_stage_keeps_its_record(
        self, until, finished, tmp_path
    ):
        run = tmp_path / "run"
        shutil.copytree(finished.folder, run)
        before = contents(run)
        execution = Execution(cache=finished.store, resume=True)
        directory.execute(finished.config, run, execution, until=until)
        assert contents(run) == before

    @pytest.mark.finding("RECORD-SHRINKS-001")
    def test_one_with_other_stages_gets_the_new_ones_beside_the_old(self, finished, tmp_path):
        run = tmp_path / "run"
        execution = Execution(cache=finished.store, resume=True)
        directory.execute(finished.config, run, execution, also=("physics",))
        directory.execute(finished.config, run, execution)
        stages = set(directory.read_metadata(run)["stages"])
        assert {"physics", *finished.result.records} <= stages

    @pytest.mark.finding("FIRST-WRITE-001")
    def test_where_the_first_writes_fail_it_can_be_gone_on_with(self, finished, tmp_path, monkeypatch):
        run = tmp_path / "run"
        export = directory.export_artifact

        def full(folder, name, *rest):
            if name == "split":
                export(folder, name, *rest)
                raise RunDirectoryError("no space left on device")
            return export(folder, name, *rest)

        monkeypatch.setattr(directory, "export_artifact", full)
        with pytest.raises(RunDirectoryError, match="no space"):
            directory.execute(finished.config, run, Execution(cache=finished.store))
        monkeypatch.setattr(directory, "export_artifact", export)
        with pytest.raises(RunDirectoryError, match="add --resume"):
            directory.execute(finished.config, run, Execution(cache=finished.store))
        directory.execute(finished.config, run, Execution(cache=finished.store, resume=True))
        assert directory.read_metadata(run)["finished"]

    @pytest.mark.parametrize("becomes", ["gone", "file"])
    def test_one_that_vanishes_during_the_run_ends_it_in_words_of_ours(self, becomes, finished, tmp_path):
        run = tmp_path / "run"
        result = finished.result
        run.mkdir()
        shutil.rmtree(run)
        if becomes == "file":
            run.write_text("mine")
        with pytest.raises(RunDirectoryError, match="cannot write the split into"):
            directory.export_artifact(run, "split", result, {})

    @pytest.mark.finding("KILLED-WRITER-001")
    def test_what_a_killed_writer_left_is_swept_away_and_nothing_else(self, tmp_path):
        run = tmp_path / "run"
        (run / f"{claim.EXPORT}abc").mkdir(parents=True)
        (run / f"{claim.EXPORT}abc" / "half").write_text("half")
        (run / f".{layout.CHECKPOINT}.0123abcd").write_text("half")
        kept = [run / ".notes", run / ".mine.npz.0123abcd", run / f".{layout.CHECKPOINT}"]
        for path in kept:
            path.write_text("mine")
        config = scenarios.load_scenario("gs1_ideal", None, ["simulation.base_total_images=64"])
        directory.execute(config, run, Execution(), until="split")
        hidden = sorted(path for path in run.iterdir() if path.name.startswith("."))
        assert hidden == sorted(kept)

    @pytest.mark.finding("KILLED-WRITER-001")
    def test_so_is_that_of_a_file_and_one_that_is_being_written_is_not(self, tmp_path):
        (tmp_path / ".out.npz.0123abcd").write_text("half")
        kept = [tmp_path / ".out.npz", tmp_path / ".notes.0123abcd", tmp_path / ".out.npz.0123abcd9"]
        for path in kept:
            path.write_text("mine")
        with atomic.replacing(tmp_path / "out.npz"):
            (going,) = set(tmp_path.iterdir()) - {*kept, tmp_path / ".out.npz.0123abcd"}
            assert not (tmp_path / ".out.npz.0123abcd").exists()
            atomic.write_text(tmp_path / "out.npz", "whole")
            assert sorted(tmp_path.iterdir()) == sorted([*kept, going, tmp_path / "out.npz"])

    @pytest.mark.parametrize("kind", ["folder", "link"])
    def test_a_lock_that_is_none_is_named(self, kind, tmp_path):
        run = tmp_path / "run"
        run.mkdir()
        (tmp_path / "elsewhere").write_text("mine")
        if kind == "folder":
            (run / layout.LOCK).mkdir()
        else:
            (run / layout.LOCK).symlink_to(tmp_path / "elsewhere")
        config = scenarios.load_scenario("gs1_ideal", None, ["simulation.base_total_images=64"])
        with pytest.raises(RunDirectoryError, match=r"its \.lock "):
            directory.execute(config, run, Execution(), until="split")
        assert (tmp_path / "elsewhere").read_text() == "mine"


@pytest.mark.finding("FIRST-WRITE-001")
def test_a_diagnosis_that_ends_halfway_can_be_replaced(tmp_path, monkeypatch, capsys):
    npz.write_npz(tmp_path / "scan.npz", oracles.make_scan(count=8, N=32, seed=1))
    command = ("diagnose", "probe", "scan.npz", "--out", "out", "--cache", "none")
    usual = atomic.write_text

    def full(path, text):
        if path.suffix == ".md":
            raise RunDirectoryError("no space left on device")
        usual(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write_text", full)
        assert call(*command) == 2
    left = os.listdir(tmp_path / "out")
    capsys.readouterr()
    assert (call(*command, "--overwrite"), capsys.readouterr().err) == (0, "")
    assert set(left) < set(os.listdir(tmp_path / "out"))


@pytest.mark.finding("UMASK-001")
def test_files_have_the_rights_that_the_user_leaves_them(tmp_path):
    usual = os.umask(0o077)
    try:
        atomic.write_text(tmp_path / "secret.txt", "x")
    finally:
        os.umask(usual)
    assert stat.S_IMODE((tmp_path / "secret.txt").stat().st_mode) == 0o600
