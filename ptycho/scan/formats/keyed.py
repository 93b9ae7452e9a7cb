"""HDF5 files of any layout: a person says where patterns and positions lie, or is told where they may lie."""

from __future__ import annotations

from collections.abc import Mapping

import h5py
import numpy as np

from ptycho.base import errors, units
from ptycho.base.errors import ConfigError, DataContractError
from ptycho.scan.formats import frames
from ptycho.scan.formats.hdf5 import Tree
from ptycho.scan.formats.source import Source
from ptycho.scan.optics import Optics

PATTERNS, AMPLITUDES, POSITIONS, X, Y = "patterns", "amplitudes", "positions", "x", "y"
NAMES = (PATTERNS, AMPLITUDES, POSITIONS, X, Y, "mask", "probe", "energy", "distance", "detector_pixel")
SMALLEST = 16
"""Side of a frame, px, below which an array is no stack of patterns."""
SHOWN = 3


def parsed(texts: tuple[str, ...]) -> dict[str, str]:
    """Return {name: path} of texts NAME=PATH; raise ConfigError for another name, for none, or for one that comes twice."""
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
    if (PATTERNS in keys) == (AMPLITUDES in keys):
        raise ConfigError("--key: give either patterns=PATH (counts) or amplitudes=PATH (their square roots)")
    if (POSITIONS in keys) == (X in keys and Y in keys):
        raise ConfigError("--key: give either positions=PATH or both x=PATH and y=PATH")
    return keys


def read(tree: Tree, keys: Mapping[str, str], positions_unit: str | None = None) -> Source:
    """Return what a file holds at the paths that a person names, see :data:`NAMES`.

    Positions are taken as they are: x along the columns, y along the rows of the detector. Raises DataContractError for paths at
    which nothing is, or something else, and for positions of an unknown unit.
    """
    amplitudes = AMPLITUDES in keys
    stack = frames.stack(tree, keys[AMPLITUDES if amplitudes else PATTERNS])
    positions = _positions(tree, keys, positions_unit)
    mask, probe = keys.get("mask"), keys.get("probe")
    energy = tree.number(keys["energy"], "eV", "J") if "energy" in keys else None
    kind = "amplitudes" if amplitudes else "counts"
    where = ", ".join(keys[name] for name in (POSITIONS, X, Y) if name in keys)
    return Source(
        patterns=stack,
        positions_m=positions,
        optics=Optics(
            None if energy is None else units.wavelength_of(energy),
            *(
                tree.number(keys[name], "m", "m") if name in keys else None
                for name in ("distance", "detector_pixel")
            ),
        ),
        bad=None if mask is None else frames.bad_pixels(tree, mask),
        probe=None if probe is None else frames.probe(tree, probe),
        amplitudes=amplitudes,
        lines=(
            f"patterns are {kind} from {keys[AMPLITUDES if amplitudes else PATTERNS]}",
            f"positions are {where}, as they are: x along columns, y along rows",
        ),
    )


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
        values = tree.reals(keys[POSITIONS])
        if values.ndim == 2 and values.shape[0] in (2, 3) and values.shape[1] > 2:  # a row for each axis
            values = values.T
        if values.ndim != 2 or values.shape[1] not in (2, 3):
            raise DataContractError(
                f"{tree.path}: {keys[POSITIONS]} must be positions (M, 2), x and y; got {values.shape}"
            )
        return values[:, :2] * _metres(tree, keys[POSITIONS], positions_unit)
    columns = []
    for name in (X, Y):
        values = tree.reals(keys[name]).reshape(-1)
        columns.append(values * _metres(tree, keys[name], positions_unit))
    if len(columns[0]) != len(columns[1]):
        raise DataContractError(
            f"{tree.path}: {keys[X]} has {len(columns[0])} values and {keys[Y]} has {len(columns[1])}; give two of one scan"
        )
    return np.stack(columns, axis=1)


def _metres(tree: Tree, key: str, positions_unit: str | None) -> float:
    """Return how many metres one of the values at a path is: what a person says counts more than what the file says."""
    if positions_unit is not None:
        return units.read(f"1 {positions_unit}", "m", "--positions-unit", "um")
    if "units" not in tree.dataset(key).attrs:
        raise DataContractError(
            f"{tree.path}: {key} has no units; add --positions-unit um, or what they are in"
        )
    return tree.factor(key, "m", "m")


def _may_be_patterns(dataset: h5py.Dataset) -> bool:
    return dataset.ndim in (3, 4) and min(dataset.shape[-2:]) >= SMALLEST


def _tables(count: int) -> tuple[tuple[int, int], ...]:
    return ((count, 2), (count, 3), (2, count), (3, count))


def _is_pair(x: str, y: str) -> bool:
    """Whether two paths differ by x against y alone, in one letter."""
    differ = [(a, b) for a, b in zip(x.lower(), y.lower(), strict=False) if a != b]
    return len(x) == len(y) and differ == [("x", "y")]
