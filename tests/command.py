"""The command line as a test calls it."""

from __future__ import annotations

import pytest

from ptycho import cli


def call(*arguments: str) -> int:
    """Run a command in this process and return its exit code."""
    with pytest.raises(SystemExit) as stop:
        cli.main(list(arguments))
    return stop.value.code
