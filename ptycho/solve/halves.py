"""Every second pattern solved by itself, and the others: the one tells what the other's object is worth.

An object predicts the patterns that it was not made from only where it is right. Solvers lower the error of the patterns that they
are given in any case: under a collapsed probe or at wrong positions as well.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ptycho.base.errors import DataContractError
from ptycho.scan import counting
from ptycho.scan.raw import RawData
from ptycho.solve import explain
from ptycho.solve.explain import Explained
from ptycho.solve.solution import Solution


def solve(raw: RawData, by: Callable[[RawData, int], Solution]) -> tuple[Solution, Solution]:
    """Solve the even and the odd patterns of a scan apart; raise DataContractError for fewer than two patterns.

    `by` solves a scan, with a number that is 0 for the first half and 1 for the second.
    """
    if len(raw) < 2:
        raise DataContractError(f"a scan of {len(raw)} pattern has no halves; give one of two or more")
    first, second = (by(raw.take(rows), number) for number, rows in enumerate(rows_of(len(raw))))
    return first, second


def rows_of(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows (m,) int64 of both halves of a scan of `count` patterns."""
    return np.arange(0, count, 2), np.arange(1, count, 2)


def left_out(raw: RawData, solutions: tuple[Solution, Solution]) -> Explained:
    """Say how well object and probe of each half predict the patterns of the other, at the positions of the scan."""
    raw = counting.counted(raw)
    mean = explain.mean_of(raw)
    parts = [
        explain.explained(solution.reconstruction, raw.take(rows), solution.probe, mean, rows)
        for solution, rows in zip(solutions, reversed(rows_of(len(raw))), strict=True)
    ]
    return explain.together(parts)
