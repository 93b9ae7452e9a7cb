"""CXI files, as their paper and cdtools lay them out; and NXptycho, which keeps the ring's energy where CXI has the photon's."""

import beamline
import h5py
import numpy as np
import pytest

from ptycho.base.errors import DataContractError
from ptycho.scan import inspection
from ptycho.scan.formats import cxi, hdf5, registry
from ptycho.settings.request import Reading


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scan.cxi"


def edit(path, **changes):
    with h5py.File(path, "a") as file:
        for key, value in changes.items():
            place = key.replace("__", "/")
            if place in file:
                del file[place]
            if value is not None:
                file[place] = value


@pytest.mark.finding("CXI-TRANSLATION-001")
@pytest.mark.parametrize("links", [True, False], ids=["links", "one-place"])
def test_patterns_positions_and_probe_are_those_that_were_measured(links, raw, seen, path):
    beamline.write_cxi(path, seen, probe=raw.probe[0], links=links)
    scan = registry.read(path, Reading(pixels=32))
    shift = np.subtract(scan.positions, raw.positions)
    np.testing.assert_allclose(shift, shift[:1].repeat(len(shift), 0), atol=1e-6)
    rows, columns = np.subtract(_centre(scan.diff3d), _centre(raw.diff3d))
    # The centre is found: the beam may lie a pixel or two off the one it was simulated with, and the far field is what it is.
    assert max(abs(rows), abs(columns)) <= 3
    np.testing.assert_array_equal(scan.probe, raw.probe)
    assert not registry.lacks_probe(scan)


def _centre(stack):
    mean = (stack.astype(float) ** 2).mean(axis=0)
    y, x = np.mgrid[: mean.shape[0], : mean.shape[1]]
    return (mean * y).sum() / mean.sum(), (mean * x).sum() / mean.sum()


@pytest.mark.finding("CXI-TRANSLATION-001")
def test_ptychodus_writes_where_the_beam_is(seen, path):
    """As version 1.7 does: x along columns, y along rows, and no pattern."""
    beamline.write_cxi(path, seen)
    expected = registry.read(path, Reading(pixels=32)).positions
    products = path.with_name("product.cxi")
    with h5py.File(products, "w") as file:
        file[beamline.SAMPLE] = np.stack([seen.x_m, seen.y_m, 0 * seen.x_m], axis=1)
        file[f"{beamline.ENTRY}/process_1/program"] = "Ptychodus"
    edit(path, **{beamline.SAMPLE.replace("/", "__"): None})
    scan = registry.read(path, Reading(pixels=32, positions_file=str(products)))
    np.testing.assert_allclose(scan.positions, expected, atol=1e-6)


def test_the_size_of_a_pixel_is_that_of_the_experiment(seen, path):
    beamline.write_cxi(path, seen)
    known = registry.read(path, Reading(pixels=32)).metadata["optics"]
    assert known["wavelength_m"] == pytest.approx(1.4e-10, rel=1e-6)
    assert (known["distance_m"], known["detector_pixel_m"]) == (1.9, 75e-6)


def test_axes_of_the_detector_are_obeyed(seen, path):
    """Rows that run along x and columns along y: the object's columns are then y."""
    beamline.write_cxi(path, seen)
    plain = registry.read(path, Reading(pixels=32)).positions
    edit(
        path,
        **{
            f"{beamline.DETECTOR}/basis_vectors".replace("/", "__"): np.array(
                [[75e-6, 0], [0, 75e-6], [0, 0]]
            )
        },
    )
    turned = registry.read(path, Reading(pixels=32)).positions
    np.testing.assert_allclose(turned - turned.min(0), (plain.max(0) - plain)[:, ::-1], atol=1e-6)


def test_what_was_taken_from_where_and_with_which_sign_is_told(seen, path):
    beamline.write_cxi(path, seen)
    lines = registry.read(path, Reading(pixels=32)).metadata[inspection.READ]
    assert lines[0] == "patterns are counts from /entry_1/data_1/data"
    assert lines[1].startswith("positions are /entry_1/data_1/translation, negated, along the detector axes")


def test_bad_pixels_are_masked(seen, path):
    mask = np.zeros(seen.counts.shape[1:], np.uint32)
    mask[36, 25] = 2
    beamline.write_cxi(path, seen, **{f"{beamline.DETECTOR}/mask".replace("/", "__"): mask})
    assert registry.read(path, Reading(pixels=32)).bad_pixels.sum() == 1


@pytest.mark.finding("RING-ENERGY-001")
def test_of_a_nexus_file_the_energy_is_the_beams_and_not_the_rings(seen, path):
    beamline.write_cxi(path, seen)
    edit(
        path,
        entry_1__definition="NXptycho",
        entry_1__instrument_1__source_1__energy=3.0,
        entry_1__instrument_1__beam_1__energy=8.0,
    )
    with h5py.File(path, "a") as file:
        file["entry_1/instrument_1/source_1/energy"].attrs["units"] = "GeV"
        file["entry_1/instrument_1/beam_1/energy"].attrs["units"] = "keV"
    known = registry.read(path, Reading(pixels=32)).metadata["optics"]
    assert known["wavelength_m"] == pytest.approx(12.398419843e-10 / 8.0, rel=1e-6)


def test_what_the_file_lacks_is_supplied_and_what_a_person_says_counts(seen, path):
    beamline.write_cxi(path, seen)
    edit(path, entry_1__instrument_1__source_1__energy=None)
    with pytest.raises(
        DataContractError, match=r"scan\.cxi: .* how large a pixel of the object is; add --energy"
    ):
        registry.read(path)
    scan = registry.read(path, Reading(energy="8keV", distance="2 m", pixels=32))
    assert scan.metadata["optics"]["wavelength_m"] == pytest.approx(12.398419843e-10 / 8.0, rel=1e-6)
    assert scan.metadata["optics"]["distance_m"] == 2.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_pixel_size": 50e-6}, "detector pixels are .*; only square ones"),
        ({"basis_vectors": np.zeros((3, 2))}, r"basis_vectors must be two vectors"),
        ({"basis_vectors": np.ones(4)}, r"basis_vectors must be two vectors"),
        ({"distance": [1.0, 2.0]}, "distance must be one number"),
        ({"mask": np.zeros(7)}, r"mask must be a mask \(h, w\)"),
    ],
)
def test_what_is_not_as_the_format_says_is_named(changes, words, seen, path):
    beamline.write_cxi(path, seen)
    edit(path, **{f"{beamline.DETECTOR}/{name}".replace("/", "__"): value for name, value in changes.items()})
    with pytest.raises(DataContractError, match=f"scan.cxi: .*{words}"):
        registry.read(path)


@pytest.mark.parametrize("shape", [(30,), (30, 4), (3, 30, 3)])
def test_translations_of_another_shape_are_refused(shape, seen, path):
    beamline.write_cxi(path, seen)
    edit(path, **{beamline.SAMPLE.replace("/", "__"): np.zeros(shape)})
    with pytest.raises(DataContractError, match="translation must have shape"):
        registry.read(path)


def test_a_measured_file_is_read_as_it_was_written(data_folder):
    """200 patterns of PETRA III, written by cdtools; CC BY 4.0."""
    if data_folder is None:
        pytest.skip("needs petra3_cxi; set PTYCHO_DATA_DIR")
    with hdf5.opened(data_folder / "petra3_cxi" / "PETRAIII_P25_Near_Field_Ptycho.cxi") as tree:
        assert cxi.fits(tree)
        found = cxi.read(tree)
        assert found.patterns.shape == (200, 100, 100)
        assert found.optics.wavelength_m == pytest.approx(9.794912e-11, rel=1e-6)
        assert (found.optics.distance_m, found.optics.detector_pixel_m) == pytest.approx((1.12, 5.5e-5))
        assert np.ptp(found.positions, axis=0) == pytest.approx([2.01576e-05, 1.90471e-05], rel=1e-4)
