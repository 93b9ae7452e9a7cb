"""What is written as another format is read back: the same counts, positions and probe; what a format does not hold is told."""

import beamline
import h5py
import numpy as np
import oracles
import pytest
import tifffile

from ptycho.base.errors import ConfigError, DataContractError
from ptycho.scan.formats import registry, writing
from ptycho.scan.formats.product import Product
from ptycho.scan.optics import Optics

OPTICS = Optics(1.4e-10, 1.9, 75e-6)


@pytest.fixture(scope="module")
def scan():
    raw = oracles.make_scan(count=20, N=32, seed=5).without_truth()
    counts = np.random.default_rng(0).poisson(40.0 * raw.diff3d.astype(float) ** 2 / raw.diff3d.max() ** 2)
    bad = np.zeros((32, 32), bool)
    bad[3, 20] = True
    return raw.derived(
        diff3d=np.sqrt(counts).astype(np.float32) * ~bad,
        photon_scale=1.0,
        metadata={"optics": OPTICS.to_dict()},
        bad_pixels=bad,
    )


@pytest.mark.parametrize("name", ["scan.npz", "scan.cxi", "scan.h5"])
def test_a_scan_comes_back_as_it_was(name, scan, tmp_path):
    assert writing.scan(tmp_path / name, scan) == ()
    back = registry.read(tmp_path / name)
    np.testing.assert_array_equal(back.diff3d, scan.diff3d)
    np.testing.assert_array_equal(back.probe, scan.probe)
    np.testing.assert_array_equal(back.bad_pixels, scan.bad_pixels)
    shift = back.positions - scan.positions
    np.testing.assert_allclose(shift, shift[:1].repeat(len(shift), 0), atol=1e-9)
    assert back.metadata["optics"] == pytest.approx(OPTICS.to_dict())


def test_counts_are_whole_numbers_where_they_were(scan, tmp_path):
    writing.scan(tmp_path / "scan.cxi", scan)
    with h5py.File(tmp_path / "scan.cxi") as file:
        assert file["entry_1/data_1/data"].dtype == np.uint32
    assert writing.counts_of(scan.derived(diff3d=scan.diff3d * np.float32(1.1))).dtype == np.float32


def test_a_cxi_file_says_how_the_sample_moves(scan, tmp_path):
    """As its paper does: against the beam, along axes that run against x and y; so, what the tests write by themselves is alike."""
    writing.scan(tmp_path / "ours.cxi", scan)
    beamline.write_cxi(tmp_path / "theirs.cxi", beamline.measured(scan, (32, 32), (0, 0)))
    with h5py.File(tmp_path / "ours.cxi") as ours, h5py.File(tmp_path / "theirs.cxi") as theirs:
        moved = [np.diff(file[beamline.SAMPLE][()], axis=0) for file in (ours, theirs)]
    np.testing.assert_allclose(moved[0], moved[1], atol=1e-12)


def test_what_a_format_does_not_hold_is_told(scan, tmp_path):
    with_more = scan.derived(object_guess=np.ones((90, 90), np.complex64), xcoords_start=scan.xcoords + 1)
    (line,) = writing.scan(tmp_path / "scan.cxi", with_more)
    assert line == "the format does not hold the truth (objectGuess), nominal positions"
    assert writing.scan(tmp_path / "scan.npz", with_more) == ()


def test_metres_are_asked_for(scan, tmp_path):
    with pytest.raises(
        DataContractError, match="this format is in metres; add --energy, --distance, --detector-pixel"
    ):
        writing.scan(tmp_path / "scan.cxi", scan.derived(metadata={}))
    assert not (tmp_path / "scan.cxi").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("scan.mat", "ends with one of .npz, .cxi"),
        ("scan.tif", "holds no scan"),
        ("product.h5", "give the patterns another"),
    ],
)
def test_names_that_ask_for_nothing_are_refused(name, words, scan, tmp_path):
    with pytest.raises(ConfigError, match=words):
        writing.scan(tmp_path / name, scan)


class TestResult:
    @pytest.fixture
    def product(self):
        rng = np.random.default_rng(1)
        obj = (1 + 0.1 * rng.random((40, 50))) * np.exp(0.3j * rng.random((40, 50)))
        probe = rng.normal(size=(2, 32, 32)).astype(np.complex64)
        positions = rng.uniform(20, 40, (7, 2))
        return Product(obj.astype(np.complex64), (4, 6), probe, positions, np.arange(7), 2e-8, OPTICS)

    @pytest.mark.parametrize("name", ["result.h5", "result.cxi"])
    def test_a_product_is_read_back_by_our_own_reader(self, name, product, tmp_path):
        writing.result(tmp_path / name, product)
        with registry.opened(tmp_path / name) as tree:
            content = registry.layout_of(tree).read(tree)
        np.testing.assert_allclose(content.positions, product.positions * 2e-8)
        assert content.optics.wavelength_m == pytest.approx(1.4e-10)
        if name.endswith(".h5"):
            np.testing.assert_array_equal(content.probe, product.probe)

    def test_the_objects_middle_is_where_ptychodus_takes_it(self, product, tmp_path):
        """At index (side - 1) / 2 of the pixels' centres: a patch about p then begins at p - N/2, as ours does."""
        writing.result(tmp_path / "p.h5", product)
        with h5py.File(tmp_path / "p.h5") as file:
            middle = file["object"].attrs["center_x_m"]
            index = (file["probe_position_x_m"][()] - middle) / 2e-8 + (50 - 1) / 2
            np.testing.assert_array_equal(file["object"][0], product.object)
        first_of_patch = index - (32 - 1) / 2
        np.testing.assert_allclose(first_of_patch, product.positions[:, 0] - 4 - 16)

    @pytest.mark.parametrize("pixel", [2e-8, None])
    def test_tiff_holds_amplitude_phase_and_the_size_of_a_pixel(self, pixel, product, tmp_path):
        writing.tiff(tmp_path / "o.tif", product.object, pixel)
        with tifffile.TiffFile(tmp_path / "o.tif") as file:
            pages, known = file.asarray(), file.imagej_metadata
            across, down = file.pages[0].tags["XResolution"].value
        np.testing.assert_allclose(pages, [np.abs(product.object), np.angle(product.object)], atol=1e-6)
        assert pages.dtype == np.float32
        assert known["Labels"] == ["amplitude", "phase (rad)"]
        if pixel is not None:
            assert known["unit"] == "um"
            assert down / across == pytest.approx(0.02)
