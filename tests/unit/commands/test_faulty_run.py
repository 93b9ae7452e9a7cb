"""`ptycho run --fault ID`: anyone can see what a known bug does, and nobody takes it for a result."""

import json

import pytest
from command import call

from ptycho.artifacts.stage import Execution
from ptycho.artifacts.store import Store
from ptycho.stages import pipeline

FAULT = "NEW-SPLIT-ALIGN:positions-unsliced"


@pytest.fixture
def command(tmp_path, tiny_options):
    """Run as far as the groups; the cache is a folder of the test's own."""

    def run(out, *options):
        where = ["--out", str(tmp_path / out), "--cache", str(tmp_path / "cache")]
        return call("run", "gs1_ideal", "--until", "group_test", *where, *tiny_options, *options)

    return run


def described(folder):
    return json.loads((folder / "run_metadata.json").read_text())


def digests(folder):
    return {name: record["digest"] for name, record in described(folder)["stages"].items()}


def test_the_fault_acts_and_everything_says_so(command, tmp_path, capsys):
    assert command("sound") == 0
    assert command("faulty", "--fault", FAULT) == 0
    assert f"made with the fault {FAULT} put into the program: not a result" in " ".join(
        capsys.readouterr().out.split()
    )
    assert described(tmp_path / "sound")["fault"] == ""
    assert described(tmp_path / "faulty")["fault"] == FAULT
    banner = f'<p class="fault">Made with the fault {FAULT} put into the program'
    assert banner in (tmp_path / "faulty" / "report.html").read_text()
    assert 'class="fault"' not in (tmp_path / "sound" / "report.html").read_text()
    sound, faulty = digests(tmp_path / "sound"), digests(tmp_path / "faulty")
    assert sound["scan"] == faulty["scan"]
    assert sound["group_test"] != faulty["group_test"]


def test_the_finding_is_enough_where_it_has_one_fault(command, tmp_path):
    assert command("faulty", "--fault", "NEW-SPLIT-ALIGN") == 0
    assert described(tmp_path / "faulty")["fault"] == FAULT


def test_it_takes_nothing_from_the_cache_and_leaves_nothing_there(command, tmp_path):
    assert command("first", "--fault", FAULT) == 0
    assert Store(tmp_path / "cache").info() == {}
    assert command("sound") == 0
    before = digests(tmp_path / "sound")
    assert command("second", "--fault", FAULT) == 0
    how = {record["how"] for record in described(tmp_path / "second")["stages"].values()}
    assert how == {"computed"}
    assert command("again") == 0
    assert digests(tmp_path / "again") == before


def test_the_table_itself_keeps_what_a_faulty_program_made_out_of_the_cache(tiny_config, tmp_path):
    store = Store(tmp_path / "cache")
    result = pipeline.run_pipeline(tiny_config(), Execution(cache=store, fault="A:b"), until="scan")
    assert (result.fault, store.info()) == ("A:b", {})


def test_a_fault_that_the_run_never_comes_by_is_told(command, capsys):
    assert command("faulty", "--fault", "NEW-TRIM-ZERO:minus-zero") == 0
    assert "never called ptycho.physics.coords:centre_crop, so that it shows nothing" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("NEW-SPLIT-ALIN", "no fault 'NEW-SPLIT-ALIN'; did you mean NEW-SPLIT-ALIGN:positions-unsliced?"),
        ("PTY-AT-001", "has several faults: PTY-AT-001:no-unitary-factor, PTY-AT-001:no-shift"),
    ],
)
def test_what_is_unknown_or_not_clear_is_refused(fault, words, command, tmp_path, capsys):
    assert command("faulty", "--fault", fault) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "faulty").exists()


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (["--fault", FAULT], ["--resume"], f"holds a run with the fault {FAULT}"),
        ([], ["--resume", "--fault", FAULT], "holds a run without a fault"),
    ],
)
def test_runs_with_and_without_it_are_not_mixed(first, second, words, command, capsys):
    assert command("run", *first) == 0
    assert command("run", *second) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_all_faults_are_listed_with_what_they_do(capsys):
    assert call("findings", "faults") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Crop with x[c:-c]." in said
    assert "REASSEMBLY-BATCH-001" in said
