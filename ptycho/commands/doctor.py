"""`ptycho doctor`: what is in a scan's file, what is wrong with it, and the command that goes on with it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ptycho.base.errors import DataContractError
from ptycho.commands.options import Overwrite, ReadingOptions
from ptycho.settings.request import Reading

COLOURS = {"passed": "green", "warned": "yellow", "failed": "red", "not told": ""}


def doctor(
    file: Path,
    *,
    out: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    overwrite: Overwrite = False,
    reading: ReadingOptions = Reading(),
) -> int:
    """Examine a scan's file: what is in it, what is wrong with it, and what to do; exit code 1 where something is wrong.

    Parameters
    ----------
    file
        A scan in any format that --data reads.
    out
        Folder for a page with pictures, JSON and Markdown.
    as_json
        Print JSON.
    """
    from ptycho.commands import terminal
    from ptycho.diagnose import doctor as room
    from ptycho.diagnose import write
    from ptycho.runs import claim, prepare

    if out is not None:
        claim.record(out, write.PAGE, "a diagnosis", overwrite, "--overwrite")
    raw = None
    try:
        raw = prepare.read_scan(file, reading, room.MOST)
        examined = room.examine(raw)
    except DataContractError as error:
        if not file.is_file():
            raise
        raw = None
        examined = room.refused(str(error).removeprefix(f"{file}: "))
    command = "" if raw is None else _command(file, reading, examined.options)
    answer = room.answer(file.name, raw, examined, command)
    if as_json:
        terminal.say(json.dumps(answer.to_dict(), indent=2))
    else:
        for check in examined.by_weight:
            remedy = f"; {check.remedy}" if check.remedy else ""
            terminal.say(f"{check.status:>8}  {check.name}: {check.words}{remedy}", COLOURS[check.status])
        terminal.say(answer.answer, "bold")
    if out is not None:
        terminal.say(f"wrote {write.files(out, [answer], (file.name,))}")
    return 1 if examined.failed else 0


def _command(file: Path, reading: Reading, options: tuple[str, ...]) -> str:
    """Return the command that solves the scan, read as it was and repaired."""
    words = ["ptycho", "solve", "--data", str(file), *reading.words]
    return " ".join([*map(shlex.quote, words), *options])
