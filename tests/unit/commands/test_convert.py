"""`ptycho convert`: any scan, and any result, as another format; nothing is written over."""

import beamline
import numpy as np
import oracles
import pytest
from command import call, contents

from ptycho.physics.stitching import Reconstruction
from ptycho.scan.formats import npz, registry
from ptycho.solve.solution import Solution
from ptycho.stages import solutions

METRES = ("--energy", "8.856 keV", "--distance", "1.9m", "--detector-pixel", "75um")


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def raw():
    return beamline.bright(oracles.make_scan(count=30, N=64, seed=3)).without_truth()


def test_from_a_beamline_to_the_contract_and_to_ptychodus(raw, desk):
    beamline.write_cxi("scan.cxi", beamline.measured(raw), probe=raw.probe[0])
    assert call("convert", "scan.cxi", "scan.npz") == 0
    assert call("convert", "scan.npz", "patterns.h5") == 0
    first, second = registry.read(desk / "scan.npz"), registry.read(desk / "patterns.h5")
    np.testing.assert_allclose(second.diff3d, first.diff3d, atol=1e-4)
    assert (desk / "product.h5").is_file()


def test_frames_are_dropped_and_patterns_changed(raw, desk):
    npz.write_npz("scan.npz", raw)
    assert call("convert", "scan.npz", "less.npz", "--drop-frames", "0,5-9", "--bin", "2") == 0
    less = registry.read(desk / "less.npz")
    assert (len(less), less.N) == (24, 32)
    np.testing.assert_array_equal(less.xcoords[:4], raw.xcoords[1:5])
    assert call("convert", "scan.npz", "cut.npz", "--crop", "32", "--geometry", "swap_axes") == 0
    np.testing.assert_allclose(registry.read(desk / "cut.npz").xcoords, raw.ycoords / 2)


def test_nothing_is_written_over(raw, desk, capsys):
    npz.write_npz("scan.npz", raw)
    npz.write_npz("other.npz", raw)
    before = contents(desk)
    assert call("convert", "scan.npz", "other.npz") == 2
    assert call("convert", "scan.npz", "scan.npz", "--overwrite") == 2
    assert call("convert", "scan.npz", "product.h5", *METRES) == 2
    assert call("convert", "scan.npz", "scan.cxi") == 2
    assert contents(desk) == before
    assert (
        "this format is in metres; add --energy, --distance, --detector-pixel"
        in capsys.readouterr().err.replace("\n", " ")
    )


def test_the_product_beside_patterns_is_not_replaced(raw, desk):
    npz.write_npz("scan.npz", raw)
    (desk / "product.h5").write_text("mine")
    assert call("convert", "scan.npz", "patterns.h5", *METRES) == 2
    assert (desk / "product.h5").read_text() == "mine"
    assert not (desk / "patterns.h5").exists()


@pytest.mark.finding("OUT-OVER-INPUT-001")
@pytest.mark.parametrize(
    ("out", "how"),
    [
        ("other.h5", ()),  # whose product would come to lie on the one that is read
        ("places.npz", ("--positions-file", "places.npz", "--key", "positions=at", "--positions-unit", "m")),
    ],
)
def test_what_is_read_beside_the_patterns_is_an_input(out, how, raw, desk, capsys):
    seen = beamline.measured(raw)
    beamline.write_patterns("diffraction.h5", seen)
    beamline.write_product("product.h5", seen)
    np.savez("places.npz", at=np.stack([seen.x_m, seen.y_m], axis=1))
    before = contents(desk)
    assert call("convert", "diffraction.h5", "scan.npz", *how, *METRES) == 0
    assert call("convert", "diffraction.h5", out, *how, *METRES, "--overwrite") == 2
    assert "is the file that is read" in capsys.readouterr().err.replace("\n", " ")
    assert contents(desk).items() >= before.items()


class TestResult:
    @pytest.fixture
    def result(self, desk):
        rng = np.random.default_rng(0)
        obj = np.exp(1j * rng.random((50, 60))).astype(np.complex64)
        reconstruction = Reconstruction(obj, np.ones((50, 60), np.float32), (3, 4), 1.0, 9)
        probe = np.ones((1, 32, 32), np.complex64)
        solutions.write(
            desk / "r.npz", Solution(reconstruction, probe, rng.uniform(20, 40, (9, 2)), np.ones(2))
        )
        return desk / "r.npz"

    @pytest.mark.parametrize("name", ["o.tif", "o.h5", "o.cxi"])
    def test_it_becomes_what_its_name_says(self, name, result, desk):
        assert call("convert", "r.npz", name, *METRES) == 0
        assert (desk / name).stat().st_size > 1000

    def test_without_the_size_of_a_pixel_it_is_a_picture_and_no_product(self, result, desk, capsys):
        assert call("convert", "r.npz", "o.tif") == 0
        assert call("convert", "r.npz", "o.h5") == 2
        assert "does not say how large a pixel of the object is" in capsys.readouterr().err
        assert not (desk / "o.h5").exists()

    def test_what_changes_scans_is_refused(self, result, capsys):
        assert call("convert", "r.npz", "o.tif", "--bin", "2") == 2
        assert "leave them out for a result" in capsys.readouterr().err

    def test_a_folder_that_is_no_run_is_refused(self, desk, capsys):
        (desk / "empty").mkdir()
        assert call("convert", "empty", "o.tif") == 2
        assert "reconstruction.npz: no such file" in capsys.readouterr().err
