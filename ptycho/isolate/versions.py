"""Another version of the package as a side: a revision in git, or another interpreter; its rows run in a process of their own."""

from __future__ import annotations

import ast
import contextlib
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from ptycho.artifacts.stage import Execution, Stage
from ptycho.base.errors import ConfigError, StageError
from ptycho.isolate import code as codes
from ptycho.isolate import worker
from ptycho.isolate.code import Code
from ptycho.settings.params import Params
from ptycho.stages import pipeline


class Process:
    """A running interpreter of another version, asked one question after the other."""

    def __init__(self, name: str, python: str, path: Path | None = None) -> None:
        self.name = name
        before = [] if path is None else ["-c", _BEFORE.format(path=str(path), script=worker.__file__)]
        command = [python, *(before or [str(worker.__file__)])]
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise ConfigError(
                f"{name}: cannot be run: {error.strerror}; give the path of an interpreter"
            ) from None

    def ask(self, question: str, *arguments: Any) -> Any:
        """Return an answer; raise StageError, in the words of the other version, where there is none."""
        to, back = cast("IO[bytes]", self.process.stdin), cast("IO[bytes]", self.process.stdout)
        try:
            pickle.dump((question, arguments), to)
            to.flush()
            how, answer = pickle.load(back)
        except (OSError, EOFError, pickle.UnpicklingError):
            raise StageError(f"{self.name}: its process ended (exit code {self.process.wait()})") from None
        if how == "failed":
            kind, words, _ = answer
            raise StageError(f"{self.name}: {kind}: {words}")
        return answer

    def close(self) -> None:
        """End the process."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # it may have ended before us
                    stream.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


_BEFORE = (
    """import runpy, sys; sys.path.insert(0, {path!r}); runpy.run_path({script!r}, run_name="__main__")"""
)


@dataclass(frozen=True)
class RowOf:
    """A row as another version has it.

    Attributes
    ----------
    name : str
        For people, with the functions that differ.
    tag : str
        The hash of its code there.
    row : str
    process : Process
    """

    name: str
    tag: str
    row: str
    process: Process = field(compare=False, hash=False)

    def reached_by(self, stage: Stage) -> bool:
        """Whether it is this row."""
        return stage.name == self.row

    def run(
        self,
        stage: Stage,
        inputs: Mapping[str, Any],
        params: Params,
        execution: Execution,
        own: Callable[[], Any],
    ) -> Any:
        """Have the artifact computed by the other version."""
        there = {name: inputs[name] for name in stage.inputs}
        return self.process.ask("run", self.row, params.to_dict(), there, execution.batch_size)


@contextmanager
def of_revision(revision: str) -> Iterator[tuple[Code, ...]]:
    """Give the rows that differ in a revision of the repository that this package or the present folder lies in.

    Raises ConfigError for what is no revision, one without the package, or one that lacks a row.
    """
    repository = _repository()
    resolved = _git(repository, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if resolved is None:
        raise ConfigError(f"--bad-rev {revision}: no revision of {repository}")
    with tempfile.TemporaryDirectory(prefix="ptycho-revision-") as scratch:
        folder = Path(scratch) / "tree"
        if _git(repository, "worktree", "add", "--detach", "--force", str(folder), resolved) is None:
            raise ConfigError(f"--bad-rev {revision}: git cannot make a worktree of it")
        try:
            with _rows(f"--bad-rev {revision}", sys.executable, folder) as rows:
                yield rows
        finally:
            _git(repository, "worktree", "remove", "--force", str(folder))


@contextmanager
def of_python(python: str) -> Iterator[tuple[Code, ...]]:
    """Give the rows that differ in the package of another interpreter; raise ConfigError where it has none."""
    with _rows(f"--bad-python {python}", python, None) as rows:
        yield rows


@contextmanager
def _rows(name: str, python: str, path: Path | None) -> Iterator[tuple[Code, ...]]:
    process = Process(name, python, path)
    try:
        try:
            there = process.ask("describe")
        except StageError as error:
            raise ConfigError(
                f"{name}: has no package ptycho with a table of stages that can be asked ({error})"
            ) from None
        yield tuple(_differing(name, process, there))
    finally:
        process.close()


def _differing(name: str, process: Process, there: Mapping[str, Any]) -> Iterator[RowOf]:
    """Yield the rows whose code is another one there."""
    ours, theirs = Path(__file__).resolve().parents[1], Path(there["folder"])
    changed = changed_functions(ours, theirs)
    needed = pipeline.needed_stages({}, pipeline.verdict_row().name)
    for row in needed:
        other = there["rows"].get(row.name)
        if other is None or tuple(other["inputs"]) != row.inputs:
            raise ConfigError(
                f"{name}: has no stage {row.name} of the same inputs; only versions with the same table can be compared"
            )
        if other["code"] != row.code:
            where = [function for function in changed if codes.reaches(row, function)]
            words = f" ({', '.join(where[:6])}{', ...' if len(where) > 6 else ''})" if where else ""
            yield RowOf(f"code of {row.name}{words}", other["code"], row.name, process)


def changed_functions(ours: Path, theirs: Path) -> list[str]:
    """Return ``module:function`` of what differs between the sources of two packages, ``module`` alone for anything else."""
    result = []
    for path in sorted(
        {each.relative_to(folder) for folder in (ours, theirs) for each in folder.rglob("*.py")}
    ):
        parts = ["ptycho", *path.with_suffix("").parts]
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        one, other = (_functions(folder / path) for folder in (ours, theirs))
        names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
        result += [f"{module}:{name}" if name else module for name in names]
    return result


def _functions(path: Path) -> dict[str, str]:
    """Return the syntax of every function and method of a source, and under "" of everything else."""
    if not path.is_file():
        return {}
    result = {"": ""}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    waiting: list[tuple[str, ast.stmt]] = [("", node) for node in tree.body]
    while waiting:
        prefix, node = waiting.pop(0)
        if isinstance(node, ast.ClassDef):
            waiting = [(f"{prefix}{node.name}.", inner) for inner in node.body] + waiting
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            result[f"{prefix}{node.name}"] = ast.dump(node)
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            result[""] += ast.dump(node)
    return result


def _repository() -> Path:
    """Return the repository that holds the package, or the present folder; raise ConfigError where there is none."""
    for folder in (Path(__file__).resolve().parent, Path.cwd()):
        text = _git(folder, "rev-parse", "--show-toplevel")
        if text is not None and (Path(text) / "ptycho").is_dir():
            return Path(text)
    raise ConfigError(
        "--bad-rev: neither the package nor this folder lies in a repository of git; use --bad-python"
    )


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git says, None where it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
