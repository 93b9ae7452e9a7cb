"""The ledger: a closed set, whose entries make sense, whose tests exist, whose pages are current."""

import json
import shutil
from pathlib import Path

import pytest
from command import call

from ptycho.base.errors import FaultError, LedgerError
from ptycho.findings import faults as registered
from ptycho.findings import ledger, pages
from ptycho.stages import pipeline
from ptycho.testing import fault as faults
from ptycho.testing import ledger as entries_of

REPOSITORY = Path(__file__).resolve().parents[3]
ENTRY = {
    "id": "A-001",
    "title": "Something",
    "stage": "stitch",
    "tier": "unit",
    "source": "here",
    "symptom": "seen",
    "mechanism": "how",
    "invariant": "what",
    "remedy": "do it",
}


def written(folder, *entries):
    lines = []
    for entry in entries:
        lines += ["[[finding]]", *(f"{name} = {json.dumps(value)}" for name, value in entry.items())]
    path = folder / "ledger.toml"
    path.write_text("\n".join(lines))
    return path


class TestTheSet:
    def test_it_is_as_large_as_it_was_promised(self):
        findings = ledger.read()
        assert len(findings) >= 107
        assert sum(entry.status == "live" for entry in findings) >= 88

    def test_every_marker_names_a_finding(self):
        unknown = set(ledger.collect(REPOSITORY / "tests")) - {entry.id for entry in ledger.read()}
        assert not unknown

    def test_every_live_finding_has_a_test_and_a_fault(self):
        live = {entry.id for entry in ledger.read() if entry.status == "live"}
        assert live - set(ledger.collect(REPOSITORY / "tests")) == set()
        assert live - {fault.finding for fault in registered.FAULTS} == set()

    def test_the_tests_that_the_package_names_are_those_that_carry_the_marker(self):
        """Update with: ptycho findings collect tests."""
        assert ledger.selectors() == ledger.collect(REPOSITORY / "tests")

    def test_the_pages_are_current(self, tmp_path):
        """Update with: ptycho findings pages docs/findings."""
        docs = REPOSITORY / "docs" / "findings"
        shutil.copytree(docs / "images", tmp_path / "images")
        pages.write(tmp_path)
        current = {path.name: path.read_text() for path in docs.glob("*.md")}
        assert current == {path.name: path.read_text() for path in tmp_path.glob("*.md")}

    def test_ten_bugs_can_be_seen(self):
        """Each on its page, made by a command that puts its own fault in, and none of them passes its gates."""
        folder = REPOSITORY / "docs" / "findings"
        shown = json.loads((folder / pages.SHOWN).read_text())
        assert len(shown) >= 10
        for name, parts in shown.items():
            assert (
                faults.named(parts["command"].split("--fault ")[1].split()[0], registered.FAULTS).finding
                == name
            )
            assert (folder / parts["picture"]).read_bytes().startswith(b"\x89PNG")
            assert parts["picture"] in (folder / pages.file_name(ledger.named(name))).read_text()
            assert parts["verdict"].startswith("FAIL")

    def test_no_two_findings_share_a_page(self):
        names = [pages.file_name(entry) for entry in ledger.read()]
        assert len(set(names)) == len(names)


class TestCollecting:
    def test_markers_of_functions_classes_and_several_on_one_test(self, tmp_path):
        (tmp_path / "tests").mkdir()
        (tmp_path / "tests" / "test_a.py").write_text(
            "import pytest\n\n"
            '@pytest.mark.finding("A")\n@pytest.mark.finding("B")\n@pytest.mark.parametrize("x", [1])\n'
            "def test_one(x): ...\n\n"
            '@pytest.mark.finding("C")\nclass TestTwo:\n'
            '    def test_inner(self): ...\n    @pytest.mark.finding("A")\n    def test_other(self): ...\n'
            "    def helper(self): ...\n"
        )
        assert ledger.collect(tmp_path / "tests") == {
            "A": ["tests/test_a.py::test_one", "tests/test_a.py::TestTwo::test_other"],
            "B": ["tests/test_a.py::test_one"],
            "C": ["tests/test_a.py::TestTwo::test_inner", "tests/test_a.py::TestTwo::test_other"],
        }

    def test_a_marker_of_the_whole_module(self, tmp_path):
        (tmp_path / "tests").mkdir()
        (tmp_path / "tests" / "test_a.py").write_text(
            'import pytest\n\npytestmark = [pytest.mark.slow, pytest.mark.finding("A")]\n\n'
            'def test_one(): ...\n\n@pytest.mark.finding("B")\ndef test_two(): ...\n'
        )
        assert ledger.collect(tmp_path / "tests") == {
            "A": ["tests/test_a.py::test_one", "tests/test_a.py::test_two"],
            "B": ["tests/test_a.py::test_two"],
        }


class TestNonsense:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"tier": "quick"}, "A-001: tier"),
            ({"status": "not_applicable"}, "a reason belongs to a finding that does not apply"),
            ({"reason": "because"}, "a reason belongs to a finding that does not apply"),
            ({"symptom": ""}, "A-001: symptom"),
            ({"faults": "x"}, "A-001: faults"),
        ],
    )
    def test_an_entry_that_makes_no_sense_is_named(self, change, words, tmp_path):
        with pytest.raises(LedgerError, match=words):
            entries_of.read(written(tmp_path, {**ENTRY, **change}))

    def test_a_stage_that_there_is_not(self, tmp_path):
        path = written(tmp_path, {**ENTRY, "stage": "stich"})
        assert entries_of.read(path)[0].stage == "stich", "another project has stages of its own"
        with pytest.raises(LedgerError, match="A-001: stage 'stich' must be one of run, stitch"):
            entries_of.read(path, ["run", "stitch"])

    def test_the_packages_own_are_rows_of_the_table(self):
        rows = {"run", *(stage.name for stage in pipeline.STAGES)}
        assert {entry.stage for entry in ledger.read()} <= rows

    @pytest.mark.parametrize("lost", ["title", "remedy", "stage"])
    def test_a_part_that_is_missing(self, lost, tmp_path):
        with pytest.raises(LedgerError, match=f"A-001: {lost}: Field required"):
            entries_of.read(written(tmp_path, {name: value for name, value in ENTRY.items() if name != lost}))

    def test_an_entry_that_stands_there_twice(self, tmp_path):
        with pytest.raises(LedgerError, match="A-001 stands there twice"):
            entries_of.read(written(tmp_path, ENTRY, ENTRY))

    @pytest.mark.parametrize("text", ["", "x = 1", "finding = 3", "[finding]\nid = 'A'"])
    def test_a_file_that_is_no_ledger(self, text, tmp_path):
        (tmp_path / "ledger.toml").write_text(text)
        with pytest.raises(LedgerError, match="expected"):
            entries_of.read(tmp_path / "ledger.toml")


class TestCommand:
    def test_it_lists_a_stage_as_json_with_the_tests(self, capsys):
        assert call("findings", "--stage", "split", "--json") == 0
        entries = json.loads(capsys.readouterr().out)
        assert {entry["stage"] for entry in entries} == {"split"}
        assert {entry["id"] for entry in entries} == {"NEW-SPLIT-ALIGN", "SPLIT-SHARE-001"}
        for entry in entries:
            assert all((REPOSITORY / test.split("::")[0]).exists() for test in entry["tests"])
            assert entry["tests"]

    def test_it_lists_a_status(self, capsys):
        assert call("findings", "--status", "not_applicable", "--json") == 0
        assert [entry["id"] for entry in json.loads(capsys.readouterr().out)] == ["ACCEPTANCE-001"]

    def test_it_explains_a_finding(self, capsys):
        assert call("findings", "show", "REASSEMBLY-BRIDGE-001/axis") == 0
        said = capsys.readouterr().out
        entry = ledger.named("REASSEMBLY-BRIDGE-001/axis")
        for words in (
            entry.title,
            entry.symptom,
            entry.mechanism,
            entry.invariant,
            entry.remedy,
            "tests/unit/",
        ):
            assert words in said

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["show", "CONFIG-01"], "no finding 'CONFIG-01'; did you mean CONFIG-001?"),
            (["--stage", "stich"], "no finding has the stage 'stich'"),
            (["--status", "dead"], "no finding has the status 'dead' (known: live, not_applicable)"),
        ],
    )
    def test_what_is_unknown_is_refused(self, arguments, words, capsys):
        assert call("findings", *arguments) == 2
        assert words in capsys.readouterr().err


class TestNew:
    """`ptycho findings new ID`: entry, test and fault that fail until they are filled in."""

    @pytest.fixture
    def place(self, tmp_path):
        written(tmp_path, ENTRY)
        (tmp_path / "tests").mkdir()
        (tmp_path / "faults").mkdir()
        return tmp_path

    def new(self, place, name):
        files = {"--ledger": "ledger.toml", "--tests": "tests", "--faults": "faults"}
        return call(
            "findings", "new", name, *(part for k, v in files.items() for part in (k, str(place / v)))
        )

    def test_three_files_that_must_be_filled_in(self, place, capsys):
        assert self.new(place, "B-002/twice") == 0
        assert str(place / "tests" / "test_b_002_twice.py") in capsys.readouterr().out.replace("\n", "")
        with pytest.raises(LedgerError, match=r"B-002/twice: title, source, .* still to be written \(TODO\)"):
            entries_of.read(place / "ledger.toml")
        assert ledger.collect(place / "tests") == {
            "B-002/twice": ["tests/test_b_002_twice.py::test_b_002_twice"]
        }
        scope = {}
        exec((place / "tests" / "test_b_002_twice.py").read_text(), scope)
        with pytest.raises(pytest.fail.Exception, match="TODO: assert what must hold"):
            scope["test_b_002_twice"]()
        scope = {}
        exec((place / "faults" / "b_002_twice.py").read_text(), scope)
        (fault,) = scope["FAULTS"]
        with pytest.raises(FaultError, match="there is no TODO:function"):
            faults.find_target(fault)

    def test_filled_in_it_is_an_entry_like_the_others(self, place):
        self.new(place, "B-002")
        path = place / "ledger.toml"
        path.write_text(path.read_text().replace("TODO", "words"))
        assert [entry.id for entry in entries_of.read(path)] == ["A-001", "B-002"]

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("A-001", "has a finding A-001 already"),
            ('B"\n', "cannot be the ID of a finding"),
            ("2-fold", "cannot be the ID of a finding"),
        ],
    )
    def test_what_cannot_be_new_is_refused_and_nothing_written(self, name, words, place, capsys):
        before = (place / "ledger.toml").read_text()
        assert self.new(place, name) == 2
        assert words in " ".join(capsys.readouterr().err.split())
        assert (place / "ledger.toml").read_text() == before
        assert not list((place / "tests").iterdir())
        assert not list((place / "faults").iterdir())

    @pytest.mark.parametrize("lost", ["ledger.toml", "tests", "faults"])
    def test_a_place_that_is_not_there(self, lost, place, capsys):
        path = place / lost
        path.rmdir() if path.is_dir() else path.unlink()
        assert self.new(place, "B-002") == 2
        assert "no" in capsys.readouterr().err
        assert not list(place.rglob("*b_002*"))
