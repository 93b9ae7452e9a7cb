"""A new finding: its entry, its test and its fault, as files that fail until they are filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ptycho.base import atomic
from ptycho.base.errors import LedgerError
from ptycho.testing import ledger

ENTRY = """
[[finding]]
id = "{id}"
title = "{todo}"
stage = "run"
tier = "unit"
source = "{todo}"
symptom = "{todo}"
mechanism = "{todo}"
invariant = "{todo}"
remedy = "{todo}"
"""
TEST = '''"""{id}."""

import pytest


@pytest.mark.finding("{id}")
def test_{slug}():
    pytest.fail("{todo}: assert what must hold")
'''
FAULT = '''"""Faults of {id}."""

from __future__ import annotations

from typing import Any

from ptycho.testing.fault import Fault


def _{slug}(original: Any) -> Any:
    """{todo}: say what goes wrong."""
    return lambda *args, **named: original(*args, **named)


FAULTS = (Fault("{id}", "{todo}", "{todo}:function", _{slug}),)
'''


def new(name: str, ledger_file: Path, tests: Path, faults: Path) -> dict[str, Path]:
    """Write entry, test and fault of a new finding.

    Parameters
    ----------
    name : str
        Its ID.
    ledger_file : Path
        TOML file that gets the entry at its end.
    tests, faults : Path
        Folders that get `test_NAME.py` and `NAME.py`.

    Returns
    -------
    dict
        The three files, by what they hold.

    Raises
    ------
    LedgerError
        The ID cannot be one, or the finding, its test or its fault is there already; nothing is written then.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9 /().#_-]{2,79}", name):
        raise LedgerError(
            f"{name!r} cannot be the ID of a finding: expected 3 to 80 letters, digits and - _ / . ( ) #, a letter first"
        )
    slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    text = ledger_file.read_text(encoding="utf-8") if ledger_file.is_file() else ""
    if not text:
        raise LedgerError(f"{ledger_file}: no ledger there")
    if any(entry.id == name for entry in ledger.read(ledger_file)):
        raise LedgerError(f"{ledger_file}: has a finding {name} already")
    files = {"entry": ledger_file, "test": tests / f"test_{slug}.py", "fault": faults / f"{slug}.py"}
    for path in (files["test"], files["fault"]):
        if not path.parent.is_dir():
            raise LedgerError(f"{path.parent}: no such folder")
        if path.exists():
            raise LedgerError(f"{path}: is there already")
    words: Mapping[str, str] = {"id": name, "slug": slug, "todo": ledger.TO_BE_WRITTEN}
    atomic.write_text(files["test"], TEST.format(**words))
    atomic.write_text(files["fault"], FAULT.format(**words))
    atomic.write_text(ledger_file, text.rstrip("\n") + "\n" + ENTRY.format(**words))
    return files
