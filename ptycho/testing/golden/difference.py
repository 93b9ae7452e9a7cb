"""One thing in which what was obtained differs from what is stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Difference:
    """One thing in which an array differs.

    Attributes
    ----------
    name : str
        Of the array.
    what : str
        `dtype`, `shape`, `layout`, `unit`, `missing`, `unused`, `not finite` or `values`.
    text : str
        For people: what was stored, what was obtained.
    worst : tuple of int or None
        Index of the largest difference.
    excess : float
        The largest difference in units of what is allowed; infinite where nothing is.
    """

    name: str
    what: str
    text: str
    worst: tuple[int, ...] | None = None
    excess: float = float("inf")


def scale_of(expected: np.ndarray) -> float:
    """Return the largest finite magnitude of an array, 0 where there is none.

    The array is of any shape.
    """
    return float(np.abs(expected[np.isfinite(expected)].astype(complex)).max(initial=0))
