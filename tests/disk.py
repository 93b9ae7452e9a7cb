"""A disk that fills, or a process that is killed, at a chosen operation on files; and what must hold after it.

    python tests/disk.py COMMAND HOW FIRST [STEP [COUNT]]     # solve, run, simulate or diagnose; full or killed
    python tests/disk.py some HOW                             # a few of each

What counts as an operation: a file that is opened for writing, a write to it, a folder that is made, a name that is given, changed
or taken away. From the chosen one on the disk is full until the process ends, or at it the process is killed. Then there is space
again; the same command, told to go on, must end with the same bits as one that nothing happened to. Results add up in .fuzz.
"""

from __future__ import annotations

import errno
import importlib
import json
import math
import mmap
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hostile
import numpy as np

from ptycho.base import atomic, layout

SETS = tuple(part for text in (*hostile.TINY, "training.epochs=2") for part in ("--set", text))
COMMANDS = {
    "solve": ("solve", "--data", "scan.npz", "--set", "solver.passes=4", "--no-halves", "--out", "out"),
    "run": ("run", "gs1_ideal", *SETS, "--out", "out"),
    "simulate": ("simulate", "gs1_ideal", *SETS, "--out", "out.npz"),
    "diagnose": ("diagnose", "probe", "scan.npz", "--out", "out"),
}
GOING_ON = {"solve": "--resume", "run": "--resume", "simulate": "--overwrite", "diagnose": "--overwrite"}
HOW = ("full", "killed")
SOME = {
    "solve": range(7, 517, 86),
    "run": range(300, 1468, 600),
    "simulate": range(92, 165, 25),
    "diagnose": range(106, 119, 5),
}
"""Operations for the gate: begun, in the middle and at the end of what each command writes."""
CHANGES = {"os.mkdir", "os.rename", "os.link"}
TAKES_AWAY = {"os.remove", "os.rmdir"}


class Disk:
    """Counts operations on files, in memory that a forked child shares, and lets one fail (none where `at` is 0)."""

    def __init__(self, at: int = 0, how: str = "killed") -> None:
        self.at, self.how = at, how
        self.shared = mmap.mmap(-1, 8)

    @property
    def done(self) -> int:
        """How many operations there were."""
        return int.from_bytes(self.shared[:], "little")

    def install(self) -> None:
        """Watch this process from now on; that cannot be undone."""
        sys.addaudithook(self.heard)
        usual = os.fdopen
        atomic.os = _Like(os, fdopen=lambda *args: _Stream(usual(*args), self))  # type: ignore[attr-defined]

    def heard(self, event: str, args: tuple[Any, ...]) -> None:
        """Count what the interpreter tells of a file that is changed."""
        if event == "open" and isinstance(args[0], (str, bytes)) and args[2] & (os.O_WRONLY | os.O_RDWR):
            if not os.fsdecode(args[0]).startswith("/dev/"):
                self.operation(args[0])
        elif event in CHANGES:
            self.operation(args[0])
        elif event in TAKES_AWAY:
            self.operation(None, needs_space=False)

    def operation(self, path: Any, needs_space: bool = True) -> None:
        """Count one more, and do what was chosen."""
        done = self.done + 1
        self.shared[:] = done.to_bytes(8, "little")
        if self.how == "killed" and done == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "full" and needs_space and 0 < self.at <= done:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *([path] if path else []))


class _Like:
    """An object with some attributes in the place of its own."""

    def __init__(self, thing: Any, **others: Any) -> None:
        self.__dict__ |= {"_thing": thing, **others}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._thing, name)


class _Stream(_Like):
    """A stream whose writes are operations."""

    def __init__(self, stream: Any, disk: Disk) -> None:
        super().__init__(stream, _disk=disk)

    def write(self, data: Any) -> int:
        self._disk.operation(None)
        return self._thing.write(data)

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *error: Any) -> None:
        self._thing.close()


@contextmanager
def desk(source: Path) -> Iterator[tuple[Path, Path]]:
    """A folder with a copy of the valid files, and the one outside of it, with a cache of what comes before the solver."""
    with tempfile.TemporaryDirectory(prefix="ptycho-disk-", dir=source.parent) as name:
        folder = Path(name) / "desk"
        folder.mkdir()
        for file in ("scan.npz", "solution.npz"):
            shutil.copy(source / file, folder)
        shutil.copytree(source.parent / "cache", Path(name) / "cache")
        yield folder, Path(name)


class Bench:
    """Commands on valid files, and what each leaves where nothing happens to it."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.clean: dict[str, tuple[int, int, dict[str, Any]]] = {}

    def undisturbed(self, name: str) -> tuple[int, int, dict[str, Any]]:
        """Return how many operations a command takes, its exit code, and what it leaves."""
        if name not in self.clean:
            counting = Disk()
            with desk(self.source) as (folder, outside):
                ending = hostile.called([*COMMANDS[name]], folder, outside, counting.install)
                if ending.code not in (0, 1):
                    raise ValueError(f"{name} alone ended with {ending.code}: {ending.errors}")
                self.clean[name] = counting.done, ending.code, results(folder)
        return self.clean[name]

    def broken(self, name: str, at: int, how: str) -> list[str]:
        """Disturb a command at an operation, have it go on, and return what of the promise does not hold."""
        _, code, expected = self.undisturbed(name)
        with desk(self.source) as (folder, outside):
            before = hostile.contents(folder)
            ending = hostile.called([*COMMANDS[name]], folder, outside, Disk(at, how).install)
            wrong = []
            if how == "full":
                wrong += hostile.broken(ending)
                wrong += [f"left {path}" for path in hidden(folder)]
            elif ending.code not in (-signal.SIGKILL, code):
                wrong.append(f"was killed and ended with {ending.code}")
            after = hostile.contents(folder)
            wrong += [f"{path} was changed" for path, was in before.items() if after.get(path) != was]
            again = hostile.called([*COMMANDS[name], GOING_ON[name]], folder, outside)
            wrong += [f"going on: {words}" for words in hostile.broken(again)]
            if again.code != code:
                wrong.append(f"going on ended with {again.code}: {again.errors.strip()[-300:]}")
            wrong += [f"going on left {path}" for path in hidden(folder)]
            wrong += [f"going on: {words}" for words in differences(expected, results(folder))]
        return wrong


def hidden(folder: Path) -> list[str]:
    """Return what a writer left half-done below a folder."""
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob(".*"))
        if path.name not in (layout.LOCK, ".writable")
    ]


def results(folder: Path) -> dict[str, Any]:
    """Return what a command left below a folder: arrays of each archive, digests of each stage, names of all other files."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name[0] != "."):
        name = path.relative_to(folder).as_posix()
        found[name] = None
        if path.suffix == ".npz" and path.name not in ("checkpoint.npz", "bundle.npz"):
            with np.load(path) as stored:
                found[name] = {key: stored[key] for key in stored.files if stored[key].dtype.kind != "U"}
        if path.name == layout.METADATA:
            stages = json.loads(path.read_text())["stages"]
            found[name] = {stage: np.array(record["digest"]) for stage, record in stages.items()}
    return found


def differences(expected: dict[str, Any], obtained: dict[str, Any]) -> list[str]:
    """Return in which files two results differ."""
    wrong = [f"{name} is missing" for name in expected if name not in obtained]
    wrong += [f"{name} is too much" for name in obtained if name not in expected]
    for name in set(expected) & set(obtained):
        mine, other = expected[name] or {}, obtained[name] or {}
        if set(mine) != set(other):
            wrong.append(f"{name} holds {sorted(other)} and not {sorted(mine)}")
        wrong += [
            f"{name}: {key} differs"
            for key in set(mine) & set(other)
            if mine[key].tobytes() != other[key].tobytes()
        ]
    return sorted(wrong)


@contextmanager
def bench(frameworks: bool = False) -> Iterator[Bench]:
    """Make the valid files; import what commands need, so that a child need not."""
    hostile.imported()
    if frameworks:
        importlib.import_module("keras")
    with tempfile.TemporaryDirectory(prefix="ptycho-disk-files-") as name:
        source = Path(name) / "files"
        source.mkdir()
        hostile.prepare(source)
        hostile.warmed(source)
        yield Bench(source)


def disturb(
    each: Bench, name: str, how: str, points: Iterable[int], until: float = math.inf
) -> list[dict[str, Any]]:
    """Disturb a command at some operations, up to a time, and write down what came of it; return where the promise is broken."""
    whole, _, _ = each.undisturbed(name)
    wrong = []
    for at in map(int, points):
        if at > whole or time.perf_counter() > until:
            break
        line = {"command": name, "how": how, "at": at, "of": whole, "broken": each.broken(name, at, how)}
        with (hostile.folder() / "disk.jsonl").open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        wrong += [line] if line["broken"] else []
    return wrong


def take(name: str, how: str, seconds: float) -> list[dict[str, Any]]:
    """Disturb a command for so long at operations that are not written down yet, in an order that is drawn once."""
    until = time.perf_counter() + seconds
    file = hostile.folder() / "disk.jsonl"
    written = hostile.written(file)
    with bench(frameworks=name == "run") as each:
        whole, _, _ = each.undisturbed(name)
        done = {
            line["at"] for line in written if (line["command"], line["how"], line["of"]) == (name, how, whole)
        }
        points = [at for at in np.random.default_rng(0).permutation(whole) + 1 if at not in done]
        return disturb(each, name, how, points, until)


if __name__ == "__main__":
    command, kind, *numbers = sys.argv[1:]
    first, step, count = [*map(int, numbers), *(1, 1, 10**6)[len(numbers) :]]
    chosen = SOME if command == "some" else {command: range(first, first + step * count, step)}
    with bench(frameworks="run" in chosen) as each:
        for one, points in chosen.items():
            for line in disturb(each, one, kind, points):
                print(line)
