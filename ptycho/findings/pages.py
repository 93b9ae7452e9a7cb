"""The ledger as pages for people: `docs/findings/`, and what `ptycho findings show` prints."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ptycho.base import atomic, documents
from ptycho.base.errors import LedgerError
from ptycho.findings import ledger
from ptycho.stages import pipeline
from ptycho.testing.ledger import Finding

INDEX = "README.md"
HEAD = """# Findings

Every way in which a ptychography pipeline is known to have gone wrong, and what must hold instead. Generated from
"""
"""How an index begins; by that it is known."""
SHOWN = "images/shown.json"
"""Beside the pages: by ID of a finding the picture of a run with its fault, the command that made it, its verdict."""


def file_name(finding: Finding) -> str:
    """Return the name of a finding's page."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", finding.id).strip("-") + ".md"


def page(finding: Finding, tests: Sequence[str], shown: Mapping[str, str] | None = None) -> str:
    """Return a finding's page, Markdown; `shown` are `picture`, `command` and `verdict` of a run with its fault."""
    where = "the run as a whole" if finding.stage == ledger.WHOLE_RUN else f"stage `{finding.stage}`"
    lines = [
        f"# {finding.id}: {finding.title}",
        "",
        f"{where}, shown by the {finding.tier} tier; {finding.source}",
        "",
        *_part("What one sees", finding.symptom),
        *_part("Why", finding.mechanism),
        *_part("What must hold", finding.invariant),
        *_part("In a run of your own", finding.remedy),
    ]
    if shown:
        lines += ["## With the bug put back", "", f"`{shown['command']}`", ""]
        lines += [f"![{finding.id}]({shown['picture']})", "", f"Its verdict: {shown['verdict']}", ""]
    if finding.status == "not_applicable":
        lines += _part("Why it does not apply here", finding.reason)
    lines += ["## Tests", ""]
    lines += [f"- `{test}`" for test in tests] or ["none yet"]
    return "\n".join(lines) + "\n"


def index(findings: Sequence[Finding], tests: Mapping[str, Sequence[str]]) -> str:
    """Return the table of all findings, stage by stage, Markdown."""
    lines = [
        *HEAD.splitlines(),
        "`ptycho/findings/ledger.toml` by `ptycho findings pages docs/findings`.",
        "",
        "| stage | finding | what must hold | tests |",
        "|---|---|---|---|",
    ]
    for stage in (ledger.WHOLE_RUN, *(row.name for row in pipeline.STAGES)):
        for entry in findings:
            if entry.stage == stage:
                count = str(len(tests.get(entry.id, ()))) if entry.status == "live" else "does not apply"
                title = f"[{entry.id}]({file_name(entry)})"
                lines.append(f"| {stage} | {title} {entry.title} | {_cell(entry.invariant)} | {count} |")
    return "\n".join(lines) + "\n"


def write(folder: Path) -> int:
    """Write all pages into a folder, take away those of findings that have gone, and return how many there are.

    A page that no earlier index names is somebody else's, and stays.

    Raises LedgerError for a folder whose README is not an index of ours, before anything is written.
    """
    findings, tests = ledger.read(), ledger.selectors()
    before = _earlier(folder)
    shown = documents.read_table(folder / SHOWN, LedgerError) if (folder / SHOWN).exists() else {}
    wanted = {
        file_name(entry): page(entry, tests.get(entry.id, ()), shown.get(entry.id)) for entry in findings
    }
    wanted[INDEX] = index(findings, tests)
    for name in wanted:
        if name not in before and (folder / name).exists():
            raise LedgerError(f"{folder / name}: is there already and no page of ours; name another folder")
    for name, text in wanted.items():
        atomic.write_text(folder / name, text)
    for name in before - set(wanted):
        (folder / name).unlink(missing_ok=True)
    return len(wanted)


def _earlier(folder: Path) -> set[str]:
    """Return the names of the pages in a folder, as its index names them, and the index; none where there is no index."""
    path = folder / INDEX
    if not path.is_file():
        return set()
    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.startswith(HEAD):
        raise LedgerError(f"{path}: is no index of findings; name another folder")
    return {INDEX, *re.findall(r"\| \[[^]]*\]\(([^/()]+\.md)\) ", text)}


def _part(title: str, text: str) -> list[str]:
    return [f"## {title}", "", text, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
