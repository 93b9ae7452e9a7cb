"""Patterns, masks and probes of HDF5 files, whatever order their axes have."""

from __future__ import annotations

import copy
import math

import numpy as np

from ptycho.base.errors import DataContractError
from ptycho.scan.formats.hdf5 import Tree


class Stack:
    """Patterns (M, h, w) or a raster of them (rows, columns, h, w), row by row: read when they are sliced."""

    def __init__(self, tree: Tree, key: str) -> None:
        self.place, self.dataset = f"{tree.path}: {key}", tree.dataset(key)
        *raster, h, w = self.dataset.shape
        self.columns = raster[-1]
        self.shape, self.dtype = (math.prod(raster), h, w), self.dataset.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, chosen: int | slice) -> np.ndarray:
        """Return the pattern of a row number, or those of a slice; raise DataContractError where the file is damaged there."""
        try:
            if isinstance(chosen, slice):
                rows = range(*chosen.indices(len(self)))
                if self.dataset.ndim == 3:
                    return np.asarray(self.dataset[rows.start : rows.stop])
                return np.stack([self._one(row) for row in rows])
            return self._one(chosen)
        except (OSError, RuntimeError, ValueError) as error:
            raise DataContractError(f"{self.place} cannot be read: {error}") from None

    def first(self, count: int) -> Stack:
        """Return the first patterns alone."""
        result = copy.copy(self)
        result.shape = (count, *self.shape[1:])
        return result

    def _one(self, row: int) -> np.ndarray:
        place = row if self.dataset.ndim == 3 else divmod(row, self.columns)
        return np.asarray(self.dataset[place])


def stack(tree: Tree, key: str) -> Stack:
    """Return the patterns at a path as (M, h, w), to be sliced; raise DataContractError for something else."""
    dataset = tree.dataset(key)
    if dataset.dtype.kind not in "iuf" or dataset.ndim not in (3, 4) or 0 in dataset.shape:
        raise DataContractError(
            f"{tree.path}: {key} must be real patterns (M, h, w) or (rows, columns, h, w); got {dataset.dtype} {dataset.shape}"
        )
    return Stack(tree, key)


def bad_pixels(tree: Tree, key: str) -> np.ndarray:
    """Return the pixels (h, w) bool of a mask that are not 0; of a mask for each pattern those that are so in any.

    Raises DataContractError for something else.
    """
    values = tree.array(key)
    if values.dtype.kind not in "biuf" or values.ndim not in (2, 3):
        raise DataContractError(
            f"{tree.path}: {key} must be a mask (h, w); got {values.dtype} {values.shape}"
        )
    bad = np.asarray(values != 0)
    return np.asarray(bad if bad.ndim == 2 else bad.any(axis=0))


def probe(tree: Tree, key: str) -> np.ndarray:
    """Return the probe at a path as (P, h, w) complex64; leading axes of one entry are left out.

    Raises DataContractError for something else.
    """
    values = tree.array(key)
    while values.ndim > 3 and values.shape[0] == 1:
        values = values[0]
    if values.dtype.kind not in "iufc" or values.ndim not in (2, 3) or values.shape[-1] != values.shape[-2]:
        raise DataContractError(
            f"{tree.path}: {key} must be a square probe (h, h) or (modes, h, h); got {values.dtype} {values.shape}"
        )
    return np.asarray(values[None] if values.ndim == 2 else values, np.complex64)
