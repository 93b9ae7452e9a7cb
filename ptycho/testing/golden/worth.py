"""What an array must not be to be worth storing: faults would leave it as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

SATURATED = 0.25
"""Share of values that are exactly the largest: something clips them, and what lies above it is not seen."""

_MOVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "when its rows are reversed": lambda a: a[..., ::-1, :],
    "when its columns are reversed": lambda a: a[..., ::-1],
    "when turned by 180 degrees": lambda a: a[..., ::-1, ::-1],
    "when rows and columns are swapped": lambda a: np.swapaxes(a, -1, -2),
    "when turned by 180 degrees and conjugated (its twin)": lambda a: a[..., ::-1, ::-1].conj(),
}


def complaints(array: np.ndarray) -> list[str]:
    """Return why an array would hide faults; nothing where it would not.

    The array is of any shape.

    A single number is only asked to be finite. Text and truth values are not asked to be without symmetry.
    """
    if array.dtype.kind not in "biufcU":
        return [f"has the type {array.dtype}: neither numbers nor text"]
    if not array.size:
        return ["is empty"]
    if array.dtype.kind == "U":
        return []
    if array.size == 1:
        return [] if np.isfinite(array).all() else ["is not finite"]
    return list(_of_many(array))


def _of_many(array: np.ndarray) -> Iterator[str]:
    if not np.isfinite(array).any():
        yield "is nowhere finite"
        return
    magnitude = np.abs(array[np.isfinite(array)].astype(complex))
    if not magnitude.any():
        yield "is zero everywhere"
        return
    if np.unique(array).size == 1:
        yield "is constant"
        return
    if array.dtype.kind == "b":
        return
    largest = magnitude.max()
    share = float((magnitude == largest).mean())
    if array.size > 8 and array.dtype.kind in "fcu" and share > SATURATED:
        yield f"is saturated: {share:.0%} of its values are the largest one"
    yield from (f"is the same {what}" for what in _symmetries(array))


def _symmetries(array: np.ndarray) -> Iterator[str]:
    if array.ndim == 1:
        if array.size > 2 and _same(array, array[::-1]):
            yield "when reversed"
        return
    if min(array.shape[-2:]) < 2:
        return
    for what, move in _MOVES.items():
        twin = "conjugated" in what
        if twin and array.dtype.kind != "c":
            continue
        moved = move(array)
        if moved.shape == array.shape and _same(array, moved):
            yield what


def _same(array: np.ndarray, moved: np.ndarray) -> bool:
    scale = np.abs(array[np.isfinite(array)].astype(complex)).max(initial=0)
    return bool(np.allclose(array, moved, rtol=0, atol=1e-6 * scale, equal_nan=True))
