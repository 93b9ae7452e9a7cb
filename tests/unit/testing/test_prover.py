"""The prover, on a small project that has everything that could fool it."""

import inspect
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import oracles
import pytest
from command import without_xdist

from ptycho.base.errors import FaultError
from ptycho.findings import faults as registered
from ptycho.findings import ledger
from ptycho.testing import census, prover
from ptycho.testing import fault as faults
from ptycho.testing.fault import Fault

LEDGER = """
[[finding]]
id = "{id}"
title = "about {id}"
stage = "stitch"
tier = "unit"
source = "here"
symptom = "seen"
mechanism = "how"
invariant = "what"
remedy = "do it"
"""
PRODUCT = """
def double(x):
    return 2 * x

def triple(x):
    return 3 * x

class Scale:
    def __init__(self, by):
        self.by = by

    @property
    def inverse(self):
        return 1 / self.by

    @staticmethod
    def of(x):
        return Scale(x)
"""
FAULTS = """
from ptycho.testing.fault import Fault

def raises(error):
    def make(original):
        def broken(*_):
            raise error
        return broken
    return make

FAULTS = (
    Fault("KILLED", "wrong", "product:double", lambda f: lambda x: 2 * x + 1),
    Fault("BLIND", "wrong", "product:double", lambda f: lambda x: 2 * x + 1),
    Fault("UNREACHED", "wrong", "product:triple", lambda f: lambda x: 0),
    Fault("SESSION", "wrong", "product:triple", lambda f: lambda x: 0),
    Fault("PARAMETRISED", "wrong", "product:double", lambda f: lambda x: 2 * x + (x == 3)),
    Fault("ORDER", "wrong", "product:double", lambda f: lambda x: 0),
    Fault("ACCIDENT", "types", "product:double", raises(TypeError("no"))),
    Fault("ACCIDENT", "imports", "product:double", raises(ImportError("no"))),
    Fault("OWN", "wrong", "product:Scale.inverse", lambda f: lambda self: 0),
    Fault("STATIC", "wrong", "product:Scale.of", lambda f: lambda x: f(x + 1)),
    Fault("CRASH", "ends", "product:double", lambda f: lambda x: __import__("os")._exit(7)),
)
"""
TESTS = """
import pytest
import product
from product import double   # taken by name, as tests do

@pytest.fixture(scope="session")
def made_clean():
    return product.triple(2)

@pytest.mark.finding("KILLED")
def test_killed():
    assert double(2) == 4

@pytest.mark.finding("BLIND")
def test_blind():
    assert double(2) > 0

@pytest.mark.finding("UNREACHED")
def test_elsewhere():
    assert double(2) == 4

def test_that_builds_the_fixture_first(made_clean):
    assert made_clean == 6

@pytest.mark.finding("SESSION")
def test_session(made_clean):
    assert made_clean == 6

@pytest.mark.finding("PARAMETRISED")
@pytest.mark.parametrize("x", [1, 2, 3])
def test_parametrised(x):
    assert double(x) == x + x

SEEN = []

def test_first():
    SEEN.append(1)

@pytest.mark.finding("ORDER")
def test_only_after_the_first():
    assert SEEN and double(1) == 2

@pytest.mark.finding("ACCIDENT")
def test_accident():
    assert double(2) == 4

@pytest.mark.finding("OWN")
def test_property():
    assert product.Scale(4).inverse == 0.25

@pytest.mark.finding("STATIC")
def test_static():
    assert product.Scale.of(3).by == 3

@pytest.mark.finding("CRASH")
def test_crash():
    assert double(2) == 4

@pytest.mark.finding("SKIPPED")
@pytest.mark.skip(reason="not here")
def test_skipped():
    assert double(2) == 4
"""
ALL = [
    *("KILLED", "BLIND", "UNREACHED", "SESSION", "PARAMETRISED", "ORDER"),
    *("ACCIDENT", "OWN", "STATIC", "CRASH", "SKIPPED", "NOTEST"),
]


def project(folder, tests=TESTS, findings=ALL, fault_text=FAULTS):
    (folder / "ledger.toml").write_text("".join(LEDGER.format(id=name) for name in findings))
    (folder / "product.py").write_text(PRODUCT)
    (folder / "faulty.py").write_text(fault_text)
    (folder / "test_it.py").write_text(tests)
    (folder / "pytest.ini").write_text(
        "[pytest]\npythonpath = .\nfindings_ledger = ledger.toml\nfindings_faults = faulty\naddopts = -p no:cacheprovider\n"
    )
    return folder


def prove(folder, *options):
    plugin = [] if _registered() else ["-p", "ptycho.testing.plugin"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--prove", "--prove-json", "proof.json", *plugin, *options],
        cwd=folder,
        env=without_xdist(),
        capture_output=True,
        text=True,
        timeout=180,
    )
    file = folder / "proof.json"
    return done.returncode, done.stdout + done.stderr, json.loads(file.read_text()) if file.exists() else None


def _registered():
    """Whether the environment's entry points load the plugin already."""
    from importlib.metadata import entry_points

    return any(point.value == "ptycho.testing.plugin" for point in entry_points(group="pytest11"))


DIES_ONCE = """
import os
import pathlib
from ptycho.testing.fault import Fault

def dies_once(original):
    def broken(x):
        mark = pathlib.Path("died")
        if not mark.exists():
            mark.touch()
            os._exit(7)
        return 2 * x + 1
    return broken

FAULTS = (Fault("KILLED", "wrong", "product:double", dies_once),)
"""


def test_a_process_that_dies_says_nothing_of_the_tests_and_is_started_once_more(tmp_path):
    tests = TESTS[: TESTS.index('@pytest.mark.finding("BLIND")')]
    code, text, proof = prove(project(tmp_path, tests, ["KILLED"], DIES_ONCE))
    assert code == 0
    assert [one["again"] for one in proof["faulty"]] == [True]
    assert "processes that died and were started once more: KILLED:wrong" in text


DIFFERS = """
import random
import product
import pytest

FILES = [{str(n): random.Random(10 * n + k).randbytes(200_000) for n in range(4)} for k in range(2)]


@pytest.mark.finding("KILLED")
def test_nothing_changes():
    assert product.double(1) == 2 or FILES[0] == FILES[1]
"""


def test_a_failure_that_would_take_minutes_to_word_is_proven(tmp_path, monkeypatch):
    monkeypatch.setenv("CI", "true")
    fault = [line for line in FAULTS.splitlines() if '"KILLED"' in line]
    text = FAULTS[: FAULTS.index("FAULTS = (")] + "\n".join(["FAULTS = (", *fault, ")"])
    code, told, proof = prove(project(tmp_path, DIFFERS, ["KILLED"], text), "--prove-limit", "20")
    assert code == 0, told
    assert [one["died"] for one in proof["faulty"]] == [False]


@pytest.mark.finding("WORDY-FAILURE-001")
def test_a_failed_comparison_takes_a_few_lines_in_a_proof(pytester, monkeypatch):
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("BUILD_NUMBER", "1")
    prover.word_briefly()
    pytester.makepyfile("def test_it():\n    assert list(range(500)) == list(range(1, 501))\n")
    done = pytester.runpytest_inprocess("-p", "no:xdist")
    done.assert_outcomes(failed=1)
    assert len(done.outlines) < 60


SLOW = """
import time
import product
import pytest


@pytest.mark.finding("SLOW")
def test_slow():
    product.double(1)
    time.sleep(20)
"""


@pytest.mark.slow
def test_a_limit_of_less_than_a_second_is_one(tmp_path):
    """int(0.5) seconds were no limit."""
    fault = 'from ptycho.testing.fault import Fault\nFAULTS = (Fault("SLOW", "wrong", "product:double", lambda f: f),)\n'
    began = time.monotonic()
    code, text, _ = prove(project(tmp_path, SLOW, ["SLOW"], fault), "--prove-limit", "0.5")
    assert code == 1
    assert "a limit of 0.5 s" in text
    assert time.monotonic() - began < 15


@pytest.fixture(scope="module")
def proof(tmp_path_factory):
    folder = project(tmp_path_factory.mktemp("project"))
    code, text, record = prove(folder)
    assert record is not None, text
    return code, text, record


def complaints(proof, name):
    return [each["says"] for each in proof[2]["complaints"] if each["finding"] == name]


def trial(proof, fault):
    (found,) = [t for t in proof[2]["faulty"] if t["fault"] == fault]
    return found


def test_everything_that_fools_a_prover_is_told_apart(proof):
    code, text, _ = proof
    assert code == 1
    for name in ("KILLED", "SESSION", "PARAMETRISED", "OWN", "STATIC"):
        assert complaints(proof, name) == [], name
    assert complaints(proof, "BLIND") == ["BLIND:wrong: survives"]
    assert "UNREACHED:wrong: is never reached by the finding's tests" in complaints(proof, "UNREACHED")
    assert "UNREACHED: test_it.py::test_elsewhere is reached by none of its faults" in complaints(
        proof, "UNREACHED"
    )
    assert any("does not pass clean: failed" in words for words in complaints(proof, "ORDER"))
    assert [words.split(";")[0] for words in complaints(proof, "ACCIDENT")] == [
        "ACCIDENT:types: survives",
        "ACCIDENT:imports: survives",
    ]
    assert "TypeError" in complaints(proof, "ACCIDENT")[0]
    assert re.search("is never reached.*accidents: the process ended with 7", complaints(proof, "CRASH")[0])
    assert trial(proof, "CRASH:ends")["outcomes"][0]["why"].startswith("the process ended with 7")
    assert complaints(proof, "NOTEST") == ["NOTEST: has no test", "NOTEST: has no fault"]
    assert complaints(proof, "SKIPPED") == ["SKIPPED: has no test", "SKIPPED: has no fault"]
    assert "5 findings proven" in text


def test_a_parametrised_test_is_killed_where_the_fault_shows(proof):
    statuses = {o["test"][-3:]: o["status"] for o in trial(proof, "PARAMETRISED:wrong")["outcomes"]}
    assert statuses == {"[1]": "passed", "[2]": "passed", "[3]": "failed"}


def test_the_record_says_which_source_ran(proof):
    assert Path(proof[2]["provenance"]["package_file"]).name == "__init__.py"
    assert len(proof[2]["provenance"]["source_hash"]) == 64


def test_a_project_that_is_proven_passes_and_a_finding_can_be_chosen(tmp_path):
    code, text, record = prove(project(tmp_path), "--finding", "KILLED", "--finding", "SESSION", "-n", "2")
    assert code == 0, text
    assert record["complaints"] == []
    assert "2 findings proven, 0 complaints" in text
    assert "KILLED:wrong  <-  test_it.py::test_killed" in text


class TestTheGuide:
    """docs/plugin.md: followed to the letter in an empty folder."""

    GUIDE = Path(__file__).resolve().parents[3] / "docs" / "plugin.md"
    PRICES = "import math\n\ndef cents(value):\n    return math.floor(value + 0.5)\n"

    @pytest.fixture
    def folder(self, tmp_path):
        text = self.GUIDE.read_text()
        for name, language in (
            ("findings.toml", "toml"),
            ("faults.py", "python"),
            ("test_prices.py", "python"),
            ("pytest.ini", "ini"),
        ):
            _, _, after = text.partition(f"`{name}`")
            _, _, block = after.partition(f"```{language}\n")
            (tmp_path / name).write_text(block.partition("```")[0])
        (tmp_path / "prices.py").write_text(self.PRICES)
        return tmp_path

    @pytest.mark.slow
    def test_its_example_is_proven(self, folder):
        code, text, record = prove(folder)
        assert code == 0, text
        assert "ROUND-001:to-even  <-  test_prices.py::test_halves_are_rounded_up" in text
        assert [trial["fault"] for trial in record["faulty"]] == ["ROUND-001:to-even"]

    @pytest.mark.slow
    def test_and_would_not_be_if_its_test_were_blind(self, folder):
        test = folder / "test_prices.py"
        test.write_text(test.read_text().replace("cents(2.5) == 3", "cents(3.5) == 4"))
        code, text, _ = prove(folder)
        assert code == 1
        assert "ROUND-001:to-even: survives" in text

    @pytest.mark.slow
    def test_a_projects_own_errors_can_kill(self, folder):
        (folder / "prices.py").write_text(self.PRICES + "\nclass Wrong(Exception): ...\n")
        fault = "from prices import Wrong\nfrom ptycho.testing.fault import Fault\ndef make(original):\n"
        fault += "    def cents(value):\n        raise Wrong(value)\n    return cents\n"
        (folder / "faults.py").write_text(
            fault + 'FAULTS = (Fault("ROUND-001", "raises", "prices:cents", make),)\n'
        )
        assert prove(folder)[0] == 1, "an error that nobody knows is an accident"
        assert prove(folder, "-o", "findings_errors=prices:Wrong")[0] == 0

    def test_every_command_and_setting_of_it_exists(self, pytestconfig):
        words = set(re.findall(r"`pytest (--[a-z-]+)", self.GUIDE.read_text()))
        words |= set(re.findall(r"(--[a-z]+(?:-[a-z]+)*)", self.GUIDE.read_text()))
        known = {
            option for action in pytestconfig._parser.optparser._actions for option in action.option_strings
        }
        assert words
        assert words <= known
        assert set(re.findall(r"`(findings_[a-z]+)`", self.GUIDE.read_text())) <= set(
            pytestconfig._parser._inidict
        )


@pytest.mark.parametrize(("fault", "shared"), [(None, False), ("", True), ("A-1:wrong", False)])
def test_only_clean_processes_of_a_proof_share_what_they_computed(fault, shared, tmp_path):
    """Not those of a plain run, and none that has a fault in."""
    config = SimpleNamespace(stash=pytest.Stash())
    config.stash[prover.SHARED] = tmp_path
    if fault is not None:
        config.stash[prover.ACTIVE] = fault
    assert prover.shared_folder(config) == (tmp_path if shared else None)


class TestReport:
    """`pytest --findings-report`: live, tested and proven, stage by stage, without running a test."""

    def report(self, folder, *options):
        plugin = [] if _registered() else ["-p", "ptycho.testing.plugin"]
        arguments = [sys.executable, "-m", "pytest", "--findings-report", "-o", "addopts=", *plugin, *options]
        done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=180)
        return done.returncode, [" ".join(line.split()) for line in done.stdout.splitlines()]

    @pytest.mark.slow
    def test_what_was_proven_counts_as_long_as_the_sources_are_the_same(self, tmp_path):
        folder = project(tmp_path, tests=TESTS.replace("def test_first", "def test_fails"))
        code, lines = self.report(folder)
        assert code == 0, "no test runs, so that none fails"
        assert "stitch 12 11 0" in lines
        prove(folder, "-o", "addopts=", "--finding", "KILLED", "--finding", "SESSION", "--finding", "BLIND")
        assert "stitch 12 11 2" in self.report(folder)[1]
        assert "all 12 11 2" in self.report(folder, "-k", "nothing_of_that_name")[1]
        (folder / "product.py").write_text(PRODUCT + "\n# changed\n")
        lines = self.report(folder)[1]
        assert "stitch 12 11 0" in lines
        assert "2 were proven with other sources and do not count: run pytest --prove" in lines

    @pytest.mark.slow
    def test_a_finding_that_is_no_longer_proven_is_forgotten(self, tmp_path):
        folder = project(tmp_path)
        prove(folder, "-o", "addopts=", "--finding", "KILLED")
        (folder / "test_it.py").write_text(TESTS.replace("assert double(2) == 4", "assert double(2) > 0"))
        prove(folder, "-o", "addopts=", "--finding", "KILLED")
        assert "stitch 12 11 0" in self.report(folder)[1]


class TestCensus:
    def test_live_tested_and_proven_are_told_apart(self):
        def finding(name, stage, **more):
            words = dict.fromkeys(["title", "source", "symptom", "mechanism", "invariant", "remedy"], "words")
            return ledger.Finding(id=name, stage=stage, tier="unit", **words, **more)

        findings = [
            finding("A-1", "stitch"),
            finding("B-1", "stitch"),
            finding("C-1", "split"),
            finding("D-1", "split", status="not_applicable", reason="none of ours"),
        ]
        rows, stale = census.census(
            findings, {"A-1", "C-1", "D-1"}, {"A-1": "x", "B-1": "x", "C-1": "y"}, "x"
        )
        assert [(r.stage, r.live, r.tested, r.proven) for r in rows] == [
            ("stitch", 2, 1, 1),
            ("split", 1, 1, 0),
            ("all", 3, 2, 1),
        ]
        assert stale == 1


@pytest.mark.parametrize(
    ("options", "changed", "words"),
    [
        (
            ["-o", "findings_errors=product:double"],
            {},
            "findings_errors = product:double: is no class of errors",
        ),
        (["-o", "findings_errors=product:No"], {}, "findings_errors = product:No:"),
        (["--finding", "KILED"], {}, "--finding KILED: no live finding of that ID"),
        (["--prove-limit", "0"], {}, "--prove-limit 0: must be more than 0 seconds"),
        (["--finding", "KILLED", "-k", "blind"], {}, "KILLED: has no test"),
        (["--force-regen"], {}, "golden files would agree with any fault"),
        (["--fault", "KILLED:wrong"], {}, "leave --fault out"),
        ([], {"findings": ALL[1:]}, "the ledger has no such entry"),
        ([], {"fault_text": "FAULTS = ()\nraise ImportError('gone')"}, "findings_faults = faulty: gone"),
        ([], {"tests": "import nothing_of_that_name"}, "nothing can be proven"),
        (
            [],
            {"fault_text": FAULTS.replace('"product:triple"', '"product:quadruple"')},
            "there is no product:quadruple",
        ),
    ],
)
def test_bad_use_is_never_a_wrong_green(options, changed, words, pytester):
    # In this process: all of these end before anything forks.
    project(pytester.path, **changed)
    plugin = [] if _registered() else ["-p", "ptycho.testing.plugin"]
    done = pytester.runpytest_inprocess("--prove", "-p", "no:syrupy", "-p", "no:xdist", *plugin, *options)
    text = " ".join("\n".join([*done.outlines, *done.errlines]).split())
    assert done.ret != 0
    assert words in text


def test_a_fault_can_be_put_into_a_plain_run(pytester):
    project(pytester.path)
    plugin = [] if _registered() else ["-p", "ptycho.testing.plugin"]
    chosen = ["--fault", "SESSION:wrong", "-k", "session or killed"]
    done = pytester.runpytest_inprocess("-p", "no:syrupy", "-p", "no:xdist", *plugin, *chosen)
    done.assert_outcomes(failed=1, passed=1, deselected=13)


class TestInjection:
    def test_a_cached_property_is_one_again(self):
        from ptycho.scan.raw import RawData

        before = vars(RawData)["positions"]
        fault = Fault("A", "b", "ptycho.scan.raw:RawData.positions", lambda f: lambda self: f(self) + 1)
        with faults.injected(fault) as calls:
            raw = oracles.make_scan(4)
            np.testing.assert_array_equal(raw.positions[:, 0], raw.xcoords + 1)
            assert raw.positions is raw.positions
            assert calls.count == 1
        assert vars(RawData)["positions"] is before
        np.testing.assert_array_equal(oracles.make_scan(4).positions[:, 0], raw.xcoords)

    def test_every_name_that_is_bound_to_the_original_is_replaced_and_put_back(self):
        from ptycho.physics import coords
        from ptycho.physics.coords import translate as by_name

        globals()["elsewhere"] = by_name
        fault = Fault("A", "b", "ptycho.physics.coords:translate", lambda f: lambda *_: "replaced")
        with faults.injected(fault) as calls:
            assert coords.translate(1, 2) == "replaced"
            assert globals()["elsewhere"](1, 2) == "replaced"
            assert calls.count == 2
        assert coords.translate is by_name
        assert globals().pop("elsewhere") is by_name

    @pytest.mark.parametrize(
        "target", ["ptycho.nowhere:f", "ptycho.physics.coords:nothing", "ptycho.physics.coords:RELATIVE_SIGN"]
    )
    def test_what_is_not_there_or_no_function_is_refused(self, target):
        with pytest.raises(FaultError, match="A:b"), faults.injected(Fault("A", "b", target, lambda f: f)):
            pass

    @pytest.mark.parametrize("fault", registered.FAULTS, ids=lambda fault: fault.id)
    def test_every_target_of_a_registered_fault_exists(self, fault):
        holder, attribute = faults.find_target(fault)
        assert attribute in vars(holder)
        assert registered.FAULTS.count(fault) == 1

    def test_no_fault_names_a_private_function(self):
        """What a proof rests on has a name that a refactoring keeps."""
        parts = {fault.id: fault.target.partition(":")[2].split(".") for fault in registered.FAULTS}
        private = {name for name, path in parts.items() for part in path if part[0] == "_" != part[1]}
        assert not private

    @pytest.mark.parametrize("fault", registered.FAULTS, ids=lambda fault: fault.id)
    def test_every_registered_fault_says_what_it_does(self, fault):
        assert inspect.getdoc(fault.make)
