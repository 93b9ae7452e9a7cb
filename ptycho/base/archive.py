"""Reads the arrays of an NPZ archive safely: without pickle, within memory, and with one clear error for each kind of damage."""

from __future__ import annotations

import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.base import machine
from ptycho.base.errors import DataContractError

MAX_RATIO = 500
"""A file that grows by more than this when unpacked, to more than `SUSPICIOUS_BYTES`, is taken for a zip bomb."""
SUSPICIOUS_BYTES = 2**30

COMPRESSION = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)
"""What unpacking raises over bytes that are damaged."""
DAMAGE = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(NotImplementedError, RuntimeError, MemoryError),
)
"""What numpy and zipfile raise over headers that nobody wrote on purpose."""
BROKEN = (*COMPRESSION, *DAMAGE, SyntaxError, tokenize.TokenError)
"""All of these."""


def read_arrays(path: Path, keys: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Read arrays of an NPZ without pickle, all or those of `keys` that exist.

    Arrays are of any shape, as they were stored.

    Raises DataContractError for a missing, truncated, foreign or over-large file and for pickled arrays.
    """
    machine.check_file(path, DataContractError)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {item.filename.removesuffix(".npy"): item for item in archive.infolist()}
            if len(members) < len(archive.infolist()):
                raise DataContractError(f"{path}: holds two arrays of one name; store each once")
            wanted = [key for key in (members if keys is None else keys) if key in members]
            check_size(path, [members[key] for key in wanted])
        with np.load(path, allow_pickle=False) as archive:
            return arrays_of(archive, wanted)
    except DataContractError:
        raise
    except (SyntaxError, tokenize.TokenError):
        raise DataContractError(f"{path}: an array is damaged: its header cannot be read") from None
    except COMPRESSION:
        raise DataContractError(
            f"{path}: not a complete NPZ file (damaged, truncated or another format)"
        ) from None
    except OSError as error:
        raise DataContractError(f"{path}: cannot be read: {error.strerror or error}") from None
    except DAMAGE as error:
        if "pickle" in str(error).lower():
            raise DataContractError(
                f"{path}: holds a pickled (object) array, which may run code; store plain arrays and JSON text"
            ) from None
        raise DataContractError(f"{path}: an array is damaged: {error}") from None


def names(path: Path) -> frozenset[str]:
    """Return the names of an NPZ's arrays; raise DataContractError for a file that is no complete NPZ."""
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(name.removesuffix(".npy") for name in archive.namelist())
    except BROKEN:
        raise DataContractError(
            f"{path}: not a complete NPZ file (damaged, truncated or another format)"
        ) from None
    except OSError as error:
        raise DataContractError(f"{path}: cannot be read: {error.strerror or error}") from None


def arrays_of(stored: Mapping[str, Any], names: Iterable[str]) -> dict[str, np.ndarray]:
    """Return some arrays, of any shape, of an archive that numpy has open; raise ValueError for a member that is no array."""
    arrays = {name: stored[name] for name in names}
    # Numpy hands out a member without an array's signature as bytes.
    odd = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
    if odd:
        raise ValueError(f"{odd[0]} is no array")
    return arrays


def check_size(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raise DataContractError for members that no machine could unpack, or no honest file holds, before a byte is unpacked."""
    packed = sum(item.compress_size for item in members)
    unpacked = sum(item.file_size for item in members)
    if unpacked > SUSPICIOUS_BYTES and unpacked > MAX_RATIO * max(packed, 1):
        raise DataContractError(
            f"{path}: {packed} bytes would unpack to {unpacked} (more than {MAX_RATIO}:1), which looks like a "
            "zip bomb; if it is not, store it uncompressed with numpy.savez"
        )
    machine.check_memory(unpacked, f"{path}:", "split the scan into several files", DataContractError)
