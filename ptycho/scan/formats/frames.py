"""Patterns, masks and probes, whatever order their axes have and however many datasets they lie in."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from scipy import fft

from ptycho.base.errors import DataContractError
from ptycho.scan.formats.tree import Tree

MOST = 2**27
"""Patterns, or pixels of one."""


class Stack:
    """Patterns (M, h, w): read when they are sliced, and no sooner.

    Parameters
    ----------
    tree : Tree
    keys : str
        Datasets (M, h, w), or rasters (rows, columns, h, w) that are taken row by row; one after the other.
    transposed : bool
        The last two axes come in the opposite order.
    corner : bool
        The zero frequency is at [0, 0], and not in the middle.
    """

    def __init__(self, tree: Tree, *keys: str, transposed: bool = False, corner: bool = False) -> None:
        self.place, self.transposed, self.corner = f"{tree.path}: {keys[0]}", transposed, corner
        self.parts = [tree.dataset(key) for key in keys]
        self.ends = np.cumsum([math.prod(part.shape[:-2]) for part in self.parts])
        self.rows = np.arange(self.ends[-1])
        self.dtype = self.parts[0].dtype
        h, w = self.parts[0].shape[-2:]
        self.frame = (w, h) if transposed else (h, w)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """(M, h, w)."""
        return (len(self), *self.frame)

    def __getitem__(self, chosen: int | slice) -> np.ndarray:
        """Return the pattern of a row number, or those of a slice; raise DataContractError where the file is damaged there."""
        try:
            if isinstance(chosen, slice):
                rows = self.rows[chosen]
                runs = np.split(rows, 1 + np.flatnonzero(np.diff(rows) != 1))
                return np.concatenate([self._run(run[0], run[-1] + 1) for run in runs if len(run)])
            return np.asarray(self._run(self.rows[chosen], self.rows[chosen] + 1)[0])
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise DataContractError(f"{self.place} cannot be read: {error}") from None

    def chosen(self, rows: np.ndarray) -> Stack:
        """Return some patterns alone, by their row numbers (K,)."""
        result = copy.copy(self)
        result.rows = self.rows[rows]
        return result

    def _run(self, first: int, end: int) -> np.ndarray:
        """Return patterns that follow each other in the file."""
        taken = []
        for part, last in zip(self.parts, self.ends, strict=True):
            start = last - math.prod(part.shape[:-2])
            here = range(max(first, start) - start, min(end, last) - start)
            if len(here) and part.ndim == 3:
                taken.append(np.asarray(part[here.start : here.stop]))
            elif len(here):
                taken.append(np.stack([part[divmod(row, part.shape[1])] for row in here]))
        values = np.concatenate(taken)
        values = values.swapaxes(-1, -2) if self.transposed else values
        return fft.fftshift(values, axes=(-2, -1)) if self.corner else values


def chosen(patterns: Any, rows: np.ndarray) -> Any:
    """Return some patterns (M, h, w) alone, by their row numbers (K,); those of a file are not read for that."""
    return patterns.chosen(rows) if isinstance(patterns, Stack) else patterns[rows]


def stack(tree: Tree, *keys: str, transposed: bool | None = None, corner: bool = False) -> Stack:
    """Return the patterns at some paths as (M, h, w), to be sliced; by default as MATLAB's, where MATLAB wrote the file.

    Raises DataContractError for something else.
    """
    first = tree.dataset(keys[0])
    for key in keys:
        part = tree.dataset(key)
        if part.dtype.kind not in "iuf" or part.ndim not in (3, 4) or 0 in part.shape:
            raise DataContractError(
                f"{tree.path}: {key} must be real patterns (M, h, w) or (rows, columns, h, w); got {part.dtype} {part.shape}"
            )
        if max(math.prod(part.shape[:-2]), math.prod(part.shape[-2:])) > MOST:
            raise DataContractError(
                f"{tree.path}: {key} says it holds patterns {part.shape}, which no detector took"
            )
        if part.shape[-2:] != first.shape[-2:] or part.dtype != first.dtype:
            raise DataContractError(
                f"{tree.path}: {key} has patterns {part.dtype} {part.shape[-2:]} and {keys[0]} has {first.dtype} "
                f"{first.shape[-2:]}; give those of one scan"
            )
    return Stack(
        tree, *keys, transposed=tree.column_major if transposed is None else transposed, corner=corner
    )


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
    bad = np.asarray(bad if bad.ndim == 2 else bad.any(axis=0))
    return bad.T if tree.column_major else bad


def probe(tree: Tree, key: str) -> np.ndarray:
    """Return the probe at a path as (P, h, w) complex64; leading axes of one entry are left out.

    Raises DataContractError for something else.
    """
    return of_modes(tree, key, as_complex(tree.array(key)))


def of_modes(tree: Tree, key: str, values: np.ndarray) -> np.ndarray:
    """Return values from a path as a probe (P, h, w) complex64, see :func:`probe`; raise DataContractError for something else."""
    while values.ndim > 3 and values.shape[0] == 1:
        values = values[0]
    if values.dtype.kind not in "iufc" or values.ndim not in (2, 3) or values.shape[-1] != values.shape[-2]:
        raise DataContractError(
            f"{tree.path}: {key} must be a square probe (h, h) or (modes, h, h); got {values.dtype} {values.shape}"
        )
    values = values.swapaxes(-1, -2) if tree.column_major else values
    return np.asarray(values[None] if values.ndim == 2 else values, np.complex64)


def as_complex(values: np.ndarray) -> np.ndarray:
    """Return complex numbers of pairs (real, imag), as MATLAB writes them to HDF5; other values as they are."""
    names: Any = values.dtype.names
    if names is not None and set(names) in ({"real", "imag"}, {"r", "i"}):
        real, imaginary = ("real", "imag") if "real" in names else ("r", "i")
        if values.dtype[real].kind in "iuf" and values.dtype[imaginary].kind in "iuf":
            return np.asarray(values[real] + 1j * values[imaginary])
    return values
