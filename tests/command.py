"""The command line as a test calls it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from ptycho.commands import cli

QUICK = (
    *("--set", "training.epochs=1", "--set", "model.warm_steps=4", "--set", "model.steps=1"),
    *("--set", "model.filters=4", "--set", "model.levels=1", "--set", "model.final_steps=0"),
)
"""Options of a network that is small, and trains for one epoch."""


def without_xdist() -> dict[str, str]:
    """Return the environment of a test's own pytest run: it is no worker of the one that runs the test."""
    return {name: value for name, value in os.environ.items() if "XDIST" not in name}


def contents(folder: Path) -> dict[str, str]:
    """Return {path: hash} of all files below a folder: two folders that differ are told by short texts."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def call(*arguments: str) -> int:
    """Run a command in this process and return its exit code."""
    with pytest.raises(SystemExit) as stop:
        cli.main(list(arguments))
    return stop.value.code
