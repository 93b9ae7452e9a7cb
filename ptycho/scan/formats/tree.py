"""Values by their paths, whatever file they lie in: what a reader of a format asks, and what it says where it is not so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.base import machine, units
from ptycho.base.errors import ConfigError, DataContractError

MOST_NUMBERS = 10**8
"""Of positions, indexes, weights: anything but patterns."""


class Tree:
    """An open file. What is no matter of its kind is here; a kind of file says how a path is followed.

    Parameters
    ----------
    path : Path
        For messages.
    column_major : bool
        MATLAB wrote it: the axes of every array come in the opposite order.
    """

    def __init__(self, path: Path, column_major: bool = False) -> None:
        self.path, self.column_major = path, column_major

    def at(self, key: str) -> Any:
        """Return the array-like at a path; None where there is none."""
        raise NotImplementedError

    def walk(self) -> Iterator[tuple[str, Any]]:
        """Yield (path, array-like) of everything that is there."""
        raise NotImplementedError

    def attribute(self, key: str, name: str) -> Any:
        """Return what a path ("/": the file itself) has under a name, a text as str; None where it has nothing."""
        return None

    def has(self, *keys: str) -> bool:
        """Whether there is an array at each of some paths."""
        return all(self.at(key) is not None for key in keys)

    def first(self, *keys: str) -> str | None:
        """Return the first of some paths at which there is an array."""
        return next((key for key in keys if self.at(key) is not None), None)

    def dataset(self, key: str) -> Any:
        """Return the array-like at a path, which can be read.

        Raises DataContractError, naming file and path, where there is none or it is not to be had.
        """
        values = self.at(key)
        if values is None:
            raise DataContractError(f"{self.path}: holds no dataset {key}")
        return values

    def array(self, key: str) -> np.ndarray:
        """Return the values at a path, of any shape; raise DataContractError where they cannot be read."""
        dataset = self.dataset(key)
        machine.check_memory(
            float(dataset.size) * dataset.dtype.itemsize,
            f"{self.path}: {key}",
            "take a part of the scan",
            DataContractError,
        )
        try:
            return np.asarray(dataset[()])
        except (OSError, ValueError, TypeError, RuntimeError, MemoryError) as error:
            raise DataContractError(f"{self.path}: {key} cannot be read: {error}") from None

    def reals(self, key: str) -> np.ndarray:
        """Return the values at a path as float64, of any shape; raise DataContractError where they are no numbers."""
        count = self.dataset(key).size
        if count > MOST_NUMBERS:
            raise DataContractError(
                f"{self.path}: {key} holds {count} values; expected at most {MOST_NUMBERS}"
            )
        values = self.array(key)
        if values.dtype.kind not in "iuf":
            raise DataContractError(f"{self.path}: {key} must be numbers; got {values.dtype} {values.shape}")
        return values.astype(np.float64)

    def number(self, key: str, default_unit: str, unit: str) -> float:
        """Return the size of the single number at a path in `unit`; where it has no `units` it counts `default_unit`.

        A sign is left out: some beamlines count distances against the beam. Raises DataContractError for something else, and
        for 0.
        """
        values = self.reals(key).reshape(-1)
        same = values.size > 0 and bool((values == values[0]).all())
        if not same or not 0 < abs(values[0]) < np.inf:
            shown = f"{values[0]:g}" if values.size == 1 else f"{values.size} values"
            raise DataContractError(f"{self.path}: {key} must be one number, and not 0; got {shown}")
        return abs(float(values[0])) * self.factor(key, default_unit, unit)

    def optional(self, key: str, default_unit: str, unit: str) -> float | None:
        """Return the number at a path as :meth:`number` does; None where there is none. Raises DataContractError as that does."""
        return self.number(key, default_unit, unit) if self.has(key) else None

    def factor(self, key: str, default_unit: str, unit: str) -> float:
        """Return how many of `unit` one of the values at a path is, by its attribute `units`, else by `default_unit`.

        Raises DataContractError for units of something else.
        """
        named = self.attribute(key, "units")
        named = default_unit if named is None else named
        text = str(named)
        try:
            return units.read(f"1 {text}", unit, f"units of {key}", unit)
        except ConfigError:
            raise DataContractError(
                f"{self.path}: {key} has units {text!r}; expected some of {unit}"
            ) from None


class Arrays(Tree):
    """A file whose arrays are in memory, by their paths."""

    def __init__(self, path: Path, arrays: dict[str, np.ndarray], column_major: bool = False) -> None:
        super().__init__(path, column_major)
        self.arrays = {f"/{name.strip('/')}": values for name, values in arrays.items()}

    def at(self, key: str) -> Any:
        """Return the array at a path; None where there is none."""
        return self.arrays.get(f"/{key.strip('/')}")

    def walk(self) -> Iterator[tuple[str, Any]]:
        """Yield (path, array) of everything that is there."""
        yield from self.arrays.items()
