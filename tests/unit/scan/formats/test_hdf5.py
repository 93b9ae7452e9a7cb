"""HDF5 files of other people: nothing is followed out of their folder, and what cannot be read is named."""

import importlib.util
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from ptycho.base.errors import DataContractError
from ptycho.scan.formats import hdf5


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scan.h5"


def refused(path, key):
    """What is said where a dataset is not read."""
    with hdf5.opened(path) as tree, pytest.raises(DataContractError) as stop:
        tree.array(key)
    return str(stop.value)


def test_a_dataset_is_found_through_links_within_the_file(path):
    with h5py.File(path, "w") as file:
        file["a/data"] = np.arange(3)
        file["b"] = h5py.SoftLink("/a")
    with hdf5.opened(path) as tree:
        assert tree.array("/b/data").tolist() == [0, 1, 2]
        assert tree.first("/none", "/b/data") == "/b/data"


@pytest.mark.finding("LINK-OUTSIDE-001")
def test_a_link_to_a_file_beside_it_is_followed_and_one_out_of_the_folder_is_not(path, tmp_path):
    (tmp_path / "home").mkdir()
    inside, outside = tmp_path / "home" / "scan.h5", tmp_path / "secret.h5"
    for place in (outside, tmp_path / "home" / "part.h5"):
        with h5py.File(place, "w") as file:
            file["data"] = np.arange(3)
    with h5py.File(inside, "w") as file:
        file["part"] = h5py.ExternalLink("part.h5", "/data")
        file["up"] = h5py.ExternalLink("../secret.h5", "/data")
        file["far"] = h5py.ExternalLink(str(outside), "/data")
    with hdf5.opened(inside) as tree:
        assert tree.array("/part").tolist() == [0, 1, 2]
    for key in ("/up", "/far"):
        words = refused(inside, key)
        assert f"{key} is a link to " in words
        assert words.endswith("secret.h5, outside of the file's folder; copy that file beside this one")


@pytest.mark.finding("LINK-OUTSIDE-001")
def test_nor_are_values_read_that_lie_in_files_elsewhere(tmp_path):
    (tmp_path / "home").mkdir()
    inside, outside = tmp_path / "home" / "scan.h5", tmp_path / "secret.h5"
    with h5py.File(outside, "w") as file:
        file["data"] = np.arange(3.0)
    (tmp_path / "secret.raw").write_bytes(np.arange(3.0).tobytes())
    layout = h5py.VirtualLayout((3,), float)
    layout[:] = h5py.VirtualSource(str(outside), "data", (3,))
    with h5py.File(inside, "w") as file:
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("raw", (3,), float, external=[(str(tmp_path / "secret.raw"), 0, 24)])
    assert "secret.h5, outside of the file's folder" in refused(inside, "/virtual")
    assert "secret.raw, outside of the file's folder" in refused(inside, "/raw")


@pytest.mark.parametrize("key", ["/none", "/group", "/nowhere", "/circle", "", "/"])
def test_where_no_dataset_is_that_is_said(path, key):
    with h5py.File(path, "w") as file:
        file.create_group("group")
        file["nowhere"] = h5py.SoftLink("/not/there")
        file["circle"] = h5py.SoftLink("/circle")
    assert refused(path, key) == f"{path}: holds no dataset {key}"


def test_a_filter_that_is_not_there_is_named_with_the_remedy(path, monkeypatch):
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=np.arange(100), compression="lzf")
    available = h5py.h5z.filter_avail
    monkeypatch.setattr(
        h5py.h5z, "filter_avail", lambda number: number != h5py.h5z.FILTER_LZF and available(number)
    )
    words = "/data is compressed by a filter (32000), which is not installed; pip install 'ptycho[filters]'"
    assert refused(path, "/data") == f"{path}: {words}"


def test_units_are_obeyed(path):
    with h5py.File(path, "w") as file:
        for name, units in (
            ("bytes", np.bytes_("mm")),
            ("text", "um"),
            ("odd", "furlong fortnights"),
            ("mass", "kg"),
        ):
            file[name] = 2.0
            file[name].attrs["units"] = units
        file["none"], file["list"] = 2.0, [1.0, 2.0]
    with hdf5.opened(path) as tree:
        assert tree.number("/bytes", "m", "m") == pytest.approx(2e-3)
        assert tree.number("/text", "m", "m") == pytest.approx(2e-6)
        assert tree.number("/none", "cm", "m") == pytest.approx(2e-2)
        for key in ("/odd", "/mass"):
            with pytest.raises(DataContractError, match=f"{key} has units .*; expected some of m"):
                tree.number(key, "m", "m")
        with pytest.raises(DataContractError, match="/list must be one number"):
            tree.number("/list", "m", "m")


def test_a_walk_ends_where_groups_lead_into_each_other(path):
    with h5py.File(path, "w") as file:
        file["a/data"] = np.arange(3)
        file["a/b"] = file["/"]
        file["a/c"] = h5py.SoftLink("/a")
    with hdf5.opened(path) as tree:
        keys = [key for key, _ in tree.walk()]
    assert keys[0] == "/a/data"
    assert len(keys) < 5


@pytest.mark.parametrize("content", [b"", hdf5.MAGIC, hdf5.MAGIC + b"\0" * 5000, b"PK\3\4 an archive"])
def test_what_is_no_hdf5_is_told(path, content):
    path.write_bytes(content)
    with pytest.raises(DataContractError, match=r"scan\.h5: not a complete HDF5 file"), hdf5.opened(path):
        pass


def test_a_pipe_is_not_opened(path):
    os.mkfifo(path)
    with pytest.raises(DataContractError, match="is a pipe or a device"), hdf5.opened(path):
        pass


def test_more_than_the_memory_is_refused_before_it_is_read(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("data", (10**7, 10**6), np.float64, chunks=(1, 1000))
    assert "/data needs 74505.8 GiB but the machine has " in refused(path, "/data")


def test_a_text_that_hdf5_reads_for_ever_is_given_up(tmp_path, monkeypatch):
    """A heap whose first entry has the size 0: the library's own loop over its entries has no end."""
    monkeypatch.setattr(hdf5, "SECONDS", 0.5)
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        file["x"] = [1.0, 2.0]
        file["x"].attrs["units"] = "um"
    whole = bytearray(path.read_bytes())
    heap = whole.find(b"GCOL")
    whole[heap + 24 : heap + 32] = bytes(8)
    path.write_bytes(whole)
    with (
        pytest.raises(DataContractError, match=r"scan\.h5: is damaged \(the text of /x cannot be read\)"),
        hdf5.opened(path) as tree,
    ):
        tree.factor("/x", "m", "m")


@pytest.mark.skipif(
    importlib.util.find_spec("hdf5plugin") is None, reason="hdf5plugin is not installed: tox -e electrons"
)
def test_a_filter_of_hdf5plugin_is_found_where_that_is_installed(tmp_path):
    """Its filters are known to HDF5 once it is imported, and not before: the file is written by another process."""
    path = tmp_path / "scan.h5"
    writes = (
        "import hdf5plugin, h5py, numpy, sys;"
        "h5py.File(sys.argv[1], 'w').create_dataset('d', data=numpy.arange(100), chunks=(10,), **hdf5plugin.Bitshuffle())"
    )
    subprocess.run([sys.executable, "-c", writes, str(path)], check=True)
    with hdf5.opened(path) as tree:
        assert tree.reals("/d").tolist() == list(range(100))
