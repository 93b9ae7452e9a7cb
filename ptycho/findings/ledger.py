"""The package's own ledger, and the tests that pin its findings."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from ptycho.base.errors import LedgerError
from ptycho.stages import pipeline
from ptycho.testing import ledger
from ptycho.testing.ledger import Finding

WHOLE_RUN = "run"
"""Stage of a finding that concerns the run as a whole."""
LEDGER, SELECTORS = "ledger.toml", "selectors.json"


def read() -> tuple[Finding, ...]:
    """Return all entries; raise LedgerError where one names a stage that is no row of the table."""
    with resources.as_file(resources.files("ptycho.findings") / LEDGER) as path:
        return ledger.read(path, (WHOLE_RUN, *(stage.name for stage in pipeline.STAGES)))


def named(name: str) -> Finding:
    """Return an entry by its ID; raise LedgerError for an unknown one, with the nearest known."""
    return ledger.named(name, read())


def select(stage: str | None = None, status: str | None = None) -> tuple[Finding, ...]:
    """Return the findings of a stage and a status; raise LedgerError for a stage or status that no finding has."""
    entries = read()
    for name, wanted in (("stage", stage), ("status", status)):
        known = sorted({getattr(entry, name) for entry in entries})
        if wanted is not None and wanted not in known:
            raise LedgerError(f"no finding has the {name} {wanted!r} (known: {', '.join(known)})")
    return tuple(e for e in entries if stage in (None, e.stage) and status in (None, e.status))


def selectors() -> dict[str, list[str]]:
    """Return the tests that pin each finding, by its ID, as they were when the package was built."""
    text = (resources.files("ptycho.findings") / SELECTORS).read_text(encoding="utf-8")
    return dict(json.loads(text))


def collect(tests: Path) -> dict[str, list[str]]:
    """Return the tests below a folder that carry ``@pytest.mark.finding("ID")``, by ID, as pytest names them.

    Raises LedgerError for a file that is no Python.
    """
    result: dict[str, list[str]] = {}
    for path in sorted(tests.rglob("test_*.py")):
        file = path.relative_to(tests.parent).as_posix()
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError) as error:
            raise LedgerError(f"{path}: cannot be read as Python: {error}") from None
        every = [node.value for node in tree.body if isinstance(node, ast.Assign) and _is_pytestmark(node)]
        _collect_from(tree.body, file, [name for value in every for name in _ids(ast.walk(value))], result)
    return {name: result[name] for name in sorted(result)}


def _collect_from(body: list[ast.stmt], prefix: str, above: list[str], tests: dict[str, list[str]]) -> None:
    for node in body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        names = [*above, *_marked(node)]
        if isinstance(node, ast.ClassDef):
            _collect_from(node.body, f"{prefix}::{node.name}", names, tests)
        elif node.name.startswith("test_"):
            for name in names:
                tests.setdefault(name, []).append(f"{prefix}::{node.name}")


def _is_pytestmark(node: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets)


def _marked(node: ast.FunctionDef | ast.ClassDef) -> list[str]:
    """Return the IDs of a test's finding markers."""
    return _ids(node.decorator_list)


def _ids(nodes: Iterable[ast.AST]) -> list[str]:
    return [
        str(ast.literal_eval(item.args[0]))
        for item in nodes
        if isinstance(item, ast.Call) and ast.unparse(item.func) == "pytest.mark.finding"
    ]
