"""Artifacts kept from run to run: one folder an artifact, named by its stage and key.

    FOLDER/entries/STAGE-KEY/   the stage's files, and entry.json: digest, checksums, telemetry, how it was made
    FOLDER/staging/             what is being written or thrown away; nothing in here is ever read
    FOLDER/locks/               one lock a key: two processes never compute the same
    FOLDER/CACHEDIR.TAG         the mark by which a cache is known; in a folder that holds something and no mark nothing is touched

An entry appears by one rename, whole or not at all, and every file's checksum is verified before it is used. A
store that cannot be written says so once and is from then on empty: a cache must never cost a run.
"""

from __future__ import annotations

import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ptycho.artifacts.stage import Stage
from ptycho.base import atomic, documents, identity
from ptycho.base.errors import PtychoError, RunDirectoryError

logger = logging.getLogger(__name__)

FORMAT = "ptycho-entry-1"
DESCRIPTION = "entry.json"
MAX_BYTES = 5 * 2**30
MARK = "CACHEDIR.TAG"
"""By this name, and the first line of its text, programs that make backups know a cache, too (bford.info/cachedir)."""
MARK_TEXT = """Signature: 8a477f597d28d172789f06886806bc55
# This folder is a cache of ptycho; whatever is in it may go (ptycho cache clear).
"""


@dataclass(frozen=True)
class Entry:
    """A verified artifact in the store, not yet loaded."""

    folder: Path
    stage: str
    key: str
    digest: str
    telemetry: Mapping[str, float]
    notes: tuple[str, ...]
    passed: bool | None

    def load(self, stage: Stage, inputs: Mapping[str, Any]) -> Any:
        """Read the artifact."""
        return stage.load(self.folder, inputs)


class Store:
    """A folder of artifacts, bounded in size; the least recently used go first.

    Parameters
    ----------
    folder : Path
        Made when something is stored.
    max_bytes : int
    fresh : bool
        Find nothing, so that everything is computed, and store it.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES, fresh: bool = False) -> None:
        self.folder, self.max_bytes, self.fresh = Path(folder), max_bytes, fresh
        self._usable, self._marked = True, False

    def find(self, stage: Stage, key: str) -> Entry | None:
        """Return the entry of a key if it is there and whole; what is damaged is thrown away with a warning."""
        folder = self._folder_of(stage.name, key)
        if self.fresh or not self._ours() or not os.path.lexists(folder):
            return None
        try:
            result = _verified(folder, stage.name, key)
            with suppress(OSError):  # used just now
                os.utime(folder)
        except (OSError, ValueError, KeyError, TypeError, PtychoError) as error:
            logger.warning(
                "cache: the stored artifact of stage %s is damaged (%s); computing it anew", stage.name, error
            )
            self._discard(folder)
            return None
        return result

    def put(
        self, stage: Stage, key: str, artifact: Any, sidecar: Mapping[str, Any], about: Mapping[str, Any]
    ) -> None:
        """Store an artifact whose key is locked; `sidecar` holds its digest, telemetry, notes and verdict.

        `about` says how it was made.
        """
        if not self._ours():
            return
        staging = self.folder / "staging" / f"{key}.{uuid.uuid4().hex}"
        try:
            staging.mkdir(parents=True)
            stage.save(artifact, staging, about)
            files: dict[str, tuple[int, str]] = {
                path.name: (path.stat().st_size, identity.file_sha256(path))
                for path in sorted(staging.iterdir())
            }
            size = sum(length for length, _ in files.values())
            if size <= self.max_bytes:
                text = {
                    "format": FORMAT,
                    "stage": stage.name,
                    "key": key,
                    **sidecar,
                    "files": files,
                    "about": about,
                }
                atomic.write_json(staging / DESCRIPTION, {**text, "check": _check(text)})
                self._publish(staging, self._folder_of(stage.name, key))
                self._trim()
        except (OSError, PtychoError) as error:
            self._give_up(error)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    @contextmanager
    def lock(self, key: str, waiting: Callable[[], None]) -> Iterator[None]:
        """Keep other processes from computing a key; call `waiting` once if one of them is at it."""
        lock = self._acquire(key, waiting) if self._ours() else None
        try:
            yield
        finally:
            if lock is not None:
                lock.release()

    def info(self) -> dict[str, tuple[int, int]]:
        """Return (entries, bytes) of every stage; raise RunDirectoryError for a folder that is no cache."""
        self.check()
        result: dict[str, tuple[int, int]] = {}
        for folder in self._entries():
            stage = folder.name.rpartition("-")[0]
            count, size = result.get(stage, (0, 0))
            result[stage] = (count + 1, size + _size(folder))
        return result

    def clear(self) -> int:
        """Throw everything away; return the number of entries. Raises no error for what another process removes.

        What another process is storing meanwhile stays.

        Raises RunDirectoryError for a folder that is no cache, and touches nothing there.
        """
        self.check()
        entries = self._entries()
        for folder in entries:
            self._discard(folder)
        self._sweep()
        self._remove_free_locks()
        return len(entries)

    def check(self) -> None:
        """Raise RunDirectoryError where the folder holds something and is not marked as a cache, or cannot be looked into."""
        try:
            if not os.path.lexists(self.folder):
                return
            # Another process may be writing the mark just now.
            names = [path.name for path in self.folder.iterdir() if not path.name.startswith(f".{MARK}.")]
            if not names:
                return
            mark = self.folder / MARK
            if mark.is_file() and mark.read_bytes()[: len(MARK_TEXT)] == MARK_TEXT.encode():
                return
        except OSError as error:
            raise RunDirectoryError(f"--cache {self.folder}: {error.strerror}; name another folder") from None
        raise RunDirectoryError(
            f"--cache {self.folder}: is no cache of ptycho (it holds no {MARK} of ours); name an empty folder or a new one"
        )

    def _ours(self) -> bool:
        """Whether the folder can be used; it is looked at, and marked, once."""
        if self._usable and not self._marked:
            try:
                self.check()
                if not (self.folder / MARK).is_file():
                    atomic.write_text(self.folder / MARK, MARK_TEXT)
                self._marked = True
            except (OSError, PtychoError) as error:
                self._give_up(error)
        return self._usable

    def _remove_free_locks(self) -> None:
        """Remove the files of locks that nobody holds."""
        folder = self.folder / "locks"
        for path in sorted(folder.glob("*.lock")) if folder.is_dir() else ():
            with suppress(Timeout, OSError), FileLock(path).acquire(timeout=0):
                path.unlink()

    def _folder_of(self, stage: str, key: str) -> Path:
        return self.folder / "entries" / f"{stage}-{key}"

    def _entries(self) -> list[Path]:
        folder = self.folder / "entries"
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def _acquire(self, key: str, waiting: Callable[[], None]) -> FileLock | None:
        try:
            (self.folder / "locks").mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / "locks" / f"{key}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                waiting()
                lock.acquire()
        except (OSError, NotImplementedError) as error:
            self._give_up(error)
            return None
        return lock

    def _publish(self, staging: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(target):
            self._discard(target)
        staging.rename(target)

    def _discard(self, folder: Path) -> None:
        """Make an entry vanish at once, then remove it."""
        trash = self.folder / "staging" / f"trash.{uuid.uuid4().hex}"
        try:
            trash.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(trash)
        except FileNotFoundError:
            return  # another process was faster
        except OSError as error:
            self._give_up(error)
            return
        if trash.is_dir() and not trash.is_symlink():
            shutil.rmtree(trash, ignore_errors=True)
        else:
            trash.unlink(missing_ok=True)

    def _trim(self) -> None:
        """Throw away the least recently used entries, and what dead writers left, until the rest fits."""
        self._sweep()
        entries = sorted((_used(folder), _size(folder), folder) for folder in self._entries())
        total = sum(size for _, size, _ in entries)
        for _, size, folder in entries:
            if total <= self.max_bytes:
                break
            self._discard(folder)
            total -= size

    def _sweep(self) -> None:
        """Remove what writers left that are dead: their lock is free."""
        staging = self.folder / "staging"
        for folder in staging.iterdir() if staging.is_dir() else ():
            key = folder.name.partition(".")[0]
            lock = FileLock(self.folder / "locks" / f"{key}.lock")
            try:
                with lock.acquire(timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
            except (Timeout, OSError):
                continue

    def _give_up(self, error: Exception) -> None:
        if self._usable:
            logger.warning("cache: %s cannot be used (%s); going on without it", self.folder, error)
        self._usable = False


def _verified(folder: Path, stage: str, key: str) -> Entry:
    """Return the entry in `folder`; raise ValueError where it is not what its description says."""
    text = documents.read_table(folder / DESCRIPTION)
    if text.pop("check") != _check(text):
        raise ValueError("its description was changed")
    if (text["format"], text["stage"], text["key"]) != (FORMAT, stage, key):
        raise ValueError("it belongs to something else")
    if {path.name for path in folder.iterdir()} != {DESCRIPTION, *text["files"]}:
        raise ValueError("files are missing or added")
    for name, (size, sha256) in text["files"].items():
        path = folder / name
        if path.stat().st_size != size or identity.file_sha256(path) != sha256:
            raise ValueError(f"{name} was changed")
    return Entry(
        folder,
        stage,
        key,
        str(text["digest"]),
        atomic.with_nan(text["telemetry"]),
        tuple(text["notes"]),
        text["passed"],
    )


def _check(text: Mapping[str, Any]) -> str:
    return identity.key_of(atomic.plain(text))


def _size(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.iterdir())
    except OSError:
        return 0


def _used(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
