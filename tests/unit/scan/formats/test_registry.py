"""Any file: damaged in a way that knows its structure it is read, or refused in words of ours."""

import random
import shutil
from importlib import metadata

import beamline
import h5py
import mutations
import numpy as np
import oracles
import pytest

from ptycho.base.errors import DataContractError, PtychoError
from ptycho.scan.formats import npz, registry
from ptycho.scan.formats.source import Source
from ptycho.settings.request import Reading

BY_KEYS = {
    "key": ("patterns=/entry_1/data_1/data", "positions=/entry_1/data_1/translation"),
    "positions_unit": "m",
    "energy": "9keV",
    "distance": "2m",
    "detector_pixel": "75um",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with a file of each format, and how each is read."""
    folder = tmp_path_factory.mktemp("whole")
    ways = beamline.write_all(folder, oracles.make_scan(count=12, N=32, shape=(70, 80), seed=4))
    return folder, ways


FILES = (
    *(
        "scan.cxi",
        "plain.h5",
        "diffraction.h5",
        "scan.ptyd",
        "fold_dp.hdf5",
        "prepared.h5",
        "nanomax.h5",
        "scan.mat",
    ),
    *("tike.npz", "master.h5"),
)


@pytest.fixture
def desk(whole, tmp_path, monkeypatch):
    """A copy of the folder, in which a test is."""
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(path, how):
    """What is said where a file is refused; nothing where it is a scan."""
    try:
        registry.read(path, Reading(**how))
    except PtychoError as error:
        return str(error)
    except (RuntimeError, OSError, ValueError, TypeError, ArithmeticError, LookupError, MemoryError) as error:
        pytest.fail(f"{type(error).__name__}: {error}")
    return ""


def test_there_is_a_file_of_each_format_and_it_is_read(whole, desk):
    assert list(whole[1]) == list(FILES)
    assert [refused(desk / name, how) for name, how in whole[1].items()] == [""] * len(FILES)


@pytest.mark.finding("FOREIGN-TREE-001")
@pytest.mark.parametrize(
    "key",
    [f"{beamline.DETECTOR}/distance", f"{beamline.DETECTOR}/data", beamline.SAMPLE],
    ids=["distance", "patterns", "translations"],
)
def test_a_dataset_with_a_type_and_no_value_is_none(key, desk):
    """HDF5 has such ones, and h5py gives them a shape of None."""
    with h5py.File(desk / "scan.cxi", "a") as file:
        del file[key]
        file[key] = h5py.Empty("f4")
    assert f"{desk / 'scan.cxi'}: " in refused(desk / "scan.cxi", {})


@pytest.mark.parametrize("kind", ["cut", "flipped", "inserted", "array", "member"])
def test_a_damaged_file_is_read_or_refused_with_its_name(kind, whole, desk):
    path, told = desk / "scan.cxi", []
    content = path.read_bytes()
    for number in range(30):
        path.write_bytes(mutations.ALL[kind](random.Random(number), content))
        told.append(refused(path, BY_KEYS if number % 2 else {}))
    assert any(told)
    assert all(str(path) in words for words in told if words)


@pytest.mark.filterwarnings("ignore:Casting complex")
@pytest.mark.parametrize("name", FILES)
def test_so_is_one_of_any_format(name, whole, desk):
    """A few of each here; tests/readers.py goes on with them."""
    path, told = desk / name, []
    content = path.read_bytes()
    for number, kind in enumerate(["array", "member", "flipped", "cut"] * 3):
        path.write_bytes(mutations.ALL[kind](random.Random(number), content))
        told.append(refused(path, whole[1][name]))
    assert any(told)
    assert all(str(desk) in words or name in words for words in told if words)


def test_a_hundred_million_values_are_not_read(desk):
    """HDF5 says for free that it holds them."""
    with h5py.File(desk / "nanomax.h5", "a") as file:
        del file["entry/measurement/pseudo/x"]
        file.create_dataset("entry/measurement/pseudo/x", (10**9,), "f8", chunks=(1000,))
    words = refused(
        desk / "nanomax.h5", {name: BY_KEYS[name] for name in ("energy", "distance", "detector_pixel")}
    )
    assert "/entry/measurement/pseudo/x holds 1000000000 values; expected at most 100000000" in words


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataContractError, match=r"none\.cxi: no such file"):
        registry.read(tmp_path / "none.cxi")


def test_of_a_long_scan_of_the_contract_the_middle_is_taken(tmp_path):
    scan = oracles.make_scan(count=40, N=32, seed=4)
    npz.write_npz(tmp_path / "scan.npz", scan)
    part = registry.read(tmp_path / "scan.npz", most=15)
    away = np.hypot(*(scan.positions - np.median(scan.positions, axis=0)).T)
    np.testing.assert_array_equal(part.positions, scan.positions[np.sort(np.argsort(away)[:15])])
    assert part.metadata["read"] == ["the 15 patterns about the middle are taken of 40"]


class Theirs:
    """A format of another package: a folder's worth of text."""

    def fits(self, path):
        return path.suffix == ".theirs"

    def read(self, path):
        if path.read_text() == "broken":
            raise KeyError("frames")
        count = int(path.read_text())
        frames = np.random.default_rng(0).poisson(9.0, (count, 32, 32))
        return Source(patterns=frames, positions=np.arange(2.0 * count).reshape(count, 2), pixels_of=32)


class TestFormatsOfOthers:
    @pytest.fixture
    def path(self, tmp_path, monkeypatch):
        class Entry:
            name = "theirs"
            load = staticmethod(Theirs)

        monkeypatch.setattr(
            metadata, "entry_points", lambda group: [Entry] if group == "ptycho.scan.formats" else []
        )
        return tmp_path / "scan.theirs"

    def test_an_entry_point_reads_what_nobody_else_knows(self, path):
        path.write_text("9")
        scan = registry.read(path, Reading(pixels=32))
        assert (len(scan), scan.N) == (9, 32)
        np.testing.assert_allclose(np.diff(scan.positions, axis=0), 2.0)

    def test_what_it_raises_is_told_with_its_name(self, path):
        path.write_text("broken")
        with pytest.raises(
            DataContractError, match=r"the format theirs of another package failed \(KeyError: 'frames'\)"
        ):
            registry.read(path)

    def test_other_files_are_not_its_own(self, path):
        path.with_suffix(".other").write_text("9")
        with pytest.raises(DataContractError, match="is neither NPZ, HDF5"):
            registry.read(path.with_suffix(".other"))
