"""What a person sees in a terminal: progress bars, the headline tables of a run, what came from the cache."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from ptycho.base.errors import PtychoError

if TYPE_CHECKING:
    from ptycho.artifacts import stage as rows
    from ptycho.base.progress import Listener, Progress
    from ptycho.stages.pipeline import PipelineResult

STYLES = {"pass": "green", "fail": "bold red", "not applicable": "dim"}


class Terminated(KeyboardInterrupt):
    """Somebody asked the process to end, politely (SIGTERM)."""


NARROWEST = 20
"""Columns. A terminal that is narrower breaks the lines by itself."""


class Patient(Console):
    """A console whose reader may go, whose disk may fill: what it prints after that goes nowhere, and the work goes on.

    Rich's own would end the process with exit code 1, which here says that a gate failed.
    """

    def on_broken_pipe(self) -> None:
        """Send the rest of the output nowhere."""
        shut(self.file)

    def print(self, *objects: Any, **how: Any) -> None:
        """Print; where nothing can be written any more, say so once where complaints go."""
        try:
            super().print(*objects, **how)
        except (OSError, ValueError) as error:  # a closed file is a ValueError
            if isinstance(error, ValueError) and not getattr(self.file, "closed", False):
                raise
            shut(self.file)
            if not self.stderr:
                reason = getattr(error, "strerror", None) or str(error)
                complain(f"cannot write to standard output: {reason}; the work goes on", "yellow")


def shut(stream: Any) -> None:
    """Send whatever is still written to a stream nowhere, with what lies in its buffer."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):  # it is closed, or none of the system's
        return


def plain(text: str) -> str:
    """Return a text as it can be shown: what would steer a terminal, or stands for nothing, is written as an escape."""
    shown = (
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in text
    )
    return "".join(shown)


def out() -> Console:
    """Where results go."""
    return wide_enough(Patient(emoji=False))


def complaints() -> Console:
    """Where everything else goes."""
    return wide_enough(Patient(stderr=True, soft_wrap=True, emoji=False))


def wide_enough(console: Console) -> Console:
    """Have a console print for at least 20 columns: in one or two, tables and help take minutes or never end."""
    console.width = max(console.width, NARROWEST)
    return console


def say(message: str, style: str = "") -> None:
    """Print a line of the result as it is, however long."""
    out().print(plain(message), style=style, markup=False, highlight=False, soft_wrap=True)


def complain(message: str, style: str = "red") -> None:
    """Print an error as one line."""
    text = f"ptycho: {plain(' '.join(message.split()))}"
    complaints().print(text, style=style, markup=False, highlight=False)


def complain_of_a_bug(error: Exception) -> int:
    """Say that this is our fault and how to tell us; return the exit code."""
    kind = "" if isinstance(error, PtychoError) else f"{type(error).__name__}: "
    complain(
        f"{kind}{error}; this is a bug of ptycho, please report it with the command that shows it (PTYCHO_TRACEBACK=1 "
        "shows where)"
    )
    return 3


def say_stopped(stop: KeyboardInterrupt) -> int:
    """Say what an interrupted run has left; return the exit code."""
    terminated = isinstance(stop, Terminated)
    kept = getattr(stop, "__notes__", ["nothing was written"])
    complain(f"{'terminated' if terminated else 'interrupted'}; {'; '.join(kept)}")
    return 143 if terminated else 130


class _Lines(logging.Handler):
    """Our warnings and anybody's errors as lines of their own, above progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("ptycho") or record.levelno >= logging.ERROR:
            complain(record.getMessage(), "yellow" if record.levelno < logging.ERROR else "red")


@contextmanager
def prepared() -> Iterator[None]:
    """Make the process fit for a command line as long as the block lasts: messages, signals, quiet libraries."""
    handler = _Lines(logging.WARNING)
    logging.getLogger().addHandler(handler)
    usual_warnings, warnings.showwarning = warnings.showwarning, _show_warning
    # Only the main thread may say what a signal does; in another one they do what they did.
    main = threading.current_thread() is threading.main_thread()
    usual_signal = signal.signal(signal.SIGTERM, _terminate) if main else None
    quiet = _QuietImport("tensorflow")
    sys.meta_path.insert(0, quiet)
    try:
        with _any_text(sys.stdout), _any_text(sys.stderr):
            yield
    finally:
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not quiet]
        if main:
            signal.signal(signal.SIGTERM, usual_signal)
        warnings.showwarning = usual_warnings
        logging.getLogger().removeHandler(handler)


@contextmanager
def _any_text(stream: Any) -> Iterator[None]:
    """Write what an output's encoding does not have as an escape as long as the block lasts: no name may end a command."""
    usual = getattr(stream, "errors", None)
    if usual is None or not hasattr(stream, "reconfigure"):
        yield
        return
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        stream.reconfigure(errors=usual)


def _terminate(*_: object) -> None:
    raise Terminated


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Show a library's warning as one line."""
    complain(f"{category.__name__}: {message}", "yellow")


class _QuietImport(MetaPathFinder):
    """Imports a library with the process's standard error shut: what native code says at its start tells a user nothing."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Let the other finders find the library, and load it quietly."""
        if fullname != self.name:
            return None
        result = [finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self]
        spec = next((spec for spec in result if spec is not None), None)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def quietly(module: ModuleType) -> None:
            with _stderr_shut():
                load(module)

        spec.loader.exec_module = quietly  # type: ignore[method-assign]
        return spec


@contextmanager
def _stderr_shut() -> Iterator[None]:
    """Send what is written to file descriptor 2 nowhere."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def show(result: PipelineResult) -> None:
    """Print headline tables and where the artifacts came from."""
    # Here and not above: `ptycho --help` need not load what runs a pipeline.
    from ptycho.stages import pipeline

    if result.fault:
        say(f"made with the fault {result.fault} put into the program: not a result", "red")
    for name in result.records:
        for outcome in pipeline.stage_named(name).tables(result.artifacts[name]):
            if outcome.headline:
                table(outcome)
    for how in ("given", "loaded", "computed"):
        names = [record.stage for record in result.records.values() if record.how == how]
        if names:
            label = "from the cache" if how == "loaded" else how
            say(f"{label}: {', '.join(names)}", "dim")


def table(numbers: rows.Table) -> None:
    """Print some numbers, verdicts in their colours."""
    from ptycho.base import page

    result = Table()
    for column in numbers.columns:
        result.add_column(Text(plain(str(column))))
    for row in numbers.rows:
        style = next((STYLES[cell] for cell in row if cell in STYLES), "")
        result.add_row(*(Text(plain(page.number(cell))) for cell in row), style=style)
    out().print(result)


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a plain table; what does not fit is folded, never cut off."""
    table = Table(show_lines=any("\n" in cell for row in rows for cell in row))
    for column in columns:
        table.add_column(Text(plain(column)), overflow="fold")
    for row in rows:
        table.add_row(
            *(Text(plain(cell)) for cell in row)
        )  # a cell is text: square brackets in it are no markup
    out().print(table)


class Bars:
    """Progress bars on a terminal, and elsewhere a line for every milestone; and each note once, as soon as it is known."""

    def __enter__(self) -> Listener:
        console = complaints()
        self._live = console.is_terminal
        self._bars = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not self._live,
        )
        self._tasks: dict[str, TaskID] = {}
        self._noted: set[str] = set()
        if self._live:  # elsewhere older releases of rich write an empty line
            self._bars.start()
        return self._listen

    def _listen(self, progress: Progress) -> None:
        if progress.note:
            self._note(progress.message)
            return
        if not self._live:
            if progress.milestone:
                complain(f"{progress.stage}: {progress.message}", "dim")
            return
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = self._bars.add_task(progress.stage, total=progress.total)
        self._bars.update(
            self._tasks[progress.stage],
            total=progress.total,
            completed=progress.done,
            description=plain(f"{progress.stage} {progress.message}"),
        )

    def _note(self, text: str) -> None:
        """Print a note where results go, between the bars."""
        if text in self._noted:
            return
        self._noted.add(text)
        if self._live:
            self._bars.stop()
        say(text, "yellow")
        if self._live:
            self._bars.start()

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._bars.stop()
