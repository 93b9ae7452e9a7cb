"""A project's ledger of findings: frozen entries, checked when they are read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from ptycho.base import errors, toml
from ptycho.base.errors import LedgerError
from ptycho.base.section import Section

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


def read(path: Path, stages: Collection[str] = ()) -> tuple[Finding, ...]:
    """Return the entries of a ledger.

    Parameters
    ----------
    path : Path
    stages : collection of str, optional
        Stages that an entry may name; default any.

    Raises
    ------
    LedgerError
        Naming the file, the entry and what is wrong with it.
    """
    table = toml.load_toml(path)
    entries = table.get("finding")
    if set(table) != {"finding"} or not isinstance(entries, list):
        raise LedgerError(f"{path}: expected [[finding]] entries and nothing else; found {', '.join(table)}")
    entries_by_id: dict[str, Finding] = {}
    for number, values in enumerate(entries, 1):
        name = values.get("id", f"entry {number}") if isinstance(values, Mapping) else f"entry {number}"
        try:
            entry = Finding.model_validate(values)
        except ValidationError as error:
            says = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise LedgerError(f"{path}: {name}: {says.removeprefix(': Value error, ')}") from None
        if stages and entry.stage not in stages:
            raise LedgerError(f"{path}: {entry.id}: stage {entry.stage!r} must be one of {', '.join(stages)}")
        if entry.id in entries_by_id:
            raise LedgerError(f"{path}: {entry.id} stands there twice")
        entries_by_id[entry.id] = entry
    return tuple(entries_by_id.values())


def named(name: str, findings: Iterable[Finding]) -> Finding:
    """Return an entry by its ID; raise LedgerError for an unknown one, with the nearest known."""
    entries = {entry.id: entry for entry in findings}
    if name in entries:
        return entries[name]
    raise LedgerError(f"no finding {name!r}{errors.hint(name, entries, 0.4)}")
