"""Rows that run other code: a function of the package that is replaced, or the row of another version of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from typing import Any, Protocol

from ptycho.artifacts.stage import Execution, Stage
from ptycho.base import identity, provenance
from ptycho.settings.params import Params


class Code(Protocol):
    """Code of BAD that rows of GOOD may run."""

    @property
    def name(self) -> str:
        """What differs, for people."""
        ...

    @property
    def tag(self) -> str:
        """Its identity, for the keys of the store."""
        ...

    def reached_by(self, stage: Stage) -> bool:
        """Whether a row may run it."""
        ...

    def run(
        self,
        stage: Stage,
        inputs: Mapping[str, Any],
        params: Params,
        execution: Execution,
        own: Callable[[], Any],
    ) -> Any:
        """Compute a row's artifact; `own` computes it by the code that runs otherwise."""
        ...


@dataclass(frozen=True)
class Replaced:
    """A function of the package that is another one in BAD.

    Attributes
    ----------
    name : str
        ``module:function``, or ``module:Class.function``.
    tag : str
        Identity of the replacement.
    put_in : callable
        Returns a context in which the replacement is in force.
    """

    name: str
    tag: str
    put_in: Callable[[], AbstractContextManager[Any]]

    def reached_by(self, stage: Stage) -> bool:
        """Whether the row's sources import the function's module."""
        return reaches(stage, self.name)

    def run(
        self,
        stage: Stage,
        inputs: Mapping[str, Any],
        params: Params,
        execution: Execution,
        own: Callable[[], Any],
    ) -> Any:
        """Compute the artifact while the replacement is in force; what functions remember of either is forgotten."""
        _forget()
        try:
            with self.put_in():
                return own()
        finally:
            _forget()


def reaches(stage: Stage, function: str) -> bool:
    """Whether the sources of a row import the module of a function, named ``module:function``."""
    homes = (stage.home, stage.family)
    module = function.partition(":")[0]
    return any(provenance.reaches(home.__name__, module) for home in homes if home is not None)


def _forget() -> None:
    """Empty the caches of all functions of the package: what they hold may have been computed by other code."""
    for name, module in list(sys.modules.items()):
        if not name.startswith("ptycho.") or name == provenance.__name__:
            continue
        for value in list(vars(module).values()):
            clear = getattr(value, "cache_clear", None)
            if callable(clear):
                clear()


@dataclass(frozen=True)
class OtherStage(Stage):
    """A row of the table that runs other code, and whose artifacts have keys of their own."""

    by: tuple[Code, ...] = ()

    @property
    def code(self) -> str:
        """Hash of the sources that it runs, and of what takes their place."""
        return identity.key_of(super().code, [each.tag for each in self.by])[:24]

    def run(self, inputs: Mapping[str, Any], params: Params, execution: Execution) -> Any:
        """Compute the artifact, by the other code."""
        compute: Callable[[], Any] = lambda: Stage.run(self, inputs, params, execution)  # noqa: E731
        for each in self.by:
            compute = _around(each, self, inputs, params, execution, compute)
        return compute()


def _around(
    code: Code,
    stage: Stage,
    inputs: Mapping[str, Any],
    params: Params,
    execution: Execution,
    inner: Callable[[], Any],
) -> Callable[[], Any]:
    return lambda: code.run(stage, inputs, params, execution, inner)


def with_code(stage: Stage, by: tuple[Code, ...]) -> Stage:
    """Return the row as it runs other code."""
    own = {each.name: getattr(stage, each.name) for each in fields(Stage)}
    return OtherStage(**own, by=by)
