"""Claims a place for output: a run never replaces files that somebody may still want."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from ptycho.base import atomic, layout
from ptycho.base.errors import RunDirectoryError

LOCK = layout.LOCK
EXPORT = ".export-"
"""How the name of a folder begins in which a run writes what it then moves into its own."""
LONGEST_NAME = 255
"""Bytes of a file's name, on all common file systems."""


@contextlib.contextmanager
def folder(place: Path, metadata: str, check_run: Callable[[], None], resume: bool) -> Iterator[None]:
    """Hold a run directory: it can be written, is nobody else's, and what it holds may be gone on with.

    After a failure folders that were made here and are still empty are taken away again. See :func:`check` for what is asked.

    Raises RunDirectoryError, naming the folder, what it holds, and the remedy.
    """
    missing = check(place, metadata, check_run, resume)
    try:
        with _locked(place):
            # Another run may have come and gone since the first look.
            check_contents(place, metadata, check_run, resume)
            sweep(place)
            yield
    except BaseException:
        with contextlib.suppress(OSError):  # one that is not empty stays, and so do those above it
            for path in missing:
                path.rmdir()
        raise


def sweep(place: Path) -> None:
    """Take away what writers left in a run's folder that were killed: nobody else writes here now."""
    for path in place.iterdir():
        if path.name.startswith(EXPORT) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
    atomic.sweep(place, layout.FILES)


def check(place: Path, metadata: str, check_run: Callable[[], None], resume: bool) -> list[Path]:
    """Look whether a folder is free for a run, or may be gone on with; return it and those above it that are not there yet.

    Parameters
    ----------
    place : Path
    metadata : str
        Name of the file by which a run is known.
    check_run : callable
        Raises where the run in the folder is not the one that is to be resumed.
    resume : bool

    Raises
    ------
    RunDirectoryError
        Naming the folder, what it holds, and the remedy.
    """
    _check_name(place)
    missing = [path for path in (place, *place.parents) if not _exists(path)]
    if place.is_file():
        raise RunDirectoryError(f"--out {place}: is a file; give a folder")
    check_contents(place, metadata, check_run, resume)
    return missing


def check_contents(place: Path, metadata: str, check_run: Callable[[], None], resume: bool) -> None:
    """Raise RunDirectoryError where a folder holds what a run would write over."""
    names = sorted(path.name for path in place.iterdir() if path.name[0] != ".") if place.is_dir() else []
    elsewhere = "or choose another folder"
    if metadata in names:
        if not resume:
            raise RunDirectoryError(f"--out {place}: holds a run; add --resume to go on with it, {elsewhere}")
        check_run()
    elif set(layout.RESUMABLE) & set(names):
        if not resume:
            raise RunDirectoryError(
                f"--out {place}: holds the epochs of an interrupted run; add --resume to go on with it, {elsewhere}"
            )
    elif names:
        raise RunDirectoryError(
            f"--out {place}: holds files that are no run's ({', '.join(names[:3])}{', ...' * (len(names) > 3)}); "
            "choose an empty folder or a new one"
        )


def file(place: Path, inputs: Sequence[Path], overwrite: bool = False) -> None:
    """Raise RunDirectoryError where a result cannot be written to `place`, or would replace a file.

    With `overwrite` it may replace one, but never one of its own inputs.
    """
    _check_name(place)
    if place.is_dir():
        raise RunDirectoryError(f"--out {place}: is a folder; give a file")
    for source in inputs:
        if _exists(place) and _exists(source) and place.samefile(source):
            raise RunDirectoryError(f"--out {place}: is the file that is read; choose another name")
    if _exists(place) and not overwrite:
        raise RunDirectoryError(f"--out {place}: is there already; add --overwrite, or choose another name")
    home = next(path for path in place.absolute().parents if _exists(path))
    if not home.is_dir():
        raise RunDirectoryError(f"--out {place}: {home} is a file and no folder")
    if not os.access(home, os.W_OK | os.X_OK):
        raise RunDirectoryError(f"--out {place}: {home} cannot be written; choose another folder")


def _check_name(place: Path) -> None:
    """Raise RunDirectoryError for a path that no file system can hold."""
    for part in place.parts:
        if len(os.fsencode(part)) > LONGEST_NAME or "\0" in part:
            short = part if len(part) <= 40 else f"{part[:30]}..."
            raise RunDirectoryError(
                f"--out: {short!r} has {len(os.fsencode(part))} bytes; a file's name has at most {LONGEST_NAME} and no NUL"
            )


def _exists(path: Path) -> bool:
    """Whether something exists at a path, even a broken link; raise RunDirectoryError where the system does not say."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write to {path}: {error.strerror}; choose another folder with --out"
        ) from None
    return True


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Keep other runs out of a folder that can be written, as long as the block lasts."""
    with atomic.replacing(place / ".writable") as stream:
        stream.write(b"")
    (place / ".writable").unlink()
    lock = FileLock(place / LOCK)
    try:
        if (place / LOCK).is_symlink():  # to lock what it leads to would touch a file of somebody else
            raise RunDirectoryError(f"--out {place}: its {LOCK} is a link; take it away")
        lock.acquire(timeout=0)
    except Timeout:
        raise RunDirectoryError(
            f"--out {place}: another run is writing there; wait for it, or choose another folder"
        ) from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunDirectoryError(
            f"--out {place}: its {LOCK} cannot be had: {reason}; take it away, or choose another folder"
        ) from None
    try:
        yield
    finally:
        (place / LOCK).unlink(missing_ok=True)
        lock.release()


def record(folder: Path, name: str, what: str, again: bool, option: str = "--resume") -> Path:
    """Make a folder for work that keeps a record of its own; return the record's path.

    Parameters
    ----------
    folder : Path
    name : str
        Of the record; a folder that has one may be gone on with.
    what : str
        What the work is, for people: "an isolation".
    again : bool
        Whether such work in the folder may be gone on with, or replaced.
    option : str
        By which a person says so.

    Raises
    ------
    RunDirectoryError
        The folder is a file, holds something else, holds such work and it is not `again`, or cannot be made or written.
    """
    path = folder / name
    _check_name(folder)
    try:
        if _exists(folder) and not folder.is_dir():
            raise RunDirectoryError(f"--out {folder}: is a file; name a folder")
        # The record is written first; who was killed meanwhile left a part of it, and nothing else.
        if _exists(folder) and not all(atomic.half_written(each.name, (name,)) for each in folder.iterdir()):
            if not path.is_file():
                raise RunDirectoryError(f"--out {folder}: holds something else; name another folder")
            if not again:
                raise RunDirectoryError(f"--out {folder}: holds {what}; add {option}, or name another folder")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return path
    except OSError as error:
        raise RunDirectoryError(
            f"--out {folder}: cannot be written: {error.strerror}; name another folder"
        ) from None
