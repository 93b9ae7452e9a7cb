"""A fault: a small named mutation that puts a known bug back, and putting it in."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from ptycho.base import errors
from ptycho.base.errors import FaultError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fault:
    """A mutation of one function.

    Attributes
    ----------
    finding : str
        ID of the finding that it puts back.
    name : str
        Short name; `finding:name` is the fault's ID.
    target : str
        ``module:attribute`` or ``module:Class.attribute``: the function that is replaced.
    make : callable
        From the original to its replacement.
    """

    finding: str
    name: str
    target: str
    make: Callable[[Callable[..., Any]], Callable[..., Any]]

    @property
    def id(self) -> str:
        """Name of the fault among all."""
        return f"{self.finding}:{self.name}"


@dataclass
class Calls:
    """How often the replacement was called."""

    count: int = field(default=0)


def named(name: str, faults: Iterable[Fault]) -> Fault:
    """Return a fault by its ID, or by its finding's where that has one only; raise FaultError for an unknown one."""
    known = {fault.id: fault for fault in faults}
    if name in known:
        return known[name]
    of_finding = [fault for fault in known.values() if fault.finding == name]
    if len(of_finding) == 1:
        return of_finding[0]
    if of_finding:
        raise FaultError(f"finding {name} has several faults: {', '.join(fault.id for fault in of_finding)}")
    raise FaultError(f"no fault {name!r}{errors.hint(name, known, 0.3)}")


@contextlib.contextmanager
def injected(fault: Fault) -> Iterator[Calls]:
    """Put a fault in as long as the block lasts; every name that is bound to the original is bound to the replacement.

    Raises
    ------
    FaultError
        The target is no function of a module that can be imported.
    """
    holder, attribute = find_target(fault)
    raw = vars(holder)[attribute]
    original = _function_in(raw)
    calls = Calls()
    replacement = _counted(fault.make(original), original, calls)
    kinds = (property, staticmethod, classmethod, functools.cached_property)
    wrapped: Any = type(raw)(replacement) if isinstance(raw, kinds) else replacement
    if isinstance(wrapped, functools.cached_property):
        wrapped.__set_name__(holder, attribute)
    setattr(holder, attribute, wrapped)
    others = _rebind(raw, wrapped)
    try:
        yield calls
    finally:
        setattr(holder, attribute, raw)
        for module, name in others:
            setattr(module, name, raw)


@contextlib.contextmanager
def all_injected(names: Iterable[str], faults: Iterable[Fault]) -> Iterator[str]:
    """Put several faults in, by their IDs, as long as the block lasts; yield the IDs as one text.

    A fault that was never called is named in a warning.

    Raises FaultError for an unknown one.
    """
    result = [named(name, tuple(faults)) for name in names]
    with contextlib.ExitStack() as stack:
        reached = [stack.enter_context(injected(fault)) for fault in result]
        yield " + ".join(fault.id for fault in result)
    for fault, calls in zip(result, reached, strict=True):
        if not calls.count:
            logger.warning(
                "the fault %s is not met: this run never called %s, so that it shows nothing",
                fault.id,
                fault.target,
            )


def find_target(fault: Fault) -> tuple[Any, str]:
    """Return the module or class that holds a fault's target, and the attribute's name.

    Raises FaultError where there is none, or it is no function.
    """
    module, _, path = fault.target.partition(":")
    *parents, attribute = path.split(".")
    try:
        holder: Any = importlib.import_module(module)
        for part in parents:
            holder = getattr(holder, part)
        vars(holder)[attribute]
    except (ImportError, AttributeError, KeyError) as error:
        raise FaultError(f"fault {fault.id}: there is no {fault.target}: {error}") from None
    if not callable(_function_in(vars(holder)[attribute])):
        raise FaultError(f"fault {fault.id}: {fault.target} is no function")
    return holder, attribute


def _function_in(raw: Any) -> Any:
    """Return the function of a static or class method or a (cached) property, and of anything else itself."""
    if isinstance(raw, property):
        return raw.fget
    if isinstance(raw, functools.cached_property):
        return raw.func
    return raw.__func__ if isinstance(raw, (staticmethod, classmethod)) else raw


def _counted(
    replacement: Callable[..., Any], original: Callable[..., Any], calls: Calls
) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        calls.count += 1
        return replacement(*args, **kwargs)

    with contextlib.suppress(ValueError, TypeError):  # some built-in functions have none
        # Who looks at the signature (Keras does) must see that of the original.
        call.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    return call


def _modules() -> list[ModuleType]:
    """Return what is loaded and is a module: anybody may put anything there."""
    loaded: list[Any] = list(sys.modules.values())
    return [item for item in loaded if isinstance(item, ModuleType)]


def _rebind(original: Any, replacement: Any) -> list[tuple[ModuleType, str]]:
    """Bind names that other modules took of the original (``from module import name``) to the replacement."""
    result = [
        (module, name)
        for module in _modules()
        for name, value in list(vars(module).items())
        if value is original
    ]
    for module, name in result:
        setattr(module, name, replacement)
    return result
