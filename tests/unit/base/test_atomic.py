"""Atomic writing: the old file or the whole new one, never a part, never a leftover."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from ptycho.base import atomic
from ptycho.base.errors import RunDirectoryError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class TestReplacing:
    def test_a_finished_block_leaves_the_new_file_alone(self, tmp_path):
        path = tmp_path / "a.bin"
        path.write_bytes(b"old")
        with atomic.replacing(path) as stream:
            stream.write(b"new")
            assert path.read_bytes() == b"old"
        assert path.read_bytes() == b"new"
        assert names(tmp_path) == ["a.bin"]

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
    def test_a_broken_block_leaves_the_old_file_and_nothing_else(self, tmp_path, error):
        path = tmp_path / "a.bin"
        path.write_bytes(b"old")

        def broken():
            with atomic.replacing(path) as stream:
                stream.write(b"half of the n")
                raise error("boom")

        with pytest.raises(error, match="boom"):
            broken()
        assert path.read_bytes() == b"old"
        assert names(tmp_path) == ["a.bin"]

    def test_a_full_disk_is_told_in_words(self, tmp_path):
        path = tmp_path / "a.bin"

        def full():
            with atomic.replacing(path) as stream:
                stream.write(b"half")
                raise OSError(28, "No space left on device")

        with pytest.raises(RunDirectoryError, match=r"cannot write .*a\.bin: No space left on device"):
            full()
        assert names(tmp_path) == []

    def test_missing_folders_are_made(self, tmp_path):
        with atomic.replacing(tmp_path / "x" / "y" / "a.bin") as stream:
            stream.write(b"1")
        assert (tmp_path / "x" / "y" / "a.bin").read_bytes() == b"1"

    def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with (
            pytest.raises(
                RunDirectoryError, match=r"cannot write .*a\.bin: .*choose another folder with --out"
            ),
            atomic.replacing(tmp_path / "file" / "a.bin"),
        ):
            pass
        with (
            pytest.raises(RunDirectoryError, match=r"cannot write /proc/nowhere/a\.bin"),
            atomic.replacing(Path("/proc/nowhere/a.bin")),
        ):
            pass

    def test_the_name_of_a_folder_cannot_be_taken(self, tmp_path):
        (tmp_path / "taken").mkdir()
        with (
            pytest.raises(RunDirectoryError, match=r"cannot write .*taken: Is a directory"),
            atomic.replacing(tmp_path / "taken") as stream,
        ):
            stream.write(b"1")
        assert names(tmp_path) == ["taken"]

    def test_others_may_read_the_file(self, tmp_path):
        atomic.write_text(tmp_path / "a.txt", "x")
        assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


class TestArrays:
    @pytest.mark.finding("DATA-002")
    @pytest.mark.parametrize("compress", [False, True])
    def test_they_come_back_without_pickle_value_and_type(self, tmp_path, compress):
        arrays = {
            "a": np.arange(6, dtype=np.uint16).reshape(2, 3),
            "z": np.array([1 + 2j, np.nan], np.complex64),
            "empty": np.zeros((0, 4)),
            "text": np.array("größe"),
        }
        atomic.write_arrays(tmp_path / "a.npz", arrays, compress=compress)
        with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
            assert sorted(found.files) == sorted(arrays)
            for key, value in arrays.items():
                np.testing.assert_array_equal(found[key], value)
                assert found[key].dtype == value.dtype

    @pytest.mark.finding("DATA-002")
    def test_what_would_need_pickle_is_refused_before_anything_is_written(self, tmp_path):
        with pytest.raises(TypeError, match="array 'meta' has dtype object and would need pickle"):
            atomic.write_arrays(tmp_path / "a.npz", {"a": np.ones(3), "meta": np.array({"b": 1})})
        assert names(tmp_path) == []

    def test_the_name_is_taken_as_it_is(self, tmp_path):
        atomic.write_arrays(tmp_path / "weights", {"a": np.ones(3)})
        assert names(tmp_path) == ["weights"]


class TestJson:
    def test_everything_becomes_plain_and_strict(self, tmp_path):
        value = {
            "array": np.array([[1, 2], [3, 4]], np.int16),
            "scalar": np.float32(0.5),
            "flag": np.bool_(True),
            "tuple": (1, Path("a") / "b"),
            3: "key",
            "undefined": [math.nan, -math.inf, np.float64("nan"), np.array([np.inf, 1.0])],
            "word": "größe",
            "none": None,
        }
        atomic.write_json(tmp_path / "a.json", value)

        def refuse(constant):
            raise AssertionError(f"{constant} is no JSON")

        found = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"), parse_constant=refuse)
        assert found == {
            "array": [[1, 2], [3, 4]],
            "scalar": 0.5,
            "flag": True,
            "tuple": [1, "a/b"],
            "3": "key",
            "undefined": [None, None, None, [None, 1.0]],
            "word": "größe",
            "none": None,
        }
        assert next(iter(found)) == "array"

    def test_what_has_no_json_form_leaves_the_old_file(self, tmp_path):
        path = tmp_path / "a.json"
        path.write_text("{}")
        with pytest.raises(TypeError):
            atomic.write_json(path, {"a": object()})
        assert path.read_text() == "{}"
        assert names(tmp_path) == ["a.json"]

    def test_text_is_utf8_whatever_the_locale(self, tmp_path):
        atomic.write_text(tmp_path / "a.txt", "µ → é")
        assert (tmp_path / "a.txt").read_bytes().decode("utf-8") == "µ → é"
