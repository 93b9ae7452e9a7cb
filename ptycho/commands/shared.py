"""What several commands share: how they run, where results go, what they print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptycho.commands.options import How
from ptycho.runs import prepare
from ptycho.settings import request as requests
from ptycho.settings.request import Reading, SourceFile

if TYPE_CHECKING:
    from ptycho.settings.config import Config


def execution(how: How, listener: Any, resume: bool = False) -> Any:
    """Return how a command executes its run."""
    return prepare.execution(how.cache, how.fresh, how.batch_size, listener, resume)


def run_folder(config: Config, *parts: str | None) -> Path:
    """Return the default run directory: the name of the config, and the parts that tell its runs apart."""
    return Path("runs") / "_".join(filter(None, (config.name, *parts)))


def solution_file(reading: Reading) -> SourceFile | None:
    """Return the file that probe and positions are read from, where there is one."""
    return requests.source_file(None if reading.solution is None else Path(reading.solution))


def wrote(path: Path) -> int:
    """Say which file was written; return the exit code."""
    from ptycho.commands import terminal

    terminal.say(f"wrote {path}")
    return 0


def say_verdict(result: Any, folder: Path) -> int:
    """Say the verdict of a run and where its page lies; return the exit code."""
    from ptycho.commands import terminal
    from ptycho.report import write as report

    colour = "red" if not result.passed else "green" if result.judged else "yellow"
    terminal.say(f"{report.verdict(result)}: {folder / report.PAGE}", colour)
    return 0 if result.passed else 1
