"""Files of PtychoShelves and fold_slice: patterns and positions in two files of one name, or prepared in one; MATLAB wrote them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import fft

from ptycho.base.errors import DataContractError
from ptycho.scan.formats import frames, keyed
from ptycho.scan.formats.source import Source
from ptycho.scan.formats.tree import Tree
from ptycho.scan.optics import Optics

NAME = "PtychoShelves"
PATTERNS, X, Y = "/dp", "/ppX", "/ppY"
WAVELENGTH, PIXEL = "/lambda", "/dx"
DATA_END, PLACES_END = "_dp", "_para"
PREPARED, PLACES = "/measurement/n0/data", "/measurement/n0/positions"
BAD = "/detector/n0/bad_pixels"


def fits(tree: Tree) -> bool:
    """Whether a file has the patterns or the positions of a scan, or both prepared."""
    return tree.has(PATTERNS) or tree.has(X, Y) or tree.has(PREPARED)


def read(tree: Tree) -> Source:
    """Return what a file holds.

    PtychoShelves negates positions twice (scans.positions.hdf5_pos_aps, core.ptycho_adjust_positions): they are what they are.
    Its patterns have their axes in MATLAB's order; prepared ones are transposed back, and have the zero frequency at [0, 0]
    (core.prep_h5data). Raises DataContractError, naming file and path, for what is of another kind there.
    """
    if tree.has(PREPARED):
        return _prepared(tree)
    source = _positions(tree) if tree.has(X, Y) else Source()
    if not tree.has(PATTERNS):
        return source
    patterns = Source(
        patterns=frames.stack(tree, PATTERNS, transposed=True),
        beside=beside(tree.path),
        lines=(
            f"{NAME}: patterns are counts from {PATTERNS}, rows and columns as MATLAB has them (transposed)",
        ),
    )
    return patterns.with_places(source) if source.positions is not None else patterns


def beside(path: Path) -> tuple[Path, ...]:
    """Return where the positions of a file of patterns lie, by its name."""
    stem = path.stem
    return (path.with_name(stem.removesuffix(DATA_END) + PLACES_END + path.suffix),) * stem.endswith(DATA_END)


def _positions(tree: Tree) -> Source:
    x, y = (tree.reals(key).reshape(-1) for key in (X, Y))
    return Source(
        positions=keyed.together(tree, X, x, Y, y),
        optics=Optics(tree.optional(WAVELENGTH, "m", "m")),
        object_pixel_m=tree.optional(PIXEL, "m", "m"),
        lines=(
            f"{NAME}: positions are {X} and {Y} of {tree.path.name}, as they are: x along columns, y along rows",
        ),
    )


def _prepared(tree: Tree) -> Source:
    stack = frames.stack(tree, PREPARED, transposed=False, corner=True)
    return Source(
        patterns=stack,
        positions=keyed.table(tree, PLACES)[:, ::-1] if tree.has(PLACES) else None,
        pixels_of=stack.shape[-1],
        centre=(stack.shape[1] // 2, stack.shape[2] // 2),
        bad=_bad_pixels(tree, stack.shape[1:]) if tree.has(BAD) else None,
        lines=(
            f"{NAME}: patterns are counts from {PREPARED}, with the zero frequency at [0, 0]",
            f"positions are {PLACES}, whole pixels of the object, rows before columns",
        ),
    )


def _bad_pixels(tree: Tree, shape: tuple[int, ...]) -> np.ndarray:
    """Return the mask (h, w) of a list of (row, column) from 0, the zero frequency in the middle."""
    places = keyed.indexes(tree, BAD).reshape(-1, 2)
    if not ((places >= 0) & (places < shape)).all():
        raise DataContractError(
            f"{tree.path}: {BAD} must lie within {shape}; got up to {places.max(axis=0).tolist()}"
        )
    mask = np.zeros(shape, bool)
    mask[places[:, 0], places[:, 1]] = True
    return np.asarray(fft.fftshift(mask))
