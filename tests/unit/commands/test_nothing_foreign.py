"""However a command is called and whatever it is given, it ends with a code and a line of ours."""

import json
import os
import pwd
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import disk
import hostile
import numpy as np
import oracles
import pytest
from command import call

import ptycho.commands
from ptycho import __main__
from ptycho.artifacts.stage import Table
from ptycho.commands import terminal
from ptycho.diagnose.case import Case
from ptycho.runs import directory
from ptycho.scan.formats import npz
from ptycho.testing.golden import files

ESCAPES = "\x1b[2J\x1b[HPASS \x07\x9b31m"


@pytest.fixture(autouse=True)
def at_desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(capsys, *command):
    """What is said where a command is refused: one line."""
    assert call(*command) == 2
    words = capsys.readouterr().err.splitlines()
    assert len(words) == 1, words
    return words[0]


@pytest.mark.finding("FOREIGN-DOCUMENT-001")
@pytest.mark.parametrize(
    "record",
    [
        "null",
        "5",
        "[]",
        '{"stages": [], "config": {}}',
        '{"stages": {"scan": null}, "config": {}}',
        '{"stages": {"scan": {"digest": 5, "how": "x", "telemetry": {}}}, "config": {}}',
        '{"stages": {}, "config": {}, "request": 7}',
        '{"stages": {}, "config": {"name": "\\ud800"}}',
        "[" * 50_000,
    ],
)
@pytest.mark.parametrize(
    "command",
    [("diagnose", "params", "run"), ("run", "gs1_ideal", "--swap", "split=run")],
    ids=["diagnose", "swap"],
)
def test_a_record_that_is_none(record, command, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / directory.METADATA).write_text(record)
    assert "run" in refused(capsys, *command, "--cache", "none")


@pytest.mark.parametrize("name", ["record", "bundle", "replay", "cache entry"])
def test_a_pipe_in_the_place_of_a_file_does_not_hang(name, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run" / directory.METADATA)
    os.mkfifo(tmp_path / "pipe")
    commands = {
        "record": ("diagnose", "params", "run"),
        "bundle": ("infer", "pipe", "--data", "pipe", "--out", "object.npz"),
        "replay": ("replay", "pipe"),
        "cache entry": ("replay", "/dev/zero"),
    }
    assert "it is a pipe or a device" in refused(capsys, *commands[name])


@pytest.mark.parametrize("damage", ["bomb", "lzma", "no member", "text", "nested"])
def test_a_failure_to_replay_that_is_damaged(damage, tmp_path, capsys):
    path = tmp_path / "failure.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA if damage == "lzma" else zipfile.ZIP_DEFLATED) as bundle:
        if damage == "bomb":
            with bundle.open("obtained.npz", "w") as member:
                for _ in range(1100):
                    member.write(bytes(2**20))
        if damage != "no member":
            bundle.writestr("about.json", "[" * 10_000 if damage == "nested" else os.urandom(50) * 100)
    if damage == "lzma":
        whole = bytearray(path.read_bytes())
        whole[60:90] = bytes(30)
        path.write_bytes(whole)
    assert "failure.zip" in refused(capsys, "replay", "failure.zip")


@pytest.mark.finding("FOREIGN-ARRAYS-001")
@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }",
        "{'descr': ('<f4',), 'fortran_order': False, 'shape': (3,), }",
        "{'descr': [('a',)], 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '<f4', 'fortran_order': 1, 'shape': (3,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1e999,), }",
        "{'descr': 5, 'fortran_order': False, 'shape': (3,), }",
        "{1: 2}",
        "[" * 5000,
        "{'descr': '<f4', 'fortran_order': False, 'shape': (True, None), }",
    ],
)
def test_an_array_with_a_header_that_nobody_wrote(header, tmp_path, capsys):
    text = header.encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(12)
    npz.write_npz(tmp_path / "scan.npz", oracles.make_scan(count=8, N=32, seed=1))
    with zipfile.ZipFile(tmp_path / "scan.npz") as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(tmp_path / "scan.npz", "w") as changed:
        for name, value in {**members, "xcoords.npy": content}.items():
            changed.writestr(name, value)
    assert "scan.npz" in refused(capsys, "run", "--data", "scan.npz", "--cache", "none")


@pytest.mark.finding("FOREIGN-ARRAYS-001")
def test_a_member_that_is_no_array(tmp_path, capsys):
    np.savez(tmp_path / "arrays.npz", values=np.arange(5.0))
    with zipfile.ZipFile(tmp_path / "arrays.npz", "a") as archive:
        archive.writestr("bad_pixels.npy", b"a note")
    npz.write_npz(tmp_path / "scan.npz", oracles.make_scan(count=8, N=32, seed=1))
    words = refused(capsys, "run", "--data", "scan.npz", "--mask", "arrays.npz", "--cache", "none")
    assert "bad_pixels is no array" in words
    with pytest.raises(ValueError, match="bad_pixels is no array"):
        files.arrays_in((tmp_path / "arrays.npz").read_bytes())


@pytest.mark.finding("UNUSABLE-PATH-001")
@pytest.mark.parametrize(
    "command",
    [
        ("diagnose", "params", "9" * 400),
        ("diagnose", "params", f"{'a' * 300}/run"),
        ("diagnose", "compare", "gs1_ideal", "x" * 300),
    ],
    ids=["name", "folder", "second"],
)
def test_a_path_that_no_system_takes_is_told(command, capsys):
    words = refused(capsys, *command)
    assert "File name too long; check the path" in words


@pytest.mark.finding("FOREIGN-ARRAYS-001")
@pytest.mark.parametrize(
    "change",
    [
        {"positions": np.zeros((8, 3))},
        {"probe": np.ones((1, 32, 31), np.complex64)},
        {"probe": np.full((1, 32, 32), np.nan, np.complex64)},
        {"positions": np.full((8, 2), np.inf)},
        {"origin_xy": np.array([10**18, 0])},
        {"_reconstruction": np.array('{"made_from": {"rows": "x"}, "kept_fraction": 1, "n_patches": 8}')},
        {"_reconstruction": np.array('{"made_from": {"rows": 5}, "kept_fraction": 1, "n_patches": 8}')},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_solution_that_is_none(change, tmp_path, capsys):
    npz.write_npz(tmp_path / "scan.npz", oracles.make_scan(count=8, N=32, seed=1))
    arrays = {
        "object": np.ones((40, 40), np.complex64),
        "coverage": np.ones((40, 40), np.float32),
        "origin_xy": np.array([0, 0]),
        "_reconstruction": np.array('{"made_from": {}, "kept_fraction": 1, "n_patches": 8}'),
        "probe": np.ones((1, 32, 32), np.complex64),
        "positions": np.zeros((8, 2)),
        "errors": np.ones(2),
    }
    np.savez(tmp_path / "solution.npz", **{**arrays, **change})
    words = refused(capsys, "run", "--data", "scan.npz", "--probe-from", "solution.npz", "--cache", "none")
    assert "solution.npz" in words


def test_a_word_with_half_a_letter_is_named(capsys):
    assert "holds half a letter" in refused(capsys, "diagnose", "params", "gs1_ideal", "--out", "\ud800")


@pytest.mark.finding("EMPTY-WORD-001")
@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("run", "gs1_ideal", "--until", ""), "--until"),
        (("run", "gs1_ideal", "--out", ""), "--out"),
        (("run", "gs1_ideal", "--until="), "--until"),
        (("run", "--data", ""), "--data"),
        (("run", ""), "run"),
    ],
)
def test_an_unset_variable_is_named(words, name, tmp_path, capsys):
    assert f"{name}: is empty; is a variable of the shell not set?" in refused(capsys, *words)
    assert os.listdir(tmp_path) == []


class TestTheTerminal:
    @pytest.mark.finding("TERMINAL-ESCAPES-001")
    def test_what_steers_it_is_shown_and_not_sent(self, capsys):
        terminal.say(ESCAPES)
        terminal.complain(ESCAPES)
        terminal.grid((ESCAPES, "b"), [(ESCAPES, "c")])
        terminal.table(Table("t", (ESCAPES, "b"), ((ESCAPES, 1.0),), headline=True))
        with terminal.Bars() as listen:
            from ptycho.base.progress import Progress

            listen(Progress("train", 1, 2, ESCAPES, milestone=True))
        both = capsys.readouterr()
        assert "\\x1b[2J" in both.out
        for text in (both.out, both.err):
            assert not {letter for letter in text if not letter.isprintable()} - {"\n"}

    @pytest.mark.finding("TERMINAL-ESCAPES-001")
    def test_nor_is_it_from_a_name_of_a_file(self, tmp_path, capsys):
        assert call("run", "--data", f"{ESCAPES}.npz", "--cache", "none") == 2
        assert "\x1b" not in capsys.readouterr().err

    @pytest.mark.finding("NARROW-TERMINAL-001")
    @pytest.mark.parametrize("command", ["evaluate", "case-study", "diagnose"])
    def test_one_of_one_column_gets_its_help(self, command, monkeypatch, capsys):
        monkeypatch.setenv("COLUMNS", "1")
        # The help itself would not end otherwise.
        assert (terminal.out().width, terminal.complaints().width) == (20, 20)
        assert call(command, "--help") == 0
        assert "Usage" in capsys.readouterr().out

    @pytest.mark.parametrize("name", ["[bold]a", "[/red]", "a:smile:b", "$a$", "$x", "a_{b}^c"])
    def test_a_name_that_looks_like_markup_is_shown_as_it_is(self, name, capsys):
        terminal.say(name)
        terminal.complain(name)
        terminal.grid((name, "b"), [(name, "c")])
        terminal.table(Table("t", (name, "b"), ((name, 1.0),), headline=True))
        both = capsys.readouterr()
        assert both.out.count(name) == 5
        assert both.err.count(name) == 1

    def test_dollars_are_no_mathematics_in_a_picture(self, tiny_config):
        assert Case("a$b$", tiny_config(), {}).label == r"a\$b\$"

    @pytest.mark.finding("OUTPUT-LOST-001")
    def test_a_full_disk_under_the_output_is_told_once_and_costs_nothing(self, monkeypatch, capsys):
        with open("/dev/full", "w", buffering=1) as full:
            monkeypatch.setattr(sys, "stdout", full)
            assert call("scenarios") == 0
        assert "No space left on device; the work goes on" in capsys.readouterr().err

    @pytest.mark.parametrize("name", ["stdout", "stderr"])
    def test_where_nothing_can_be_written_the_work_goes_on(self, name, tmp_path):
        """A full disk under either output: the run is finished, and its exit code is its own."""
        options = ["--set", "simulation.base_total_images=64", "--until", "split", "--cache", "none"]
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "ptycho", "run", "gs1_ideal", *options, "--out", "run"],
                **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, name: full},
                text=True,
                check=False,
            )
        assert done.returncode == 0
        assert json.loads((tmp_path / "run" / directory.METADATA).read_text())["finished"]

    def test_closed_outputs_change_nothing(self, tmp_path):
        command = f"{sys.executable} -m ptycho scenarios >&- 2>&-"
        assert subprocess.run(["sh", "-c", command], check=False).returncode == 0


@pytest.mark.parametrize("after", [0.05, 0.5])
def test_an_interruption_is_quiet_from_the_start_and_twice(after, tmp_path):
    """From the first module that the command imports on: what comes before it is Python's own start."""
    words = ["-X", "importtime", "-m", "ptycho", "run", "gs1_ideal", "--out", "run", "--cache", "none"]
    with subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while process.stderr.readline().rpartition("|")[2].strip() != "ptycho.commands":
            pass
        time.sleep(after)
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        told = process.communicate()[1]
    assert process.returncode == 130
    assert "Traceback" not in told
    assert told.splitlines()[-1].startswith("ptycho: interrupted")


@pytest.mark.finding("EARLY-INTERRUPT-001")
def test_one_while_the_command_is_being_loaded_is_told_in_a_line(monkeypatch, capsys):
    class Ended(Exception):
        pass

    def end(code):
        raise Ended(code)

    class Interrupted:
        """The first module that the command needs, while it is read."""

        @staticmethod
        def find_spec(name, *_):
            if name == "ptycho.commands.cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "ptycho.commands.cli")
    monkeypatch.delattr(ptycho.commands, "cli")
    monkeypatch.setattr(sys, "meta_path", [Interrupted, *sys.meta_path])
    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    # Where the interruption itself comes through, Python's own traceback follows.
    with pytest.raises((Ended, KeyboardInterrupt)) as stop:
        __main__.main()
    assert stop.value.args == (130,)
    assert capsys.readouterr().err == "ptycho: interrupted\n"


def test_one_within_a_text_that_is_executed_ends_with_130_too():
    """Python remembers it, and would end itself by a signal: modules and dataclasses are such texts."""
    script = (
        "import sys\n"
        "from ptycho import __main__\n"
        "from ptycho.commands import cli\n"
        "def stopped():\n"
        "    try:\n"
        "        exec('raise KeyboardInterrupt')\n"
        "    except KeyboardInterrupt:\n"
        "        sys.exit(130)\n"
        "cli.main = stopped\n"
        "__main__.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_a_folder_that_is_gone_is_named(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"cd {gone} && rmdir {gone} && {sys.executable} -m ptycho scenarios"
    environment = {**os.environ, "PYTHONPATH": str(Path(ptycho.__file__).parents[1])}
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert "the folder that you are in cannot be used" in done.stderr


@pytest.mark.finding("NO-HOME-001")
def test_a_user_without_a_home_is_served_without_a_cache(monkeypatch, capsys):
    """As in a container that is run by a number that nobody has given a name."""
    for name in ("HOME", "XDG_CACHE_HOME", "PTYCHO_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)

    def nobody(number):
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    options = ["--set", "simulation.base_total_images=64", "--until", "split"]
    assert call("run", "gs1_ideal", *options, "--out", "run") == 0
    assert "you have no home folder" in capsys.readouterr().err
    assert call("cache", "info") == 2
    assert "name one by --cache" in capsys.readouterr().err


@pytest.mark.finding("OPTION-FOR-ANOTHER-PROGRAM-001")
def test_an_option_is_not_handed_on_to_another_program(tmp_path, capsys):
    subprocess.run(["git", "init", "-q"], check=True)
    before = sorted(os.listdir(tmp_path))
    assert call("golden", "diff", "--against=--output=stolen") == 2
    assert sorted(os.listdir(tmp_path)) == before


class TestTheFuzzTier:
    """Whether the oracle of `pytest -m fuzz` notices what it is there for."""

    def outcome(self, **what):
        usual = {"code": 0, "seconds": 1.0, "megabytes": 1.0, "words": "", "errors": ""}
        return hostile.broken(hostile.Ending(**{**usual, **what}))

    @pytest.mark.parametrize(
        ("what", "says"),
        [
            ({"code": 3}, "exit code 3"),
            ({"code": -11}, "exit code -11"),
            ({"words": "Traceback (most recent call last):"}, "a traceback, or a bug"),
            ({"words": "\x1b[2J"}, "sent to the terminal"),
            ({"errors": "Killed"}, "a line that is not ours"),
            ({"code": 2}, "refused without a word"),
        ],
    )
    def test_an_ending_that_is_not_ours_is_noticed(self, what, says):
        assert [says in line for line in self.outcome(**what)] == [True]

    def test_one_that_is_ours_is_not(self):
        assert self.outcome(code=2, errors="ptycho: no such file\n", words="ptycho: no such file\n") == []

    @pytest.mark.parametrize(
        ("words", "after", "says"),
        [
            (["run", "--out", "out"], {"a": "1"}, "b was taken away"),
            (["run", "--out", "out"], {"a": "1", "b": "3"}, "b was changed"),
            (["run", "--out", "b"], {"a": "1", "b": "3"}, "b was changed"),
            (["run"], {"a": "1", "b": "2", "out/.x.npz.0123abcd": "4"}, "left half-written"),
        ],
    )
    def test_a_file_that_is_lost_is_noticed(self, words, after, says):
        assert [
            says in line for line in hostile.lost(hostile.Case(0, words), {"a": "1", "b": "2"}, after)
        ] == [True]

    def test_one_that_may_be_replaced_is_not(self):
        case = hostile.Case(0, ["simulate", "--out", "b", "--overwrite"])
        assert hostile.lost(case, {"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}) == []

    def test_a_case_is_the_same_wherever_it_is_drawn(self):
        assert [hostile.case_of(number) for number in range(50)] == [hostile.case_of(n) for n in range(50)]
        assert len({tuple(hostile.case_of(number).words) for number in range(200)}) > 100

    @pytest.mark.parametrize(
        ("obtained", "says"),
        [
            ({"a.npz": {"x": np.arange(3)}}, "b.json is missing"),
            ({"a.npz": {"x": np.arange(3)}, "b.json": None, "c": None}, "c is too much"),
            ({"a.npz": {"x": np.array([0, 1, 3])}, "b.json": None}, "a.npz: x differs"),
            ({"a.npz": {"y": np.arange(3)}, "b.json": None}, "a.npz holds ['y'] and not ['x']"),
        ],
    )
    def test_another_result_after_a_disturbance_is_noticed(self, obtained, says):
        expected = {"a.npz": {"x": np.arange(3)}, "b.json": None}
        assert disk.differences(expected, obtained) == [says]
        assert disk.differences(expected, expected) == []
