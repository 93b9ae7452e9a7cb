"""MATLAB files before version 7.3; those of 7.3 are HDF5."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import io

from ptycho.base import archive, machine
from ptycho.base.errors import DataContractError
from ptycho.scan.formats.tree import Arrays

MAGIC = b"MATLAB 5.0 MAT-file"
NUMBERS = {
    "double",
    "single",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "logical",
}
SIZES = {"double": 8, "single": 4, "int64": 8, "uint64": 8, "int32": 4, "uint32": 4, "int16": 2, "uint16": 2}
DEEPEST = 8
"""Structures that nest deeper are not looked into."""


def opened(path: Path) -> Arrays:
    """Read the arrays of a file, those in structures by their path (p.lambda is /p/lambda), axes as HDF5 shows MATLAB's.

    Raises DataContractError for a file that is damaged, or does not go into memory.
    """
    try:
        variables = io.whosmat(str(path), appendmat=False)
        wanted = [name for name, _, kind in variables if kind in NUMBERS or kind == "struct"]
        needed = sum(_bytes(shape, kind) for _, shape, kind in variables)
        machine.check_memory(needed, f"{path}:", "store the scan in parts", DataContractError)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that come twice
            stored = io.loadmat(str(path), variable_names=wanted, simplify_cells=True, appendmat=False)
    except DataContractError:
        raise
    except (*archive.BROKEN, io.matlab.MatReadError, OSError) as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataContractError(f"{path}: not a complete MATLAB file ({words})") from None
    return Arrays(path, dict(_flat("", stored, 0)), column_major=True)


def _bytes(shape: tuple[int, ...], kind: str) -> float:
    """Return what a variable takes, by what its header says; complex ones may take twice that."""
    return float(np.prod(np.array(shape, float))) * SIZES.get(kind, 1)


def _flat(place: str, values: Any, depth: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (path, array) of numbers in nested dictionaries."""
    for name, value in values.items():
        if isinstance(value, dict) and depth < DEEPEST:
            yield from _flat(f"{place}{name}/", value, depth + 1)
        elif isinstance(value, (int, float, complex, np.number)) or (
            isinstance(value, np.ndarray) and value.dtype.kind in "biufc"
        ):
            yield f"{place}{name}", np.asarray(value).T
