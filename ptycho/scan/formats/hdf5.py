"""HDF5 files of other people: datasets by their paths, with units; links, filters and sizes are looked at first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptycho.base import machine, units
from ptycho.base.errors import ConfigError, DataContractError

MAGIC = b"\x89HDF\r\n\x1a\n"
FILTERS = {
    307: "bzip2",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32017: "sz",
    32018: "fcidecomp",
    32024: "sz3",
    32026: "blosc2",
}
"""Names of compression filters by their registered numbers (the HDF Group's list)."""
DEEPEST = 32
"""Groups that nest deeper are not looked into."""
MOST = 10_000
"""Datasets that are looked at in a search."""


@contextmanager
def opened(path: Path) -> Iterator[Tree]:
    """Open a file for reading.

    Raises DataContractError for a file that is missing, no regular one, no HDF5, or damaged wherever it is read.
    """
    machine.check_file(path, DataContractError)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        words = str(error).splitlines()[0] if str(error) else "damaged"
        raise DataContractError(f"{path}: not a complete HDF5 file ({words})") from None
    with file:
        try:
            yield Tree(path, file)
        except (OSError, RuntimeError) as error:  # what h5py raises over structures that are damaged
            raise DataContractError(f"{path}: is damaged ({error})") from None


class Tree:
    """An open file.

    Parameters
    ----------
    path : Path
        For messages.
    file : h5py.File
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self.file = path, file

    def first(self, *keys: str) -> str | None:
        """Return the first of some paths at which there is a dataset."""
        return next((key for key in keys if self._dataset(key) is not None), None)

    def dataset(self, key: str) -> h5py.Dataset:
        """Return the dataset at a path, which can be read.

        Raises DataContractError, naming file and path, where there is none, where its link leads out of the file's folder, or
        where its compression is not to be had.
        """
        dataset = self._dataset(key)
        if dataset is None:
            raise DataContractError(f"{self.path}: holds no dataset {key}")
        self._check_filters(key, dataset)
        self._check_sources(key, dataset)
        return dataset

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
        if values.size != 1 or not 0 < abs(values[0]) < np.inf:
            shown = f"{values[0]:g}" if values.size == 1 else f"{values.size} values"
            raise DataContractError(f"{self.path}: {key} must be one number, and not 0; got {shown}")
        return abs(float(values[0])) * self.factor(key, default_unit, unit)

    def factor(self, key: str, default_unit: str, unit: str) -> float:
        """Return how many of `unit` one of the values at a path is, by its attribute `units`, else by `default_unit`.

        Raises DataContractError for units of something else.
        """
        named = self.dataset(key).attrs.get("units", default_unit)
        text = named.decode("utf-8", "replace") if isinstance(named, bytes) else str(named)
        try:
            return units.read(f"1 {text}", unit, f"units of {key}", unit)
        except ConfigError:
            raise DataContractError(
                f"{self.path}: {key} has units {text!r}; expected some of {unit}"
            ) from None

    def walk(self) -> Iterator[tuple[str, h5py.Dataset]]:
        """Yield (path, dataset) of everything that can be opened, links followed within the file's folder."""
        todo: list[tuple[str, int]] = [("", 0)]
        seen: set[Any] = set()
        count = 0
        while todo and count < MOST:
            place, depth = todo.pop(0)
            for name in self.file[place or "/"]:
                key = f"{place}/{name}"
                thing = self._thing(key)
                if isinstance(thing, h5py.Dataset):
                    count += 1
                    yield key, thing
                elif isinstance(thing, h5py.Group) and depth < DEEPEST and thing.id not in seen:
                    seen.add(thing.id)  # a link may lead back to where it lies
                    todo.append((key, depth + 1))

    def _dataset(self, key: str) -> h5py.Dataset | None:
        thing = self._thing(key)
        return thing if isinstance(thing, h5py.Dataset) else None

    def _thing(self, key: str) -> Any:
        """Return what lies at a path, None where nothing does; every step is looked at before it is followed."""
        here = self.file
        for name in [part for part in key.split("/") if part]:
            if not isinstance(here, h5py.Group):
                return None
            try:
                link = here.get(name, getlink=True)
                if isinstance(link, h5py.ExternalLink):
                    self.check_inside(key, link.filename)
                here = here.get(name)
            except (KeyError, OSError, RuntimeError):  # a link that leads nowhere
                return None
        return here

    def check_inside(self, key: str, name: str) -> None:
        """Raise DataContractError for a link at a path to a file, by its name, outside the folder of this one."""
        home = self.path.resolve().parent
        if not (home / name).resolve().is_relative_to(home):
            raise DataContractError(
                f"{self.path}: {key} is a link to {name}, outside of the file's folder; copy that file beside this one"
            )

    def _check_sources(self, key: str, dataset: h5py.Dataset) -> None:
        """Raise DataContractError for values that lie in files outside the folder of this one."""
        sources = [part.file_name for part in dataset.virtual_sources()] if dataset.is_virtual else []
        sources += [os.fsdecode(part[0]) for part in dataset.external or ()]
        for name in sources:
            self.check_inside(key, name)

    def _check_filters(self, key: str, dataset: h5py.Dataset) -> None:
        """Raise DataContractError where what compressed the values is not to be had."""
        created = dataset.id.get_create_plist()
        for place in range(created.get_nfilters()):
            number = created.get_filter(place)[0]
            if not h5py.h5z.filter_avail(number):
                raise DataContractError(
                    f"{self.path}: {key} is compressed by {FILTERS.get(number, 'a filter')} ({number}), which is not installed; "
                    "pip install hdf5plugin"
                )
