"""The page that shows what changed in golden files, old and new side by side; in one file."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.base import atomic, page
from ptycho.testing import pictures
from ptycho.testing.evidence import Compared
from ptycho.testing.golden import changes as room
from ptycho.testing.golden.changes import Change, Delta
from ptycho.testing.golden.files import Record

REMEDY = 'ptycho golden accept NAME ... --reason "why"'


def write(place: Path, changes: Iterable[Change], title: str, remedy: str = REMEDY) -> Path:
    """Write the page of changes and return it."""
    goldens = [_golden(change) for change in changes]
    text = page.html(
        "testing/golden/review.html", title=title, goldens=goldens, remedy=remedy if goldens else ""
    )
    atomic.write_text(place, text)
    return place


def _golden(change: Change) -> dict[str, Any]:
    side = change.new or change.old
    record = side[1] if side is not None else None
    return {
        "kind": change.kind,
        "name": str(change.path.with_suffix("")),
        "facts": _facts(record, change.old[1] if change.old else None) if record is not None else [],
        "deltas": [_delta(delta) for delta in room.deltas(change)],
    }


def _facts(record: Record, old: Record | None) -> list[tuple[str, str]]:
    facts = [("rests on", record.rests_on), ("made by", record.made.get("command", ""))]
    if record.reason:
        facts.append(("reason", record.reason))
    for label, each in (("evidence", record), ("evidence of the old", old)):
        if each is not None and each.evidence is not None:
            separation = f"the least by {each.evidence.separation:.3g} of what is allowed"
            facts.append((label, f"{len(each.evidence.faults)} faults move it, {separation}"))
    changed = old is not None and old.made.get("source_hash") != record.made.get("source_hash")
    facts.append(
        ("source", "another than that of the old" if changed else record.made.get("source_hash", "")[:12])
    )
    return facts


def _delta(delta: Delta) -> dict[str, str]:
    old, new = delta.old, delta.new
    one = new if new is not None else old
    picture = b""
    if one is not None and one.size > 1:
        blank = np.full_like(one, 0)
        picture = pictures.side_by_side(
            Compared(delta.name, blank if new is None else new, blank if old is None else old),
            ("stored", "now"),
        )
    return {"name": delta.name, "text": delta.text, "picture": base64.b64encode(picture).decode()}
