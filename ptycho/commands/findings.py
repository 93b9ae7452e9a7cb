"""`ptycho findings`: the ledger on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

app = App(name="findings", help="Known ways of going wrong, and the tests that pin them.")


@app.default
def listed(
    *,
    stage: str | None = None,
    status: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """List the findings, all or those of a stage or a status (live, not_applicable)."""
    from ptycho.commands import terminal
    from ptycho.findings import ledger

    chosen, tests = ledger.select(stage, status), ledger.selectors()
    if as_json:
        entries = [{**entry.model_dump(mode="json"), "tests": tests.get(entry.id, [])} for entry in chosen]
        terminal.say(json.dumps(entries, indent=2))
        return 0
    rows = [(f.stage, f.id, f.title, str(len(tests.get(f.id, ())))) for f in chosen]
    terminal.grid(("stage", "finding", "what", "tests"), rows)
    return 0


@app.command
def show(name: str) -> int:
    """Explain a finding: what one sees, why, what must hold, how to recognise it in a run of one's own."""
    from ptycho.commands import terminal
    from ptycho.findings import ledger, pages

    entry = ledger.named(name)
    terminal.say(pages.page(entry, ledger.selectors().get(entry.id, ())))
    return 0


@app.command(name="pages")
def write_pages(folder: Path) -> int:
    """Write the pages of all findings into a folder."""
    from ptycho.commands import terminal
    from ptycho.findings import pages

    terminal.say(f"{pages.write(folder)} pages in {folder}")
    return 0


@app.command
def new(
    name: str,
    *,
    ledger: Path = Path("ptycho/findings/ledger.toml"),
    tests: Path = Path("tests/unit"),
    faults: Path = Path("ptycho/findings/faults"),
) -> int:
    """Write entry, test and fault of a new finding; they fail until they are filled in.

    Parameters
    ----------
    name
        Its ID.
    ledger
        The TOML file that gets the entry.
    tests
        The folder that gets the test.
    faults
        The folder that gets the fault.
    """
    from ptycho.commands import terminal
    from ptycho.findings import scaffold

    for what, path in scaffold.new(name, ledger, tests, faults).items():
        terminal.say(f"{what}: {path}")
    return 0


@app.command
def collect(tests: Path) -> int:
    """Note in the package which tests below a folder carry which finding's marker."""
    from ptycho.base import atomic
    from ptycho.commands import terminal
    from ptycho.findings import ledger

    path = Path(ledger.__file__).with_name(ledger.SELECTORS)
    result = ledger.collect(tests)
    atomic.write_json(path, result)
    terminal.say(f"{sum(map(len, result.values()))} tests of {len(result)} findings in {path}")
    return 0
