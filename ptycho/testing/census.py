"""How many findings are live, tested and proven, stage by stage."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ptycho.base import provenance
from ptycho.testing.fault import Fault
from ptycho.testing.ledger import Finding


@dataclass(frozen=True)
class Row:
    """A stage and the number of its findings."""

    stage: str
    live: int
    tested: int
    proven: int


def source_hash(faults: Iterable[Fault]) -> str:
    """Return the SHA-256 of all sources of the packages that faults are put into."""
    digest = hashlib.sha256()
    for package in sorted({fault.target.partition(":")[0].split(".")[0] for fault in faults}):
        spec = importlib.util.find_spec(package)
        folders = (spec and spec.submodule_search_locations) or ()
        for folder in folders:
            digest.update(provenance.hash_of(Path(folder)).encode())
        if spec and spec.origin and not folders:
            digest.update(Path(spec.origin).read_bytes())
    return digest.hexdigest()


def census(
    findings: Iterable[Finding], tested: Collection[str], proven: Mapping[str, str], source: str
) -> tuple[tuple[Row, ...], int]:
    """Count.

    Parameters
    ----------
    findings : iterable of Finding
    tested : collection of str
        IDs that a test carries.
    proven : mapping of str to str
        By ID the hash of the sources that it was last proven with.
    source : str
        Hash of the sources that are here.

    Returns
    -------
    (rows, stale)
        A row for every stage that has findings, and a last one for all; how many proofs are of other sources.
    """
    live = [entry for entry in findings if entry.status == "live"]
    current = {name for name, of in proven.items() if of == source}
    parts = [(stage, [e for e in live if e.stage == stage]) for stage in dict.fromkeys(e.stage for e in live)]
    rows = tuple(
        Row(
            stage,
            len(entries),
            sum(entry.id in tested for entry in entries),
            sum(entry.id in tested and entry.id in current for entry in entries),
        )
        for stage, entries in [*parts, ("all", live)]
    )
    return rows, sum(entry.id in proven and entry.id not in current for entry in live)
