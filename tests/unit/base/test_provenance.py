"""What exactly ran: the record names the package that is running, and its hash changes with any source."""

import hashlib
import platform
import sys
from pathlib import Path

import pytest

import ptycho
from ptycho.base import provenance


@pytest.mark.finding("LINES256-IMPORT-PROVENANCE-001")
def test_the_record_names_package_interpreter_and_sources():
    found = provenance.provenance()
    assert Path(found["package_file"]) == Path(ptycho.__file__)
    assert found["python"].endswith(f" {platform.python_version()}")
    assert found["interpreter"] == sys.executable
    assert found["source_hash"] == provenance.source_hash()


@pytest.mark.finding("LINES256-IMPORT-PROVENANCE-001")
def test_the_hash_is_of_every_source_by_name_and_content(tmp_path, monkeypatch):
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "b.py").write_bytes(b"x = 1")
    (tmp_path / "a.py").write_bytes(b"y = 2")
    (tmp_path / "notes.txt").write_bytes(b"no source")
    monkeypatch.setattr(provenance, "_package_folder", lambda: tmp_path)
    expected = hashlib.sha256(b"a.py" + b"y = 2" + b"room/b.py" + b"x = 1").hexdigest()
    assert provenance.source_hash() == expected
    (tmp_path / "room" / "b.py").write_bytes(b"x = 2")
    assert provenance.source_hash() != expected
