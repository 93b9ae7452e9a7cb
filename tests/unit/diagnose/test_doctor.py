"""`ptycho doctor`: what is wrong with a file is named, with its finding and its remedy, and with a command that goes on."""

import json

import beamline
import damaged
import numpy as np
import pytest
import strangers
from command import call

from ptycho.diagnose import doctor
from ptycho.scan import geometry
from ptycho.scan.formats import npz
from ptycho.solve.readings import Readings

KIND = "laser, pinhole"


@pytest.fixture(scope="module")
def scan():
    return strangers.right(KIND).raw


@pytest.fixture(scope="module")
def examined(scan):
    return doctor.examine(scan)


@pytest.fixture
def quick(monkeypatch):
    """Without asking how positions lie, which takes seconds."""
    monkeypatch.setattr(doctor.readings, "compare", lambda raw: Readings())


def by_name(result):
    return {check.name: check for check in result.checks}


def test_nothing_is_wrong_with_a_right_scan(examined):
    assert {check.status for check in examined.checks} == {"passed"}
    assert (examined.sentence, examined.options) == ("Nothing is wrong.", ())


def test_every_kind_of_damage_belongs_to_a_check():
    """What the inspection can name is what is asked for."""
    kinds = {name for harm in damaged.DAMAGE.values() for name in harm.names}
    assert kinds <= {kind for _, names in doctor.DAMAGES.values() for kind in names}


@pytest.mark.parametrize(
    ("harm", "name"),
    [
        ("dark frames", "frames without light"),
        ("hot pixels", "hot pixels"),
        ("repeated frames", "repeated frames"),
    ],
)
def test_what_is_left_out_is_noticed_and_does_not_fail(harm, name, scan, quick):
    wrong, where = damaged.DAMAGE[harm].do(scan, 1, np.random.default_rng(1))
    result = doctor.examine(wrong)
    check = by_name(result)[name]
    assert (check.status, result.failed) == ("warned", False)
    assert str(len(where)) in check.words
    assert check.finding


def test_the_options_mend_the_orientation(scan):
    wrong = geometry.correct(scan, "swap_axes")
    result = doctor.examine(wrong)
    assert by_name(result)["orientation of positions"].status == "failed"
    for option in result.options:
        wrong = geometry.correct(wrong, option.removeprefix("--geometry "))
    assert by_name(doctor.examine(wrong))["orientation of positions"].status == "passed"


def test_counts_for_amplitudes_are_mended_by_an_option(scan, quick):
    result = doctor.examine(scan.derived(diff3d=np.square(scan.diff3d)))
    assert by_name(result)["counts or amplitudes"].status == "failed"
    assert result.options == ("--intensity",)


def test_positions_are_looked_at(scan, quick):
    positions = scan.positions.copy()
    positions[7] = positions[6]
    assert "2 are those of another" in by_name(doctor.examine(scan.at(positions)))["positions"].words
    positions = scan.positions.copy()
    positions[7] += 500
    assert "(row 7)" in by_name(doctor.examine(scan.at(positions)))["positions"].words


def test_a_stretch_that_the_probe_may_explain_is_no_failure(scan, monkeypatch):
    """As the measured star has it under the guess of its file (docs/scan.md)."""
    comparison = Readings(
        errors={"given": 0.5, "shuffled": 1.0, "affine": 0.2},
        sure={"given": 0.0, "shuffled": -9.0, "affine": 9.0},
        noise=0.0,
        mean_pattern=1.0,
        tells=True,
        linear=((0.9, 0.0), (0.0, 0.9)),
        spread=((0.001, 0.001), (0.001, 0.001)),
        patterns=60,
        overlap=0.5,
        area=100.0,
    )
    monkeypatch.setattr(doctor.readings, "compare", lambda raw: comparison)
    result = doctor.examine(scan)
    assert by_name(result)["orientation of positions"].status == "warned"
    assert result.options == ()


class TestCommand:
    def test_a_right_file_ends_with_0_and_the_command_to_go_on_with(
        self, scan, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.chdir(tmp_path)
        npz.write_npz("a scan.npz", scan)
        assert call("doctor", "a scan.npz", "--out", "d") == 0
        shown = capsys.readouterr().out
        assert "Go on with: ptycho solve --data 'a scan.npz'" in shown
        written = json.loads((tmp_path / "d" / "doctor.json").read_text())
        assert written["numbers"]["overlap"]["status"] == "passed"
        assert {path.name for path in (tmp_path / "d").iterdir()} == {
            "diagnosis.html",
            "doctor.json",
            "doctor.md",
            "doctor.png",
        }

    def test_a_wrong_one_ends_with_1(self, scan, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        npz.write_npz("scan.npz", geometry.correct(scan, "swap_axes"))
        assert call("doctor", "scan.npz", "--json") == 1
        answer = json.loads(capsys.readouterr().out)
        assert answer["numbers"]["orientation of positions"]["status"] == "failed"
        assert "--geometry swap_axes" in answer["numbers"]["command"]["words"]

    def test_what_cannot_be_read_is_a_failed_check_in_the_words_of_the_reader(
        self, scan, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.chdir(tmp_path)
        beamline.write_plain(
            tmp_path / "scan.h5", beamline.measured(beamline.bright(scan), (90, 90), (13, 13))
        )
        assert call("doctor", "scan.h5") == 1
        shown = capsys.readouterr().out
        assert (
            "failed  file: has no layout that is known; name its parts: --key patterns=/entry/data/data"
            in shown
        )
        assert "Go on with" not in shown

    def test_options_that_read_the_file_are_those_of_the_command(
        self, scan, quick, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.chdir(tmp_path)
        npz.write_npz("scan.npz", scan)
        assert call("doctor", "scan.npz", "--geometry", "rotate=1", "--energy", "9 keV") in (0, 1)
        assert "--geometry rotate=1 --energy '9 keV'" in capsys.readouterr().out

    def test_a_file_that_is_not_there_ends_with_2(self, capsys):
        assert call("doctor", "none.npz") == 2
