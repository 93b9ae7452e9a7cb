"""The file that the instrument wrote, given to the commands."""

import json

import beamline
import oracles
import pytest
import strangers
from command import call

from ptycho.runs import directory
from ptycho.scan.formats import npz


@pytest.fixture(autouse=True)
def at_desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def raw():
    return beamline.bright(oracles.make_scan(count=60, N=32, shape=(70, 80), seed=4))


def notes(folder):
    return [note for stage in directory.read_metadata(folder)["stages"].values() for note in stage["notes"]]


def refused(capsys, *words):
    assert call(*words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_a_cxi_file_is_a_scan_with_a_size(raw, tmp_path, capsys):
    beamline.write_cxi("scan.cxi", beamline.measured(raw), probe=raw.probe[0])
    assert call("run", "--data", "scan.cxi", "--until", "split", "--out", "r", "--cache", "none") == 0
    told = notes(tmp_path / "r")
    assert any(note.startswith("Scan: positions are /entry_1/data_1/translation, negated") for note in told)
    assert any("object pixel 111 nm" in note for note in told)
    capsys.readouterr()
    # At another energy the same file is another scan.
    words = (
        "run",
        "--data",
        "scan.cxi",
        "--energy",
        "9keV",
        "--until",
        "split",
        "--out",
        "r",
        "--cache",
        "none",
    )
    assert "holds a run of another request (energy was none and is now 9keV)" in refused(
        capsys, *words, "--resume"
    )


def test_a_run_of_before_there_were_such_files_is_gone_on_with(raw, tmp_path):
    """Its record knows nothing of keys and energies."""
    npz.write_npz("scan.npz", raw)
    words = ("run", "--data", "scan.npz", "--until", "split", "--out", "r", "--cache", "none")
    assert call(*words) == 0
    path = tmp_path / "r" / directory.METADATA
    record = json.loads(path.read_text())
    for name in ("key", "positions_unit", "pair", "pixels", "energy", "distance", "detector_pixel"):
        del record["request"]["reading"][name]
    path.write_text(json.dumps(record))
    assert call(*words, "--resume") == 0


def test_an_unknown_layout_is_answered_with_the_options_that_read_it(raw, capsys):
    beamline.write_plain("scan.h5", beamline.measured(raw))
    line = refused(capsys, "solve", "--data", "scan.h5")
    options = line.partition("name its parts: ")[2].split()
    assert options[::2] == ["--key"] * 3
    assert "add --energy, --distance, --detector-pixel" in refused(
        capsys, "solve", "--data", "scan.h5", *options
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--energy", "8"), "--energy = 8: expected a number above 0 and its unit, as 8.8keV"),
        (("--distance", "2 keV"), "--distance = 2 keV: expected a number above 0 and its unit, as 1.92m"),
        (("--pixels", "100"), "--pixels 100: must be one of 32, 64, 128, 256"),
        (("--key", "x=/a"), "--key: give either positions=PATH or both x=PATH"),
    ],
)
def test_what_is_wrong_with_an_option_is_told(words, told, raw, capsys):
    beamline.write_cxi("scan.cxi", beamline.measured(raw), probe=raw.probe[0])
    assert told in refused(capsys, "solve", "--data", "scan.cxi", *words)


@pytest.mark.slow
def test_a_scan_without_a_probe_is_solved(tmp_path):
    raw = strangers.right("laser, pinhole").raw
    beamline.write_cxi("scan.cxi", beamline.measured(raw, shape=(120, 100), corner=(31, 22)))
    assert call("solve", "--data", "scan.cxi", "--out", "s", "--cache", "none") == 0
    assert any(
        note.startswith("Scan: the probe is a first one, from the mean pattern")
        for note in notes(tmp_path / "s")
    )


@pytest.mark.slow
def test_the_measured_star_needs_no_guess(data_folder, tmp_path):
    """Counts on a detector of 195 x 180 pixels, the beam off its centre, no probe: 0.0083 under the guess of the file."""
    if data_folder is None:
        pytest.skip("needs siemens_star; set PTYCHO_DATA_DIR")
    raw = npz.read_npz(data_folder / "siemens_star" / "siemens_star.npz")
    seen = beamline.measured(raw, shape=(195, 180), corner=(26, 37), wavelength_m=1.409e-10, distance_m=1.92)
    beamline.write_cxi("star.cxi", seen)
    assert call("solve", "--data", "star.cxi", "--out", "s", "--cache", "none") == 0
    metrics = json.loads((tmp_path / "s" / "solution_metrics.json").read_text())
    assert metrics["data"]["stitched_error"] < 1.2 * 0.0083


def test_questions_are_asked_of_any_file(raw, capsys):
    beamline.write_cxi("scan.cxi", beamline.measured(raw), probe=raw.probe[0])
    assert call("diagnose", "probe", "scan.cxi") == 0
    assert "scan" in capsys.readouterr().out
    assert "none.cxi" in refused(capsys, "diagnose", "probe", "none.cxi")


def test_a_defocus_is_for_a_first_probe(raw, capsys):
    beamline.write_cxi("scan.cxi", beamline.measured(raw), probe=raw.probe[0])
    told = refused(capsys, "solve", "--data", "scan.cxi", "--defocus", "400um")
    assert "--defocus is for a first probe; add --probe-from data" in told
    told = refused(capsys, "solve", "--data", "scan.cxi", "--defocus", "400", "--probe-from", "data")
    assert "--defocus = 400: expected a number above 0 and its unit, as 400um" in told
