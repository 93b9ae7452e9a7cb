"""Files of any layout: a person says where patterns and positions lie, or is told where they may lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ptycho.base import errors, units
from ptycho.base.errors import ConfigError, DataContractError
from ptycho.scan.formats import frames
from ptycho.scan.formats.source import Source
from ptycho.scan.formats.tree import Tree
from ptycho.scan.optics import Optics

PATTERNS, AMPLITUDES, POSITIONS, X, Y = "patterns", "amplitudes", "positions", "x", "y"
INDEX, PATTERN_INDEX = "index", "pattern_index"
OF_PLACES = (POSITIONS, X, Y, INDEX)
NAMES = (
    PATTERNS,
    AMPLITUDES,
    *OF_PLACES,
    PATTERN_INDEX,
    "mask",
    "probe",
    "energy",
    "distance",
    "detector_pixel",
)
LARGEST = 2**53
"""Numbers up to this are whole ones in float64."""
SMALLEST = 16
"""Side of a frame, px, below which an array is no stack of patterns."""
SHOWN = 3


def parsed(texts: tuple[str, ...]) -> dict[str, str]:
    """Return {name: path} of texts NAME=PATH; raise ConfigError for another name, for one that comes twice, and for half a pair."""
    keys: dict[str, str] = {}
    for text in texts:
        name, _, path = text.partition("=")
        if name not in NAMES or not path:
            raise ConfigError(
                f"--key {text}: expected NAME=PATH with one of {', '.join(NAMES)}{errors.hint(name, NAMES)}"
            )
        if name in keys:
            raise ConfigError(f"--key {name}: is given twice ({keys[name]}, {path}); give it once")
        keys[name] = path
    if PATTERNS in keys and AMPLITUDES in keys:
        raise ConfigError("--key: give either patterns=PATH (counts) or amplitudes=PATH (their square roots)")
    if (X in keys) != (Y in keys) or (POSITIONS in keys and X in keys):
        raise ConfigError("--key: give either positions=PATH or both x=PATH and y=PATH")
    return keys


def of_places(keys: Mapping[str, str]) -> dict[str, str]:
    """Return the keys that say where positions lie, which may be in a file of their own."""
    return {name: path for name, path in keys.items() if name in OF_PLACES}


def of_patterns(keys: Mapping[str, str]) -> dict[str, str]:
    """Return the other keys."""
    return {name: path for name, path in keys.items() if name not in OF_PLACES}


def read(tree: Tree, keys: Mapping[str, str], positions_unit: str | None, known: Source) -> Source:
    """Return what a file holds at the paths that a person names, see :data:`NAMES`; the rest is what is known of it without them.

    Positions are taken as they are, x along the columns, y along the rows of the detector; a minus sign before the path turns them
    about. Raises DataContractError for paths at which nothing is, or something else, and for positions of an unknown unit.
    """
    parts: dict[str, Any] = {}
    lines = list(known.lines)
    patterns = keys.get(PATTERNS, keys.get(AMPLITUDES))
    if patterns is not None:
        parts["patterns"], parts["amplitudes"] = frames.stack(tree, patterns), AMPLITUDES in keys
        lines.append(f"patterns are {'amplitudes' if AMPLITUDES in keys else 'counts'} from {patterns}")
    if POSITIONS in keys or X in keys:
        parts |= {"positions": _positions(tree, keys, positions_unit), "pixels_of": None}
        where = ", ".join(keys[name] for name in (POSITIONS, X, Y) if name in keys)
        lines.append(f"positions are {where}, as they are: x along columns, y along rows")
    for name, field in ((INDEX, "position_indexes"), (PATTERN_INDEX, "pattern_indexes")):
        if name in keys:
            parts[field] = indexes(tree, keys[name])
    if "mask" in keys:
        parts["bad"] = frames.bad_pixels(tree, keys["mask"])
    if "probe" in keys:
        parts["probe"] = frames.probe(tree, keys["probe"])
    own = Optics(
        units.wavelength_of(tree.number(keys["energy"], "eV", "J")) if "energy" in keys else None,
        *(
            tree.number(keys[name], "m", "m") if name in keys else None
            for name in ("distance", "detector_pixel")
        ),
    )
    return replace(known, **parts, optics=own.supplied(known.optics), lines=tuple(lines))


def signed(path: str) -> tuple[float, str]:
    """Return the sign and the path of a text PATH or -PATH."""
    return (-1.0, path[1:]) if path.startswith("-") else (1.0, path)


def indexes(tree: Tree, key: str) -> np.ndarray:
    """Return the numbers (M,) int64 at a path; raise DataContractError for what is no whole number."""
    values = tree.reals(key).reshape(-1)
    if not values.size or not (values == np.round(values)).all() or np.abs(values).max() > LARGEST:
        raise DataContractError(f"{tree.path}: {key} must be whole numbers (M,); got others, or none")
    return values.astype(np.int64)


def proposal(tree: Tree) -> str:
    """Return which keys a person may give, by shapes and names; words that say so where nothing looks like patterns."""
    arrays = {key: dataset for key, dataset in tree.walk() if dataset.dtype.kind in "iuf"}
    stacks = [key for key, dataset in arrays.items() if _may_be_patterns(dataset)]
    if not stacks:
        return "no dataset of it looks like patterns (M, h, w)"
    stacks.sort(key=lambda key: -arrays[key].size)
    shape = arrays[stacks[0]].shape
    count = shape[0] if len(shape) == 3 else shape[0] * shape[1]
    lists = [key for key, dataset in arrays.items() if dataset.ndim == 1 and dataset.size == count]
    tables = [key for key, dataset in arrays.items() if dataset.ndim == 2 and dataset.shape in _tables(count)]
    pairs = [(x, y) for x in lists for y in lists if _is_pair(x, y)]
    words = [f"--key patterns={stacks[0]}"]
    if pairs:
        words += [f"--key x={pairs[0][0]}", f"--key y={pairs[0][1]}"]
    elif tables:
        words.append(f"--key positions={tables[0]}")
    else:
        return f"{words[0]} may be the patterns {shape}; no dataset looks like {count} positions, and they are needed"
    others = stacks[1 : 1 + SHOWN]
    return " ".join(words) + (f" (patterns may also be {', '.join(others)})" if others else "")


def _positions(tree: Tree, keys: Mapping[str, str], positions_unit: str | None) -> np.ndarray:
    """Return the positions (M, 2) [x, y], m."""
    if POSITIONS in keys:
        sign, key = signed(keys[POSITIONS])
        return sign * table(tree, key) * _metres(tree, key, positions_unit)
    columns = []
    for name in (X, Y):
        sign, key = signed(keys[name])
        columns.append(sign * tree.reals(key).reshape(-1) * _metres(tree, key, positions_unit))
    return together(tree, keys[X], columns[0], keys[Y], columns[1])


def together(tree: Tree, x_key: str, x: np.ndarray, y_key: str, y: np.ndarray) -> np.ndarray:
    """Return two coordinates as (M, 2); raise DataContractError where they are not as many."""
    if len(x) != len(y):
        raise DataContractError(
            f"{tree.path}: {x_key} has {len(x)} values and {y_key} has {len(y)}; give two of one scan"
        )
    return np.stack([x, y], axis=1)


def table(tree: Tree, key: str) -> np.ndarray:
    """Return the first two coordinates (M, 2) at a path, whichever axis counts them; raise DataContractError for something else."""
    values = tree.reals(key)
    if values.ndim == 2 and (tree.column_major or (values.shape[0] in (2, 3) and values.shape[1] > 3)):
        values = values.T  # a row for each axis
    if values.ndim != 2 or values.shape[1] not in (2, 3):
        raise DataContractError(f"{tree.path}: {key} must be positions (M, 2), x and y; got {values.shape}")
    return values[:, :2]


def _metres(tree: Tree, key: str, positions_unit: str | None) -> float:
    """Return how many metres one of the values at a path is: what a person says counts more than what the file says."""
    if positions_unit is not None:
        return units.read(f"1 {positions_unit}", "m", "--positions-unit", "um")
    if tree.attribute(key, "units") is None:
        raise DataContractError(
            f"{tree.path}: {key} has no units; add --positions-unit um, or what they are in"
        )
    return tree.factor(key, "m", "m")


def _may_be_patterns(dataset: Any) -> bool:
    return dataset.ndim in (3, 4) and min(dataset.shape[-2:]) >= SMALLEST


def _tables(count: int) -> tuple[tuple[int, int], ...]:
    return ((count, 2), (count, 3), (2, count), (3, count))


def _is_pair(x: str, y: str) -> bool:
    """Whether two paths differ by x against y alone, in one letter."""
    differ = [(a, b) for a, b in zip(x.lower(), y.lower(), strict=False) if a != b]
    return len(x) == len(y) and differ == [("x", "y")]
