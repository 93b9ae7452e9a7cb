"""What a row of the stage table is: a module of functions, and what the table says about it.

The functions are looked up in the module whenever they are called, so that one
``setattr(module, name, replacement)`` replaces any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ptycho.base import provenance
from ptycho.base.errors import StageError
from ptycho.base.progress import Listener
from ptycho.settings.params import Params


@dataclass(frozen=True)
class Execution:
    """How a run is executed. Nothing in here may change a result.

    Attributes
    ----------
    listener : callable or None
        Told how far the stages have come.
    folder : Path or None
        Where training keeps its checkpoint and history.
    batch_size : int
        Groups that inference computes at once.
    resume : bool
        Go on from the checkpoint in `folder`.
    cache : Store or None
        Where artifacts are kept from run to run; None computes everything.
    key : str
        Of the stage that is running; set by the pipeline.
    fault : str
        ID of a fault that has been put into the program, see :mod:`ptycho.testing`. It does change the result, which
        is why such a run neither takes anything from the cache nor leaves anything in it, and says so.
    """

    listener: Listener | None = None
    folder: Path | None = None
    batch_size: int = 32
    resume: bool = False
    cache: Any = None
    key: str = ""
    fault: str = ""

    @property
    def store(self) -> Any:
        """The cache that the run itself may use: none with a fault.

        Identities tell of config and data: what a faulty program made must not pass for what a sound one makes.
        """
        return None if self.fault else self.cache


@dataclass(frozen=True)
class Picture:
    """A figure of the report.

    `name` is that of a function in :mod:`ptycho.report.figures`; `of` are the artifacts that it draws, or with a
    dot what it takes of them: it is drawn anew when one of those changes. Where the rows in `unless` have one and the same
    artifact it would say nothing new, and is not drawn.
    """

    name: str
    of: tuple[str, ...]
    caption: str
    unless: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """Some numbers for people. A headline stands at the top of the page, and in the terminal."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    headline: bool = False


@dataclass(frozen=True)
class Stage:
    """One row of the table.

    Attributes
    ----------
    name : str
    home : module
        Its functions, by fixed names:

        ``KIND``, the type of the artifact;
        ``run(inputs, params, execution) -> artifact``, pure but for what it tells the listener;
        ``telemetry(artifact) -> {name: number}``;
        ``invariants(artifact)``, yields (what must hold, whether it does);
        ``save(artifact, folder, about)`` into files of its own, ``about`` being how the run was made;
        ``load(folder, inputs) -> artifact``, equal to what was saved;
        ``save`` and ``load`` may also be left to ``FILE``, a name, with the family's ``write(path, artifact)`` and
        ``read(path, inputs)``;
        and where they are wanted ``export`` (what a run directory gets instead of `save`), ``notes(artifact,
        params)``, ``passed(artifact)`` and ``heading(artifact)``, ``tables(artifact)``, and ``check(params)``, which
        raises ConfigError before any row runs, and ``versions(params)``, of what else its numbers come from.
    family : module or None
        Has the functions that several rows share; one of a row's own goes before it.
    inputs : tuple of str
        Stages whose artifacts it takes.
    reads : tuple of str
        Dotted paths of the config that its result depends on; `params` holds nothing else.
    pictures : tuple of Picture
    costly : bool
        Whether its artifact is to be kept in the run directory even where a later row fails.
    optional : bool
        Whether it runs only where it is asked for.
    """

    name: str
    home: ModuleType
    family: ModuleType | None = None
    inputs: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    costly: bool = False
    optional: bool = False

    @property
    def kind(self) -> type:
        """Type of the artifact."""
        kind: type = self.home.KIND
        return kind

    @property
    def purpose(self) -> str:
        """One line for people."""
        return (self.home.__doc__ or "").strip().splitlines()[0]

    @property
    def code(self) -> str:
        """Hash of the sources that it runs."""
        return provenance.code_version(self.home.__name__)

    def check(self, params: Params) -> None:
        """Raise ConfigError where what it runs on is not installed."""
        provenance.check_backend(self.home.__name__)
        self._optional("check", lambda _: None)(params)

    def run(self, inputs: Mapping[str, Any], params: Params, execution: Execution) -> Any:
        """Compute the artifact."""
        return self.home.run(inputs, params, execution)

    def telemetry(self, artifact: Any) -> dict[str, float]:
        """Describe an artifact in numbers."""
        return dict(self.function("telemetry")(artifact))

    def broken_invariants(self, artifact: Any) -> list[str]:
        """Return the invariants that an artifact breaks."""
        return [says for says, holds in self.function("invariants")(artifact) if not holds]

    def save(self, artifact: Any, folder: Path, about: Mapping[str, Any]) -> None:
        """Write an artifact's files into `folder`."""
        own = getattr(self.home, "save", None)
        if own is not None:
            own(artifact, folder, about)
        else:
            self.function("write")(folder / self.home.FILE, artifact)

    def load(self, folder: Path, inputs: Mapping[str, Any]) -> Any:
        """Read an artifact back; `inputs` are asked for what the files do not hold."""
        own = getattr(self.home, "load", None)
        return (
            own(folder, inputs) if own is not None else self.function("read")(folder / self.home.FILE, inputs)
        )

    def export(self, artifact: Any, folder: Path, about: Mapping[str, Any]) -> None:
        """Write what a run directory gets of an artifact."""
        self._optional("export", self.save)(artifact, folder, about)

    def notes(self, artifact: Any, params: Params) -> list[str]:
        """Return what a person should know before looking at any number."""
        return list(self._optional("notes", lambda *_: ())(artifact, params))

    def passed(self, artifact: Any) -> bool | None:
        """Return the verdict of a stage that judges, None of any other."""
        result: bool | None = self._optional("passed", lambda *_: None)(artifact)
        return result

    @property
    def judges(self) -> bool:
        """Whether its artifact is a verdict."""
        return self._optional("passed", None) is not None

    def heading(self, artifact: Any) -> str:
        """Return a verdict in words for the top of the report."""
        plain = "PASS" if self.passed(artifact) else "FAIL"
        return str(self._optional("heading", lambda _: plain)(artifact))

    def tables(self, artifact: Any) -> list[Table]:
        """Return the tables of the report: its own, or its telemetry."""
        own = self._optional("tables", None)
        if own is not None:
            return list(own(artifact))
        return [Table(self.name, ("", ""), tuple(self.telemetry(artifact).items()))]

    def versions(self, params: Params) -> dict[str, str]:
        """Return the versions of what its numbers come from beside its own code and what that imports."""
        return dict(self._optional("versions", lambda _: {})(params))

    def function(self, name: str) -> Any:
        """Return a function of its home, or else of its family; looked up whenever it is called."""
        return getattr(self.home, name, None) or getattr(self.family, name)

    def _optional(self, name: str, default: Callable[..., Any] | None) -> Any:
        return getattr(self.home, name, None) or getattr(self.family, name, default)


class Inputs(Mapping[str, Any]):
    """The artifacts that a stage declares as its inputs, fetched when they are asked for; any other raises."""

    def __init__(self, stage: str, names: Iterable[str], artifacts: Mapping[str, Any]) -> None:
        self._stage, self._names, self._artifacts = stage, tuple(names), artifacts

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise StageError(
                f"stage {self._stage} takes the artifact of {name}, which its row does not declare; add it to `inputs`"
            )
        return self._artifacts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
