"""Writing that leaves either the old file or the whole new one."""

from __future__ import annotations

import fcntl
import json
import math
import os
import secrets
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ptycho.base.errors import RunDirectoryError

RANDOM_LETTERS = 8
"""At the end of the name of a temporary file."""


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its name when the block ends without an error.

    What writers of `path` left that were killed is taken away first.

    Raises RunDirectoryError where the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, (path.name,))
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(RANDOM_LETTERS // 2)}")
        # By the system, not by tempfile: the file has the rights that the user's umask leaves.
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write {path}: {error.strerror}; choose another folder with --out"
        ) from None
    try:
        with os.fdopen(handle, "wb") as stream:
            _held(stream)
            yield stream
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunDirectoryError(f"cannot write {path}: {error.strerror or error}") from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _held(stream: BinaryIO) -> bool:
    """Take an open file for this process alone until it is closed, or the process ends; return whether that could be done."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process has it, or the file system holds nothing
        return False
    return True


def sweep(folder: Path, names: Container[str]) -> None:
    """Take away temporary files of some names whose writer was killed: nobody holds them."""
    try:
        left = [path for path in folder.iterdir() if half_written(path.name, names)]
    except OSError:
        return
    for path in left:
        if path.is_file() and not path.is_symlink():
            with suppress(OSError), path.open("rb") as stream:
                if _held(stream):
                    path.unlink()


def half_written(name: str, of: Container[str]) -> bool:
    """Whether a name is that of the temporary file of one of some files, which a killed writer leaves."""
    stem, _, rest = name.removeprefix(".").rpartition(".")
    return name.startswith(".") and stem in of and len(rest) == RANDOM_LETTERS


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], *, compress: bool = False) -> None:
    """Write an NPZ atomically; refuse arrays that would need pickle.

    Arrays are of any shape. Raises TypeError for an array of objects.
    """
    for key, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise TypeError(f"array {key!r} has dtype object and would need pickle")
    save = np.savez_compressed if compress else np.savez
    with replacing(path) as stream:
        save(stream, **arrays)  # type: ignore[arg-type]


def write_array(path: Path, array: np.ndarray) -> None:
    """Write one NPY atomically; refuse an array that would need pickle.

    The array is of any shape.
    """
    with replacing(path) as stream:
        np.save(stream, array, allow_pickle=False)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: sorted as given, NaN and infinities as null, paths as text."""
    with replacing(path) as stream:
        stream.write((json.dumps(plain(value), indent=2, allow_nan=False) + "\n").encode())


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; what UTF-8 does not have, as the name of a file may, is written as an escape."""
    with replacing(path) as stream:
        stream.write(text.encode("utf-8", "backslashreplace"))


def plain(value: Any) -> Any:
    """Turn numpy scalars and arrays, tuples, paths and non-finite numbers into JSON's types."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return value.as_posix()
    return value


def with_nan(value: Any) -> Any:
    """Undo :func:`plain`: JSON's nulls are numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: with_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_nan(item) for item in value]
    return math.nan if value is None else value
