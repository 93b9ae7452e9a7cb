"""Keeps the state of a long computation in a folder, so that it can continue later: its key, its numbers, its arrays."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ptycho.base import archive, atomic, documents, layout
from ptycho.base.errors import PtychoError, RunDirectoryError

T = TypeVar("T")

FILE = layout.CHECKPOINT


def write(folder: Path, key: str, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write `state` (JSON values) and arrays of the work that `key` identifies.

    Arrays are of any shape.
    """
    text = np.array(json.dumps({"key": key, **state}))
    atomic.write_arrays(folder / FILE, {**arrays, "_state": text})


def read(
    folder: Path,
    key: str,
    parse: Callable[[dict[str, Any], dict[str, np.ndarray]], T],
    damaged: str,
) -> T | None:
    """Return what `parse` makes of the state and the arrays in a folder; None where there is no checkpoint.

    Arrays are of any shape, as they were written.

    Raises RunDirectoryError, in the words of `damaged` where `parse` cannot make anything of it, and where the key is
    another one.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        arrays = archive.read_arrays(path)
    except PtychoError as error:
        raise RunDirectoryError(f"{error}; take it away") from None
    try:
        state = documents.parsed(str(arrays.pop("_state")), "checkpoint")
        theirs = state["key"]
        result = parse(state, arrays) if theirs == key else None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, PtychoError):
        raise RunDirectoryError(f"{path}: {damaged}") from None
    if theirs != key:
        raise RunDirectoryError(
            f"{path}: was made with another config, other data or another version of the program; use the same "
            "ones, or another folder with --out"
        )
    return result
