"""Files of PtyPy: prepared data (.ptyd), and results (.ptyr), which have the probe and, where it was asked to, the positions."""

from __future__ import annotations

import numpy as np

from ptycho.base import units
from ptycho.base.errors import DataContractError
from ptycho.scan.formats import frames, hdf5, keyed
from ptycho.scan.formats.source import Source
from ptycho.scan.formats.tree import Tree
from ptycho.scan.optics import Optics

NAME = "PtyPy"
CHUNKS, META, CONTENT = "/chunks", "/meta", "/content"
NONE = "None"
"""PtyPy writes 0.0 with this as its `type` where a value is not known."""


def fits(tree: Tree) -> bool:
    """Whether a file is prepared data, or a result."""
    return bool(_chunks(tree) or _storages(tree, "probe"))


def read(tree: Tree) -> Source:
    """Return what a file holds; positions are (row, column) of the beam, as they are.

    Raises DataContractError, naming file and path, for what is of another kind there.
    """
    return _prepared(tree) if _chunks(tree) else _result(tree)


def _prepared(tree: Tree) -> Source:
    chunks = _chunks(tree)
    keys = [f"{chunk}/data" for chunk in chunks]
    places = [keyed.table(tree, f"{chunk}/positions") for chunk in chunks if tree.has(f"{chunk}/positions")]
    numbers = [keyed.indexes(tree, f"{chunk}/indices") for chunk in chunks if tree.has(f"{chunk}/indices")]
    complete = len(places) == len(chunks)
    index = np.concatenate(numbers) if len(numbers) == len(chunks) else None
    energy = _number(tree, f"{META}/energy", "keV", "J")
    return Source(
        patterns=frames.stack(tree, *keys),
        positions=np.concatenate(places)[:, ::-1] if complete else None,
        optics=Optics(
            None if energy is None else units.wavelength_of(energy),
            _number(tree, f"{META}/distance"),
            _number(tree, f"{META}/psize"),
        ),
        bad=_without_weight(tree, chunks),
        pattern_indexes=index,
        position_indexes=index if complete else None,
        lines=(
            f"{NAME}: patterns are counts from {keys[0]}" + (f" to {keys[-1]}" if keys[1:] else ""),
            f"positions are {CHUNKS}/*/positions, as they are: rows before columns",
        ),
    )


def _result(tree: Tree) -> Source:
    (probe, *_) = _storages(tree, "probe")
    place = next(iter(_storages(tree, "positions")), None)
    pixel = _number(tree, f"{probe}/_psize")
    energy = _number(tree, f"{probe}/_energy", "keV", "J")
    modes = frames.probe(tree, f"{probe}/data")
    return Source(
        positions=None if place is None else keyed.table(tree, place)[:, ::-1],
        probe=modes,
        optics=Optics(
            None if energy is None else units.wavelength_of(energy),
            window_m=None if pixel is None else pixel * modes.shape[-1],
        ),
        lines=(
            f"{NAME}: the probe is {probe}/data",
            *(() if place is None else (f"positions are {place}, rows before columns",)),
        ),
    )


def _chunks(tree: Tree) -> list[str]:
    """Return the groups that hold patterns, in the order of their numbers."""
    names = tree.names(CHUNKS) if isinstance(tree, hdf5.Tree) else ()
    return [f"{CHUNKS}/{name}" for name in sorted((n for n in names if n.isdecimal()), key=int)
            if tree.has(f"{CHUNKS}/{name}/data")]  # fmt: skip


def _storages(tree: Tree, kind: str) -> list[str]:
    """Return the paths of what a result has of a kind: groups with data, or datasets."""
    names = tree.names(f"{CONTENT}/{kind}") if isinstance(tree, hdf5.Tree) else ()
    paths = [f"{CONTENT}/{kind}/{name}" for name in sorted(names)]
    return [path for path in paths if tree.has(path) or tree.has(f"{path}/data")]


def _number(tree: Tree, key: str, unit: str = "m", wanted: str = "m") -> float | None:
    """Return the number at a path, which counts `unit`, as `wanted`; None where PtyPy knew none."""
    kind = tree.attribute(key, "type")
    return None if isinstance(kind, str) and kind == NONE else tree.optional(key, unit, wanted)


def _without_weight(tree: Tree, chunks: list[str]) -> np.ndarray | None:
    """Return the pixels (h, w) that have no weight in some pattern; None where there are no weights."""
    keys = [key for chunk in chunks if tree.has(key := f"{chunk}/weights") and tree.dataset(key).size]
    bad = None
    for key in keys or [f"{META}/weight2d"] * tree.has(f"{META}/weight2d"):
        weights = tree.reals(key)
        if weights.ndim not in (2, 3):
            raise DataContractError(f"{tree.path}: {key} must be weights (M, h, w); got {weights.shape}")
        here = (weights == 0).reshape(-1, *weights.shape[-2:]).any(axis=0)
        if bad is not None and bad.shape != here.shape:
            raise DataContractError(
                f"{tree.path}: {key} has weights {here.shape}; the others have {bad.shape}"
            )
        bad = here if bad is None else bad | here
    return bad
