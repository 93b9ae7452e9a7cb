"""Has inner loops compiled, and keeps what comes of it where nobody else can write.

What numba keeps are pickles: whoever can write one runs code in every process that reads it. They are therefore kept in a folder
of the user's cache that belongs to the user alone, and nowhere else: not beside the package, which others may share. One that is
damaged is compiled anew.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import pickle
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit
from numba.core import caching

from ptycho.base import machine

logger = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., Any])
OPTIONS: Any = {"nogil": True, "fastmath": {"contract", "reassoc", "nsz"}, "error_model": "numpy"}
"""No assumption is made that there are no NaNs: they have to come out where they went in."""
DAMAGE = (
    *(pickle.UnpicklingError, EOFError, OSError, ValueError, TypeError, LookupError),
    *(AttributeError, ImportError, RuntimeError, MemoryError),
)
"""What reading a damaged pickle, or linking the code in it, raises."""


def compiled(function: Function) -> Function:
    """Have a function compiled when it is first called, and kept where that is safe."""
    result = njit(**OPTIONS)(function)
    if _folder() is not None:
        with contextlib.suppress(RuntimeError):  # a function without a file has no place to be kept at
            result._cache = _Kept(function)  # type: ignore[no-untyped-call]
    return cast(Function, result)


def private_folder() -> Path | None:
    """Return a folder that only the user can read and write, made where there is none; None where it cannot be had."""
    cache = machine.user_cache()
    if cache is None:
        return None
    folder = cache / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        about = folder.lstat()
    except OSError as error:
        logger.info("compiled loops are not kept: %s: %s", folder, error.strerror)
        return None
    mine = stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and not about.st_mode & 0o077
    if not mine:
        logger.warning(
            "%s: is not a folder of yours alone (0700); compiled loops are not kept, and solving takes seconds longer to begin",
            folder,
        )
    return folder if mine else None


@functools.cache
def _folder() -> Path | None:
    """Ask once for all functions."""
    return private_folder()


LOCATOR: Any = getattr(caching, "UserWideCacheLocator", None) or vars(caching)["_UserWideCacheLocator"]
"""Of numba, by its name of today or of yesterday."""


class _Place(LOCATOR):
    """The folder above, for numba; in it one for each place where the package lies."""

    def get_cache_path(self) -> str:
        """Return where the pickles of a function lie."""
        return str((_folder() or Path()) / Path(self._cache_path).name)


class _Implementation(caching.CompileResultCacheImpl):
    _locator_classes = [_Place]  # noqa: RUF012  numba's


class _Kept(caching.FunctionCache):
    """What was compiled for a function; what is damaged is as if it were not there."""

    _impl_class = _Implementation

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what was compiled for a signature; None where there is nothing, or it is damaged."""
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except DAMAGE as error:
            logger.warning("a kept compiled loop is damaged (%s); it is compiled anew", type(error).__name__)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled, where that is possible; an index that is damaged is begun anew."""
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except DAMAGE:
            self.flush()  # type: ignore[no-untyped-call]
