"""Files as beamlines and programs write them: the patterns, positions and pixels that come out are those that were measured."""

import re

import beamline
import h5py
import numpy as np
import pytest
from scipy import io

from ptycho.base.errors import DataContractError
from ptycho.scan.formats import registry
from ptycho.settings.request import Reading

OPTICS = {"energy": "8.856013 keV", "distance": "1.9m", "detector_pixel": "75um"}
CUT = re.compile(r"(\d+) x \d+ of \d+ x \d+ detector pixels about row (\d+), column (\d+)")


def as_measured(scan, seen):
    """How far a scan's positions are from those measured, px, and whether its patterns are a part of those counted."""
    (side, row, column) = next(
        map(int, match.groups()) for line in scan.metadata["read"] if (match := CUT.search(line))
    )
    pixel = seen.wavelength_m * seen.distance_m / (side * seen.pixel_m)
    apart = scan.positions - np.stack([seen.x_m, seen.y_m], axis=1) / pixel
    window = np.pad(seen.counts, ((0, 0), (side, side), (side, side)))
    rows, columns = (slice(middle + side // 2, middle + 3 * side // 2) for middle in (row, column))
    kept = np.ones((side, side), bool) if scan.bad_pixels is None else ~scan.bad_pixels
    same = np.allclose(scan.diff3d[:, kept] ** 2, window[:, rows, columns][:, kept], rtol=1e-5)
    return np.abs(apart - apart[0]).max(), same


def um(name):
    return lambda seen: 1e6 * getattr(seen, name)


def table(factor, *names):
    return lambda seen: factor * np.stack([getattr(seen, name) for name in names])


def energy(unit_j):
    return lambda seen: beamline.energy(seen, unit_j)


EV = beamline.ELECTRON_J
PATHS = {
    "PtyLab": (
        {
            "ptychogram": lambda seen: seen.counts,
            "encoder": lambda seen: np.stack([seen.y_m, seen.x_m], axis=1),
            "wavelength": lambda seen: seen.wavelength_m,
            "zo": lambda seen: seen.distance_m,
            "dxd": lambda seen: seen.pixel_m,
        },
        (),
    ),
    "HXN prepared": (
        {
            "diffamp": lambda seen: np.sqrt(seen.counts),
            "points": table(1e6, "x_m", "y_m"),
            "lambda_nm": lambda seen: 1e9 * seen.wavelength_m,
            "z_m": lambda seen: seen.distance_m,
            "ccd_pixel_um": lambda seen: 1e6 * seen.pixel_m,
        },
        (),
    ),
    "HXN": (
        {
            "diff_data/merlin1/det_images": lambda seen: seen.counts,
            "scan/scan_positions": table(1e6, "x_m", "y_m"),
            "scan/energy": energy(EV),
        },
        ("distance", "detector_pixel"),
    ),
    "ptychoml": ({"dp": lambda seen: seen.counts, "points": table(1e6, "x_m", "y_m")}, tuple(OPTICS)),
    "NanoMAX": (
        {
            "entry/measurement/eiger1m/frames": lambda seen: seen.counts,
            "entry/measurement/pseudo/x": um("x_m"),
            "entry/measurement/pseudo/y": um("y_m"),
            "entry/snapshot/energy": energy(EV),
        },
        ("distance", "detector_pixel"),
    ),
    "Diamond": (
        {
            "entry_1/data/data": lambda seen: seen.counts.reshape(5, 6, *seen.counts.shape[1:]),
            "entry_1/data/x": lambda seen: seen.x_m.reshape(5, 6),
            "entry_1/data/y": lambda seen: seen.y_m.reshape(5, 6),
            "entry_1/instrument_1/beam_1/energy": energy(1.0),
            "entry_1/instrument_1/detector_1/distance": lambda seen: seen.distance_m,
            "entry_1/instrument_1/detector_1/x_pixel_size": lambda seen: seen.pixel_m,
        },
        (),
    ),
    "Polar": (
        {
            "entry/externals/eiger": lambda seen: seen.counts,
            "entry/instrument/NDAttributes/Xpos": lambda seen: -1e6 * seen.x_m,
            "entry/instrument/NDAttributes/Ypos": lambda seen: -1e6 * seen.y_m,
        },
        tuple(OPTICS),
    ),
    "CSSI": (
        {
            "exchange/data": lambda seen: seen.counts,
            "exchange/motor_pos": lambda seen: 1e3 * np.stack([seen.x_m, seen.y_m], axis=1),
        },
        tuple(OPTICS),
    ),
}


@pytest.mark.finding("LAYOUT-SIGNS-001")
@pytest.mark.parametrize("name", PATHS)
def test_a_layout_is_known_by_its_paths(name, seen, tmp_path):
    keys, lacks = PATHS[name]
    beamline.write_rows(tmp_path / "scan.h5", seen, keys)
    scan = registry.read(tmp_path / "scan.h5", Reading(**{each: OPTICS[each] for each in lacks}))
    apart, same = as_measured(scan, seen)
    assert same
    assert apart < 0.02


def test_what_a_file_lacks_is_asked_for(seen, tmp_path):
    keys, _ = PATHS["NanoMAX"]
    beamline.write_rows(tmp_path / "scan.h5", seen, keys)
    with pytest.raises(DataContractError, match="add --distance, --detector-pixel"):
        registry.read(tmp_path / "scan.h5")


def test_units_of_a_file_count_more_than_those_of_its_beamline(seen, tmp_path):
    keys, lacks = PATHS["NanoMAX"]
    keys = keys | {f"entry/measurement/pseudo/{axis}": um(f"{axis}_m") for axis in "xy"}
    keys |= {"entry/measurement/pseudo/x": lambda seen: 1e9 * seen.x_m}
    beamline.write_rows(tmp_path / "scan.h5", seen, keys, {"entry/measurement/pseudo/x": "nm"})
    scan = registry.read(tmp_path / "scan.h5", Reading(**{each: OPTICS[each] for each in lacks}))
    assert as_measured(scan, seen)[0] < 0.02


def test_an_energy_that_no_photon_has_is_a_unit_that_was_mistaken(seen, tmp_path):
    keys, lacks = PATHS["HXN"]
    beamline.write_rows(tmp_path / "scan.h5", seen, keys | {"scan/energy": energy(1e9 * EV)})
    with pytest.raises(DataContractError, match=r"/scan/energy is a photon of .*eV, which cannot be"):
        registry.read(tmp_path / "scan.h5", Reading(**{each: OPTICS[each] for each in lacks}))


class TestPtychodus:
    @pytest.mark.parametrize("old", [False, True], ids=["1.7", "older"])
    def test_patterns_and_the_product_beside_them_are_one_scan(self, old, raw, seen, tmp_path):
        beamline.write_patterns(tmp_path / "diffraction.h5", seen)
        beamline.write_product(tmp_path / "product.h5", seen, raw.probe[None], old=old)
        scan = registry.read(tmp_path / "diffraction.h5")
        apart, same = as_measured(scan, seen)
        assert same
        assert apart < 0.02
        np.testing.assert_array_equal(scan.probe, raw.probe)

    def test_they_belong_together_by_their_numbers(self, seen, tmp_path):
        count = len(seen.counts)
        beamline.write_patterns(tmp_path / "diffraction.h5", seen, index=np.arange(count) + 100)
        order = np.random.default_rng(1).permutation(count)
        shuffled = beamline.replaced(seen, x_m=seen.x_m[order], y_m=seen.y_m[order])
        beamline.write_product(tmp_path / "other.h5", shuffled, index=order + 100)
        scan = registry.read(tmp_path / "diffraction.h5", Reading(positions_file=str(tmp_path / "other.h5")))
        apart, same = as_measured(scan, seen)
        assert same
        assert apart < 0.02

    def test_bad_pixels_are_masked(self, seen, tmp_path):
        bad = np.zeros(seen.counts.shape[1:], bool)
        bad[36, 30] = True
        beamline.write_patterns(tmp_path / "diffraction.h5", seen, bad=bad)
        beamline.write_product(tmp_path / "product.h5", seen)
        assert registry.read(tmp_path / "diffraction.h5", Reading(pixels=32)).bad_pixels.sum() == 1

    def test_a_product_alone_says_what_it_lacks(self, seen, tmp_path):
        beamline.write_product(tmp_path / "product.h5", seen)
        with pytest.raises(DataContractError, match=r"holds no patterns; give the file that does as --data"):
            registry.read(tmp_path / "product.h5")

    def test_patterns_alone_say_what_they_lack(self, seen, tmp_path):
        beamline.write_patterns(tmp_path / "diffraction.h5", seen)
        with pytest.raises(
            DataContractError, match=r"holds no positions that are known; add --positions-file FILE"
        ):
            registry.read(tmp_path / "diffraction.h5")

    def test_arrays_in_an_npz_are_read_alike(self, seen, tmp_path):
        np.savez(tmp_path / "patterns.npz", patterns=seen.counts, indexes=np.arange(len(seen.counts)))
        np.savez(
            tmp_path / "product.npz",
            probe_position_x_m=seen.x_m,
            probe_position_y_m=seen.y_m,
            probe_position_indexes=np.arange(len(seen.counts)),
            photon_energy_eV=energy(EV)(seen),
            detector_object_distance_m=seen.distance_m,
        )
        how = Reading(positions_file=str(tmp_path / "product.npz"), detector_pixel="75um")
        apart, same = as_measured(registry.read(tmp_path / "patterns.npz", how), seen)
        assert same
        assert apart < 0.02

    def test_a_product_of_theirs_is_read(self, measured):
        path = measured("ptychodus_product/metadata_250_truePos.hdf5")
        with registry.opened(path) as tree:
            content = registry.layout_of(tree).read(tree)
        assert content.probe.shape == (2, 256, 256)
        assert content.optics.object_pixel_m(256) == pytest.approx(8e-9)
        with h5py.File(path) as file:
            np.testing.assert_array_equal(content.positions[:, 1], file["probe_position_y_m"])


class TestPtyPy:
    def test_chunks_follow_each_other_by_their_numbers(self, seen, tmp_path):
        beamline.write_ptyd(tmp_path / "scan.ptyd", seen, per_chunk=2)
        apart, same = as_measured(registry.read(tmp_path / "scan.ptyd"), seen)
        assert same
        assert apart < 0.02

    def test_pixels_without_weight_are_masked(self, seen, tmp_path):
        weights = np.ones(seen.counts.shape[1:])
        weights[36, 30] = 0
        beamline.write_ptyd(tmp_path / "scan.ptyd", seen, weights=weights)
        assert registry.read(tmp_path / "scan.ptyd", Reading(pixels=32)).bad_pixels.sum() == 1

    def test_none_is_no_number(self, seen, tmp_path):
        beamline.write_ptyd(tmp_path / "scan.ptyd", seen)
        with h5py.File(tmp_path / "scan.ptyd", "a") as file:
            file["meta/distance"].attrs["type"] = "None"
        with pytest.raises(DataContractError, match="add --distance"):
            registry.read(tmp_path / "scan.ptyd")

    def test_a_result_lends_its_probe_and_its_positions(self, raw, seen, tmp_path):
        beamline.write_ptyd(tmp_path / "scan.ptyd", seen)
        with h5py.File(tmp_path / "scan.ptyr", "w") as file:
            file["content/probe/SMFG00/data"] = raw.probe
            file["content/probe/SMFG00/_psize"] = [1e-9, 1e-9]
            file["content/positions/SMFG00"] = np.stack([seen.y_m, seen.x_m], axis=1)
        how = Reading(positions_file=str(tmp_path / "scan.ptyr"))
        scan = registry.read(tmp_path / "scan.ptyd", how)
        np.testing.assert_array_equal(scan.probe, raw.probe)
        assert as_measured(scan, seen)[0] < 0.02


class TestShelves:
    @pytest.mark.finding("SHELVES-TRANSPOSED-001")
    def test_patterns_and_the_positions_of_one_name_are_one_scan(self, seen, tmp_path):
        path = beamline.write_fold_slice(tmp_path, seen)
        apart, same = as_measured(registry.read(path), seen)
        assert same
        assert apart < 0.02

    def test_without_the_size_of_a_pixel_it_is_asked_for(self, seen, tmp_path):
        path = beamline.write_fold_slice(tmp_path, seen, optics=False)
        with pytest.raises(DataContractError, match="add --energy, --distance, --detector-pixel"):
            registry.read(path)
        assert as_measured(registry.read(path, Reading(**OPTICS)), seen)[0] < 0.02

    @pytest.mark.finding("SHELVES-TRANSPOSED-001")
    def test_prepared_data_have_the_zero_frequency_in_a_corner_and_whole_pixels(self, raw, tmp_path):
        seen = beamline.measured(raw, (64, 64), (12, 20))
        pixel = seen.wavelength_m * seen.distance_m / (64 * seen.pixel_m)
        beamline.write_prepared(tmp_path / "prepared.h5", seen, pixel, bad=[(30, 36), (25, 40)])
        scan = registry.read(tmp_path / "prepared.h5", Reading(pixels=64))
        apart, same = as_measured(scan, seen)
        assert same
        assert apart <= 1.0
        assert scan.bad_pixels[:, 5:-5].sum() >= 2
        assert "optics" not in scan.metadata


class TestMatlab:
    @pytest.mark.parametrize("compressed", [False, True])
    def test_a_file_before_7_3_is_read_by_its_names(self, compressed, seen, tmp_path):
        path = tmp_path / "scan.mat"
        arrays = {
            "data": seen.counts.transpose(1, 2, 0).astype(np.uint16),
            "p": {"pos": np.stack([seen.x_m, seen.y_m], axis=1)},
        }
        io.savemat(path, arrays, do_compression=compressed)
        how = Reading(key=("patterns=/data", "positions=/p/pos"), positions_unit="m", **OPTICS)
        apart, same = as_measured(registry.read(path, how), seen)
        assert same
        assert apart < 0.02

    def test_one_of_7_3_too(self, seen, tmp_path):
        path = tmp_path / "scan.mat"
        with h5py.File(path, "w", userblock_size=512) as file:
            file["data"] = seen.counts.transpose(0, 2, 1)
            file["pos"] = np.stack([seen.x_m, seen.y_m])
        whole = bytearray(path.read_bytes())
        whole[:20] = b"MATLAB 7.3 MAT-file,"
        path.write_bytes(whole)
        how = Reading(key=("patterns=/data", "positions=/pos"), positions_unit="m", **OPTICS)
        apart, same = as_measured(registry.read(path, how), seen)
        assert same
        assert apart < 0.02

    def test_a_damaged_one_is_refused(self, tmp_path):
        (tmp_path / "scan.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(range(256)))
        with pytest.raises(DataContractError, match="not a complete MATLAB file"):
            registry.read(tmp_path / "scan.mat")


class TestMaster:
    def test_parts_follow_each_other_and_positions_are_a_table_with_a_trigger(self, seen, tmp_path):
        """Several rows a trigger, which counts from 1, in nm; the encoder runs the other way."""
        beamline.write_master(tmp_path / "master.h5", seen)
        rows = [
            (0, 1e9 * x + shift, 0, 0, 0, -(1e9 * y + shift), 0, number)
            for number, (x, y) in enumerate(zip(seen.x_m, seen.y_m, strict=True), 1)
            for shift in (-1.0, 0.0, 1.0)
        ]
        np.savetxt(tmp_path / "positions.txt", rows, delimiter=",")
        how = Reading(
            positions_file=str(tmp_path / "positions.txt"),
            key=("x=1", "y=-5", "index=7"),
            positions_unit="nm",
        )
        scan = registry.read(tmp_path / "master.h5", how)
        apart, same = as_measured(scan, seen)
        assert same
        assert apart < 0.02
        assert "90 positions that share a number are averaged" in scan.metadata["read"]

    def test_a_part_that_is_not_there_is_named(self, seen, tmp_path):
        beamline.write_master(tmp_path / "master.h5", seen)
        (tmp_path / "master_data_000002.h5").unlink()
        with pytest.raises(DataContractError, match="holds no dataset /entry/data/data_000002"):
            registry.read(tmp_path / "master.h5")


def test_tikes_case_is_read(measured):
    scan = registry.read(measured("tike_operator_case/tike_operator_case.npz"))
    assert scan.diff3d.shape == (169, 32, 32)
    assert scan.probe.shape == (2, 32, 32)
