"""HDF5 files without a layout that has a name: a person says where what lies, or is told where it may lie."""

import beamline
import h5py
import numpy as np
import pytest

from ptycho.base.errors import ConfigError, DataContractError
from ptycho.scan.formats import registry
from ptycho.settings.request import Reading

KEYS = ("patterns=/entry/data/data", "x=/entry/scan/x", "y=/entry/scan/y")
SAID = {"energy": "8.856 keV", "distance": "1.9m", "detector_pixel": "75um", "pixels": 32}


@pytest.fixture
def path(tmp_path, seen):
    beamline.write_plain(tmp_path / "scan.h5", seen)
    return tmp_path / "scan.h5"


def test_patterns_and_positions_are_taken_where_they_are_said_to_lie(raw, path):
    scan = registry.read(path, Reading(key=KEYS, **SAID))
    shift = scan.positions - raw.positions
    np.testing.assert_allclose(shift, shift[:1].repeat(len(shift), 0), atol=0.02)
    assert registry.lacks_probe(scan)


@pytest.mark.parametrize("turned", [False, True])
def test_positions_may_be_one_table(turned, path):
    expected = registry.read(path, Reading(key=KEYS, **SAID)).positions
    with h5py.File(path, "a") as file:
        table = np.stack([file["entry/scan/x"][()], file["entry/scan/y"][()]], axis=1)
        file["table"] = table.T if turned else table
    how = Reading(key=(KEYS[0], "positions=/table"), positions_unit="um", **SAID)
    np.testing.assert_allclose(registry.read(path, how).positions, expected)


def test_a_raster_of_patterns_is_read_row_by_row(path):
    expected = registry.read(path, Reading(key=KEYS, **SAID))
    with h5py.File(path, "a") as file:
        file["raster"] = file["entry/data/data"][()].reshape(5, 6, *file["entry/data/data"].shape[1:])
    scan = registry.read(path, Reading(key=("patterns=/raster", *KEYS[1:]), **SAID))
    np.testing.assert_array_equal(scan.diff3d, expected.diff3d)


def test_a_file_of_unknown_layout_is_answered_with_the_keys_that_may_be_meant(path):
    with pytest.raises(DataContractError) as refused:
        registry.read(path)
    assert str(refused.value).endswith(
        "name its parts: --key patterns=/entry/data/data --key x=/entry/scan/x --key y=/entry/scan/y"
    )


def test_where_there_are_no_positions_that_is_said(path):
    with h5py.File(path, "a") as file:
        del file["entry/scan"]
    with pytest.raises(DataContractError, match="no dataset looks like 30 positions, and they are needed"):
        registry.read(path)
    with h5py.File(path, "a") as file:
        del file["entry/data"]
    with pytest.raises(DataContractError, match="no dataset of it looks like patterns"):
        registry.read(path)


def test_positions_without_a_unit_are_asked_for_it(path):
    with h5py.File(path, "a") as file:
        del file["entry/scan/x"].attrs["units"]
    with pytest.raises(DataContractError, match="/entry/scan/x has no units; add --positions-unit um"):
        registry.read(path, Reading(key=KEYS, **SAID))


def test_more_positions_than_patterns_are_an_error_with_both_numbers_unless_the_first_are_asked_for(path):
    expected = registry.read(path, Reading(key=KEYS, **SAID))
    with h5py.File(path, "a") as file:
        for axis in "xy":
            values = file[f"entry/scan/{axis}"][()]
            file[f"long/{axis}"] = np.concatenate([values, values[:2]])
    long = (KEYS[0], "x=/long/x", "y=/long/y")
    with pytest.raises(DataContractError, match="30 patterns but 32 positions; add --pair leading"):
        registry.read(path, Reading(key=long, positions_unit="um", **SAID))
    scan = registry.read(path, Reading(key=long, positions_unit="um", pair="leading", **SAID))
    np.testing.assert_allclose(scan.positions, expected.positions)
    assert "the first 30 are taken of 30 patterns and 32 positions" in scan.metadata["read"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (("pattern=/a",), "expected NAME=PATH with one of .*; did you mean patterns?"),
        (("patterns",), "expected NAME=PATH"),
        (("patterns=",), "expected NAME=PATH"),
        (("patterns=/a", "patterns=/b"), r"--key patterns: is given twice \(/a, /b\)"),
        (("patterns=/a", "amplitudes=/b", "positions=/c"), "either patterns=PATH .* or amplitudes=PATH"),
        (("patterns=/a", "x=/c"), "either positions=PATH or both x=PATH and y=PATH"),
    ],
)
def test_keys_that_say_too_little_or_too_much_are_refused(keys, words, path):
    with pytest.raises(ConfigError, match=words):
        registry.read(path, Reading(key=keys))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (("patterns=/entry/scan/x", *KEYS[1:]), "/entry/scan/x must be real patterns"),
        (("patterns=/none", *KEYS[1:]), "holds no dataset /none"),
        ((KEYS[0], "positions=/entry/scan/x"), r"/entry/scan/x must be positions \(M, 2\)"),
        ((*KEYS, "mask=/entry/scan/x"), r"/entry/scan/x must be a mask"),
        ((*KEYS, "probe=/entry/scan/x"), r"/entry/scan/x must be a square probe"),
        ((*KEYS, "distance=/entry/scan/x"), r"/entry/scan/x must be one number"),
    ],
)
def test_a_path_at_which_something_else_lies_is_named(keys, words, path):
    with pytest.raises(DataContractError, match=f"scan.h5: .*{words}"):
        registry.read(path, Reading(key=keys, **SAID))


@pytest.mark.parametrize(
    "how", [{"pair": "leading"}, {"pixels": 32}, {"positions_unit": "um"}, {"positions_file": "x"}]
)
def test_what_a_scan_of_the_contract_has_no_use_for_is_refused(how, tmp_path):
    np.savez(tmp_path / "scan.npz", xcoords=np.zeros(3))
    with pytest.raises(ConfigError, match="is an NPZ of the data contract; leave --pair"):
        registry.read(tmp_path / "scan.npz", Reading(**how))


def test_arrays_of_an_npz_are_named_like_those_of_any_other_file(raw, seen, tmp_path):
    np.savez(tmp_path / "scan.npz", frames=seen.counts, at=np.stack([seen.x_m, seen.y_m], axis=1))
    how = Reading(key=("patterns=frames", "positions=at"), positions_unit="m", **SAID)
    shift = registry.read(tmp_path / "scan.npz", how).positions - raw.positions
    np.testing.assert_allclose(shift, shift[:1].repeat(len(shift), 0), atol=0.02)


def test_a_minus_sign_turns_a_coordinate_about(path):
    expected = registry.read(path, Reading(key=KEYS, **SAID)).positions
    turned = registry.read(path, Reading(key=(*KEYS[:2], "y=-/entry/scan/y"), **SAID)).positions
    np.testing.assert_allclose(turned[:, 0], expected[:, 0])
    np.testing.assert_allclose(np.diff(turned[:, 1]), -np.diff(expected[:, 1]), atol=1e-9)


def test_a_damaged_chunk_is_told(path):
    whole = bytearray(path.read_bytes())
    for place in range(len(whole) // 3, 2 * len(whole) // 3):
        whole[place] ^= 0xA5
    path.write_bytes(whole)
    with pytest.raises(DataContractError, match=r"scan\.h5: "):
        registry.read(path, Reading(key=KEYS, **SAID))
