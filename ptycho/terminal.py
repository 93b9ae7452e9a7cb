"""What a person sees in a terminal: progress bars, the headline tables of a run, what came from the cache."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from ptycho import pipeline
from ptycho.pipeline import PipelineResult
from ptycho.progress import Listener, Progress
from ptycho.report import write as report

STYLES = {"pass": "green", "fail": "bold red", "not applicable": "dim"}


def out() -> Console:
    """Where results go."""
    return Console()


def complaints() -> Console:
    """Where everything else goes."""
    return Console(stderr=True, soft_wrap=True)


def complain(message: str) -> None:
    """Print an error as one red line."""
    complaints().print(f"ptycho: {message}", style="red", markup=False, highlight=False)


def set_up_logging() -> None:
    """Show warnings of the program as lines of their own."""
    handler = RichHandler(console=complaints(), show_path=False, show_time=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])


def show(result: PipelineResult) -> None:
    """Print notes, headline tables and where the artifacts came from."""
    console = out()
    for note in result.notes:
        console.print(note, style="yellow", markup=False)
    for name in result.records:
        for found in pipeline.stage_named(name).tables(result.artifacts[name]):
            if found.headline:
                table = Table(*found.columns)
                for row in found.rows:
                    style = next((STYLES[cell] for cell in row if cell in STYLES), "")
                    table.add_row(*map(report.number, row), style=style)
                console.print(table)
    for how in ("given", "loaded", "computed"):
        names = [record.stage for record in result.records.values() if record.how == how]
        if names:
            label = "from the cache" if how == "loaded" else how
            console.print(f"{label}: {', '.join(names)}", style="dim", markup=False, highlight=False)


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a plain table; what does not fit is folded, never cut off."""
    table = Table(show_lines=any("\n" in cell for row in rows for cell in row))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    out().print(table)


class Bars:
    """Progress bars on a terminal; nothing elsewhere."""

    def __enter__(self) -> Listener:
        console = complaints()
        self._bars = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._bars.start()
        return self._listen

    def _listen(self, progress: Progress) -> None:
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = self._bars.add_task(progress.stage, total=progress.total)
        self._bars.update(
            self._tasks[progress.stage],
            total=progress.total,
            completed=progress.done,
            description=f"{progress.stage} {progress.message}",
        )

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()
