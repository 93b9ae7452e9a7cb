"""Snapshots of plain values as JSON that say everything that was compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from syrupy.extensions.json import JSONSnapshotExtension

from ptycho.base.errors import GoldenError

PLAIN = (str, int, float, bool, type(None))


class StrictJSON(JSONSnapshotExtension):
    """syrupy's JSON, for what JSON can hold only.

    What it cannot is stored as its ``repr`` by syrupy, which leaves out the middle of an array.
    """

    def serialize(self, data: Any, **options: Any) -> Any:
        """Return the text that is stored; raise GoldenError for what would not be stored whole."""
        _check(data, "the value")
        return super().serialize(data, **options)


def _check(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise GoldenError(f"{where}: the key {key!r} is no text; JSON would make it one")
            _check(item, f"{where}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check(item, f"{where}[{index}]")
    elif not isinstance(value, PLAIN):
        raise GoldenError(
            f"{where} is a {type(value).__name__}: a snapshot would hold its repr, with the middle left out; "
            "use golden.check for arrays"
        )
    elif isinstance(value, float) and not math.isfinite(value):
        raise GoldenError(f"{where} is {value}: JSON has no such number")
