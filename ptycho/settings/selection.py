"""Frames and pixels as a user names them: ``all``, frames ``3,7,40-49``, pixels ``12x40,13x40`` (row x column)."""

from __future__ import annotations

import re
from collections.abc import Iterable

ALL = "all"
FRAMES, PIXELS = "all, or frames like 3,7,40-49", "all, or pixels like 12x40,13x40 (row x column)"
MOST = 10_000_000
"""Frames that a range may hold."""


def frames(text: str | None) -> tuple[int, ...] | None:
    """Return the frames that a text names, none without one and None for all; raise ValueError for another text."""
    if text is None or text == ALL:
        return () if text is None else None
    result: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not 0 <= last - first < MOST:
            raise ValueError(f"expected {FRAMES}")
        result += range(first, last + 1)
    return tuple(sorted(set(result)))


def pixels(text: str | None) -> tuple[tuple[int, int], ...] | None:
    """Return the pixels (row, column) that a text names, none without one and None for all; raise ValueError for another text."""
    if text is None or text == ALL:
        return () if text is None else None
    matches = [re.fullmatch(r"\s*(\d{1,9})x(\d{1,9})\s*", part) for part in text.split(",")]
    if None in matches:
        raise ValueError(f"expected {PIXELS}")
    return tuple(sorted({(int(match[1]), int(match[2])) for match in matches if match}))


def text_of(rows: Iterable[int]) -> str:
    """Write rows, in rising order and at least one, as such a text."""
    parts: list[list[int]] = []
    for row in rows:
        if parts and parts[-1][1] == int(row) - 1:
            parts[-1][1] = int(row)
        else:
            parts.append([int(row), int(row)])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in parts)
