"""Compiled loops are kept where the user alone can write, and a damaged one is compiled anew."""

import os
import pickle
import subprocess
import sys

import pytest

from ptycho.solve import compiling

SOLVE = """
import numpy as np
from ptycho.solve import places
where = places.places_of(np.array([[20.0, 20.5], [30, 30.25]]), 32)
canvas = np.ones(where.shape, np.complex64)
assert np.allclose(where.cut(canvas, np.arange(2)), 1)
"""


def cut(home):
    """Cut two patches in a process whose user has this home; return what it complains of."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", SOLVE], env=environment, capture_output=True, text=True, check=True
    )
    return done.stderr


class Bomb:
    """Makes a folder where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def kept(home):
    return sorted((home / ".cache" / "ptycho" / "kernels").rglob("*.nb*"))


def test_they_are_kept_in_a_folder_of_the_user_alone(tmp_path):
    assert cut(tmp_path) == ""
    folder = tmp_path / ".cache" / "ptycho" / "kernels"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert kept(tmp_path)


@pytest.mark.finding("KERNEL-CACHE-001")
@pytest.mark.parametrize("kind", ["shared", "link", "another's"])
def test_a_folder_that_others_can_write_is_not_used(kind, tmp_path, monkeypatch):
    folder = tmp_path / "kernels"
    monkeypatch.setattr(compiling.machine, "user_cache", lambda: tmp_path)
    if kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        assert compiling.private_folder() == folder
    if kind == "shared":
        folder.chmod(0o770)
    if kind == "another's":
        monkeypatch.setattr(os, "geteuid", lambda: folder.lstat().st_uid + 1)
    assert compiling.private_folder() is None


def test_a_planted_one_does_not_run_and_a_damaged_one_is_compiled_anew(tmp_path):
    cut(tmp_path)
    for path in kept(tmp_path):
        path.write_bytes(b"\x80\x05damaged")
    assert "is compiled anew" in cut(tmp_path)
    folder = tmp_path / ".cache" / "ptycho" / "kernels"
    folder.chmod(0o777)  # somebody else may have been here
    for path in kept(tmp_path):
        path.write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    assert "is not a folder of yours alone" in cut(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_without_a_home_nothing_is_kept(monkeypatch):
    monkeypatch.setattr(compiling.machine, "user_cache", lambda: None)
    assert compiling.private_folder() is None
