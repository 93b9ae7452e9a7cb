"""What a machine can hold and read, asked before it is needed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ptycho.base.errors import PtychoError

Item = TypeVar("Item")
Result = TypeVar("Result")

LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux says how much a container may use: control groups of either version."""


def user_cache() -> Path | None:
    """Return the folder of the user's cache for this program; None for a user without a home, as in many containers."""
    import platformdirs

    try:
        folder = platformdirs.user_cache_path("ptycho")
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None


def memory_bytes() -> int:
    """Return how many bytes of memory there are for this process: the machine's, or fewer in a container."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in LIMITS:
        try:
            there = min(there, int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return there


def cores() -> int:
    """Return how many processors this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def side_by_side(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return `function` of every item, in their order, computed in as many threads as there are processors."""
    with ThreadPoolExecutor(cores()) as threads:
        return list(threads.map(function, items))


def check_memory(needed: float, what: str, remedy: str, kind: type[PtychoError]) -> None:
    """Raise an error of `kind` where `what` needs more bytes than the machine has memory."""
    there = memory_bytes()
    if needed > there:
        raise kind(
            f"{what} needs {_gib(needed)} GiB but the machine has {_gib(there)} GiB of memory; {remedy}"
        )


def check_file(path: Path, kind: type[PtychoError]) -> None:
    """Raise an error of `kind` for a path that is no file to read: none at all, a folder, a pipe, a device."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise kind(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise kind(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if stat.S_ISDIR(mode):
        raise kind(f"{path}: cannot be read: it is a folder; give a file")
    if not stat.S_ISREG(mode):
        raise kind(f"{path}: cannot be read: it is a pipe or a device; copy it into a file first")


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f}" if count < 2**50 else f"{count / 2**30:.3g}"
