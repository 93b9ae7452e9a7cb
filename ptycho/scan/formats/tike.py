"""Arrays as tike's tests keep them: intensities with the zero frequency at [0, 0], positions of a patch's first pixel."""

from __future__ import annotations

import numpy as np
from scipy import fft

from ptycho.base.errors import DataContractError
from ptycho.scan.formats import frames
from ptycho.scan.formats.source import Source
from ptycho.scan.formats.tree import Tree

NAME = "tike"
DATA, SCAN, PROBE = "/data", "/scan", "/probe"


def fits(tree: Tree) -> bool:
    """Whether a file has these arrays."""
    return tree.has(DATA, SCAN)


def read(tree: Tree) -> Source:
    """Return what a file holds; raise DataContractError, naming file and key, for what is of another kind there."""
    patterns, positions = (_one(tree, key, tree.array(key), ndim) for key, ndim in ((DATA, 3), (SCAN, 2)))
    if positions.shape[-1] != 2 or patterns.dtype.kind not in "iuf" or positions.dtype.kind not in "iuf":
        raise DataContractError(
            f"{tree.path}: {DATA} must be real (M, h, w) and {SCAN} (M, 2); got {patterns.shape} and {positions.shape}"
        )
    return Source(
        patterns=fft.fftshift(patterns, axes=(-2, -1)),
        positions=positions[:, ::-1].astype(np.float64),
        pixels_of=patterns.shape[-1],
        centre=(patterns.shape[1] // 2, patterns.shape[2] // 2),
        probe=padded(frames.probe(tree, PROBE), patterns.shape[-1]) if tree.has(PROBE) else None,
        lines=(
            f"{NAME}: patterns are counts from {DATA}, with the zero frequency at [0, 0]",
            f"positions are {SCAN}, pixels of the object, rows before columns",
        ),
    )


def padded(probe: np.ndarray, side: int) -> np.ndarray:
    """Return a probe (P, h, h) with zeros around it, (P, side, side): tike pads exit waves to the size of the patterns."""
    before = max(side - probe.shape[-1], 0) // 2
    after = max(side - probe.shape[-1], 0) - before
    return np.pad(probe, ((0, 0), (before, after), (before, after)))


def _one(tree: Tree, key: str, values: np.ndarray, ndim: int) -> np.ndarray:
    """Return an array without leading axes of one entry; raise DataContractError where other axes are left."""
    while values.ndim > ndim and values.shape[0] == 1:
        values = values[0]
    if values.ndim != ndim or 0 in values.shape:
        raise DataContractError(f"{tree.path}: {key} must have {ndim} axes; got {values.shape}")
    return values
