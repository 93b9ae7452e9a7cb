"""Damage to files, drawn by hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st


@st.composite
def damaged(draw: Any, whole: bytes, last: int | None = None) -> bytes:
    """Cut a file short, or change one byte: any, or one of its `last`."""
    if draw(st.booleans()):
        return whole[: draw(st.integers(0, len(whole) - 1))]
    changed = bytearray(whole)
    first = 0 if last is None else max(0, len(whole) - last)
    changed[draw(st.integers(first, len(whole) - 1))] ^= draw(st.integers(1, 255))
    return bytes(changed)
