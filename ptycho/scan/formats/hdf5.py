"""HDF5 files of other people: datasets by their paths, with units; links, filters and sizes are looked at first."""

from __future__ import annotations

import importlib
import io
import os
import select
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptycho.base import atomic, machine
from ptycho.base.errors import DataContractError
from ptycho.scan.formats import tree

MAGIC = b"\x89HDF\r\n\x1a\n"
MATLAB = b"MATLAB 7.3"
"""How a file of MATLAB begins that is HDF5 after its first 512 bytes."""
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
UNREADABLE = (KeyError, OSError, RuntimeError, ValueError, TypeError)
"""What h5py raises over a group, a link or an attribute that is damaged."""
SECONDS, LONGEST = 5, 4096
"""For one text, and its length."""
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
        except (OSError, RuntimeError, UnicodeError) as error:  # of h5py, over structures that are damaged
            raise DataContractError(f"{path}: is damaged ({error})") from None


def more_filters(number: int) -> bool:
    """Whether hdf5plugin, where it is installed, brings a filter: to import it is what makes its filters known."""
    with suppress(ImportError):
        importlib.import_module("hdf5plugin")
    return bool(h5py.h5z.filter_avail(number))


@contextmanager
def created(path: Path) -> Iterator[h5py.File]:
    """Make a file that takes its name when the block ends without an error; until then it is in memory.

    Raises RunDirectoryError where it cannot be written.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        yield file
    with atomic.replacing(path) as stream:
        stream.write(buffer.getbuffer())


class Tree(tree.Tree):
    """An open file.

    Parameters
    ----------
    path : Path
        For messages.
    file : h5py.File
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        with path.open("rb") as stream:
            super().__init__(path, column_major=stream.read(len(MATLAB)) == MATLAB)
        self.file = file

    def at(self, key: str) -> Any:
        """Return the dataset at a path; None where there is none, or one without values or of a type that nothing here has."""
        thing = self._thing(key)
        try:
            known = isinstance(thing, h5py.Dataset) and thing.shape is not None and thing.dtype is not None
        except (ValueError, TypeError):
            return None
        return thing if known else None

    def dataset(self, key: str) -> h5py.Dataset:
        """Return the dataset at a path, which can be read.

        Raises DataContractError, naming file and path, where there is none, where its link leads out of the file's folder, or
        where its compression is not to be had.
        """
        dataset = super().dataset(key)
        self._check_filters(key, dataset)
        self._check_sources(key, dataset)
        return dataset

    def array(self, key: str) -> np.ndarray:
        """Return the values at a path, of any shape, texts as str; raise DataContractError where they cannot be read."""
        dataset = self.dataset(key)
        if dataset.dtype.kind != "O":
            return super().array(key)
        if dataset.size != 1:
            raise DataContractError(
                f"{self.path}: {key} must be numbers or one text; got {dataset.dtype} {dataset.shape}"
            )
        return np.array(self._watched(key, lambda: np.asarray(dataset[()]).item()))

    def attribute(self, key: str, name: str) -> Any:
        """Return what a path ("/": the file itself) has under a name, a text as str; None where it has nothing that can be read."""
        thing = self._thing(key)
        if not isinstance(thing, (h5py.Dataset, h5py.Group)):
            return None
        try:
            if name not in thing.attrs:
                return None
            if isinstance(thing.attrs.get_id(name).get_type(), (h5py.h5t.TypeStringID, h5py.h5t.TypeVlenID)):
                return self._watched(key, lambda: thing.attrs[name])
            return thing.attrs[name]
        except UNREADABLE:  # h5py's words over an odd type
            return None

    def names(self, key: str) -> tuple[str, ...]:
        """Return the names in a group; none where there is no group."""
        thing = self._thing(key)
        try:
            return (
                tuple(name for name in thing if isinstance(name, str))
                if isinstance(thing, h5py.Group)
                else ()
            )
        except UNREADABLE:
            return ()

    def walk(self) -> Iterator[tuple[str, h5py.Dataset]]:
        """Yield (path, dataset) of everything that can be opened, links followed within the file's folder."""
        todo: list[tuple[str, int]] = [("", 0)]
        seen: set[Any] = set()
        count = 0
        while todo and count < MOST:
            place, depth = todo.pop(0)
            for name in self.names(place):
                key = f"{place}/{name}"
                thing = self._thing(key)
                if isinstance(thing, h5py.Dataset):
                    count += 1
                    if self.at(key) is not None:
                        yield key, thing
                elif isinstance(thing, h5py.Group) and depth < DEEPEST and thing.id not in seen:
                    seen.add(thing.id)  # a link may lead back to where it lies
                    todo.append((key, depth + 1))

    def _watched(self, key: str, read: Callable[[], Any]) -> str:
        """Return a text that is read in a child: HDF5 never comes back from some heaps that are damaged.

        Raises DataContractError where that is so.
        """
        here, there = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, none of which the child needs
            child = os.fork()
        if not child:
            try:
                value = read()
                text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                os.write(there, text[:LONGEST].encode("utf-8", "replace"))
            finally:
                os._exit(0)
        os.close(there)
        came = bool(select.select([here], [], [], SECONDS)[0])
        text = os.read(here, 4 * LONGEST).decode("utf-8", "replace") if came else ""
        os.close(here)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if not came:
            raise DataContractError(f"{self.path}: is damaged (the text of {key} cannot be read)")
        return text

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
            except UNREADABLE:  # a link that leads nowhere
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
            if not h5py.h5z.filter_avail(number) and not more_filters(number):
                raise DataContractError(
                    f"{self.path}: {key} is compressed by {FILTERS.get(number, 'a filter')} ({number}), which is not installed; "
                    "pip install 'ptycho[filters]'"
                )
