"""Positions in a table of text: CSV, or columns apart by spaces, as motors and interferometers are logged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ptycho.base import machine, units
from ptycho.base.errors import DataContractError
from ptycho.scan.formats import keyed
from ptycho.scan.formats.source import Source

MOST_BYTES = 2**28
"""Of a file of text."""
HEADER = 100
"""Lines before the numbers begin."""
INDEX, X, Y = keyed.INDEX, keyed.X, keyed.Y


def read(path: Path, keys: Mapping[str, str], positions_unit: str | None) -> Source:
    """Return the positions of a table.

    Parameters
    ----------
    path : Path
    keys : mapping
        x=COLUMN, y=COLUMN, index=COLUMN: numbers from 0, or the names that stand above the columns; a minus sign before it turns
        the coordinate about. Where there are two columns, they are x and y.
    positions_unit : str
        What they are counted in.

    Raises
    ------
    DataContractError
        No table of numbers, other columns, or no unit.
    """
    names, values = _numbers(path)
    if keyed.POSITIONS in keys or (not keys and values.shape[1] != 2):
        raise DataContractError(
            f"{path}: has {values.shape[1]} columns ({_shown(names, values)}); say which are meant: --key x=0 --key y=1"
        )
    if positions_unit is None:
        raise DataContractError(
            f"{path}: does not say what positions are counted in; add --positions-unit um"
        )
    metres = units.read(f"1 {positions_unit}", "m", "--positions-unit", "um")
    keys = {X: "0", Y: "1"} | dict(keys)
    x, y = (metres * _column(path, names, values, keys[name]) for name in (X, Y))
    index = _column(path, names, values, keys[INDEX]) if INDEX in keys else None
    if index is not None and not (index == np.round(index)).all():
        raise DataContractError(f"{path}: column {keys[INDEX]} must hold whole numbers, as an index does")
    return Source(
        positions=np.stack([x, y], axis=1),
        position_indexes=None if index is None else index.astype(np.int64),
        lines=(
            f"positions are columns {keys[X]} (x, along columns of the detector) and {keys[Y]} (y, along rows) of {path.name}",
        ),
    )


def _numbers(path: Path) -> tuple[list[str], np.ndarray]:
    """Return the names above the columns, where there are any, and the numbers (K, columns) of a file.

    Lines before the numbers may hold anything; after them every line must be one of numbers.
    """
    machine.check_file(path, DataContractError)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataContractError(
                f"{path}: is larger than {MOST_BYTES} bytes, which no table of positions is"
            )
        lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        raise DataContractError(
            f"{path}: is no table of text, nor another file that holds positions"
        ) from None
    first = next((row for row, line in enumerate(lines[:HEADER]) if _row(line) is not None), None)
    if first is None:
        raise DataContractError(f"{path}: no line of the first {HEADER} holds numbers alone")
    rows = [_row(line) for line in lines[first:]]
    count = len(rows[0] or ())
    odd = next((row for row, values in enumerate(rows) if values is None or len(values) != count), None)
    if odd is not None:
        raise DataContractError(
            f"{path}: line {first + odd + 1} must hold {count} numbers; got {lines[first + odd][:60]!r}"
        )
    names = _parts(lines[first - 1].lstrip("#")) if first else []
    return (names if len(names) == count else []), np.array(rows, np.float64)


def _parts(line: str) -> list[str]:
    return [part.strip() for part in re.split(r"[,;\t]|\s+", line.strip()) if part.strip()]


def _row(line: str) -> list[float] | None:
    """Return the numbers of a line, None where it holds something else."""
    try:
        return [float(part) for part in _parts(line)] or None
    except ValueError:
        return None


def _column(path: Path, names: list[str], values: np.ndarray, key: str) -> np.ndarray:
    """Return the column of a number or name, turned about where a minus sign stands before it."""
    sign, name = keyed.signed(key)
    number = names.index(name) if name in names else int(name) if name.isdecimal() else values.shape[1]
    if number >= values.shape[1]:
        raise DataContractError(f"{path}: has no column {name}; expected one of {_shown(names, values)}")
    return sign * values[:, number]


def _shown(names: list[str], values: np.ndarray) -> str:
    return ", ".join(names) if names else f"0 to {values.shape[1] - 1}"
