"""Reading the ledger: frozen entries, checked when they are read."""

from __future__ import annotations

import ast
import json
from collections.abc import Collection, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from ptycho import errors, layers, pipeline
from ptycho.config import Section
from ptycho.errors import LedgerError

WHOLE_RUN = "run"
"""Stage of a finding that concerns the run as a whole."""
LEDGER, SELECTORS = "ledger.toml", "selectors.json"
TO_BE_WRITTEN = "TODO"
"""What stands in a new entry, test and fault; nobody may leave it there."""
Words = Field(min_length=3)


class Finding(Section):
    """One way of going wrong.

    Attributes
    ----------
    id : str
        Its name in the ledger, in markers and in faults.
    stage : str
        Where it shows: in this package a row of the stage table, or `run`.
    tier : str
        The cheapest tier that shows it.
    symptom, mechanism, invariant, remedy : str
        What one sees, why, what must hold instead, and how to recognise or mend it in a run of one's own.
    source : str
        Where it was first met.
    status : str
        `live`, or `not_applicable` with a `reason`.
    """

    id: str = Words
    title: str = Words
    stage: str = Words
    tier: Literal["unit", "golden", "scenario"]
    source: str = Words
    symptom: str = Words
    mechanism: str = Words
    invariant: str = Words
    remedy: str = Words
    status: Literal["live", "not_applicable"] = "live"
    reason: str = ""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        unwritten = [name for name, value in self if isinstance(value, str) and TO_BE_WRITTEN in value]
        if unwritten:
            raise ValueError(f"{', '.join(unwritten)}: still to be written ({TO_BE_WRITTEN})")
        if (self.status == "not_applicable") != bool(self.reason.strip()):
            raise ValueError("a reason belongs to a finding that does not apply, and to no other")
        return self


def read(path: Path | None = None, stages: Collection[str] = ()) -> tuple[Finding, ...]:
    """Return the entries of a ledger, by default the package's, whose stages are the rows of the table.

    Parameters
    ----------
    path : Path, optional
    stages : collection of str, optional
        Stages that an entry may name; default any.

    Raises
    ------
    LedgerError
        Naming the file, the entry and what is wrong with it.
    """
    if path is None:
        with resources.as_file(resources.files("ptycho.findings") / LEDGER) as own:
            return read(own, (WHOLE_RUN, *(stage.name for stage in pipeline.STAGES)))
    table = layers.load_toml(path)
    entries = table.get("finding")
    if set(table) != {"finding"} or not isinstance(entries, list):
        raise LedgerError(f"{path}: expected [[finding]] entries and nothing else; found {', '.join(table)}")
    found: dict[str, Finding] = {}
    for number, values in enumerate(entries, 1):
        name = values.get("id", f"entry {number}") if isinstance(values, Mapping) else f"entry {number}"
        try:
            entry = Finding.model_validate(values)
        except ValidationError as error:
            says = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise LedgerError(f"{path}: {name}: {says.removeprefix(': Value error, ')}") from None
        if stages and entry.stage not in stages:
            raise LedgerError(f"{path}: {entry.id}: stage {entry.stage!r} must be one of {', '.join(stages)}")
        if entry.id in found:
            raise LedgerError(f"{path}: {entry.id} stands there twice")
        found[entry.id] = entry
    return tuple(found.values())


def named(name: str, findings: Iterable[Finding] | None = None) -> Finding:
    """Return an entry by its ID; raise LedgerError for an unknown one, with the nearest known."""
    entries = {entry.id: entry for entry in (read() if findings is None else findings)}
    if name in entries:
        return entries[name]
    raise LedgerError(f"no finding {name!r}{errors.hint(name, entries, 0.4)}")


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
    """Return the tests below a folder that carry ``@pytest.mark.finding("ID")``, by ID, as pytest names them."""
    found: dict[str, list[str]] = {}
    for path in sorted(tests.rglob("test_*.py")):
        file = path.relative_to(tests.parent).as_posix()
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError) as error:
            raise LedgerError(f"{path}: cannot be read as Python: {error}") from None
        every = [node.value for node in tree.body if isinstance(node, ast.Assign) and _is_pytestmark(node)]
        _collect_from(tree.body, file, [name for value in every for name in _ids(ast.walk(value))], found)
    return {name: found[name] for name in sorted(found)}


def _collect_from(body: list[ast.stmt], prefix: str, above: list[str], found: dict[str, list[str]]) -> None:
    for node in body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        names = [*above, *_marked(node)]
        if isinstance(node, ast.ClassDef):
            _collect_from(node.body, f"{prefix}::{node.name}", names, found)
        elif node.name.startswith("test_"):
            for name in names:
                found.setdefault(name, []).append(f"{prefix}::{node.name}")


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
