"""The size of a group's local canvas, from the relative offsets that it must hold."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ptycho.base.errors import GroupingError
from ptycho.scan.groups import GroupedData

MAX_REACH = 1.0
"""Largest distance of a member from its group's centre, in units of N: beyond it patches do not overlap."""


def reach_px(groups: Iterable[GroupedData]) -> float:
    """Return how far members lie at most from the centre of their canvas along an axis, over all groups, px."""
    return max((float(np.abs(grouped.on_canvas[1]).max()) for grouped in groups if len(grouped)), default=0.0)


def side_px(reach: float, N: int, multiple: int) -> int:
    """Return the side of a canvas that holds members up to `reach` px off its centre.

    At least ``N + 2 * ceil(reach)``, and N and an even multiple of `multiple`: what a network needs.

    Raises
    ------
    GroupingError
        The members lie so far apart that they share nothing.
    """
    if reach > MAX_REACH * N:
        raise GroupingError(
            f"a group's members lie up to {reach:.1f} px from its centre but patches are {N} px wide: they do not "
            "overlap; use gridsize 1, a denser scan, or a smaller grouping.neighbor_count"
        )
    step = math.lcm(2, multiple)
    return N + step * math.ceil(2 * math.ceil(reach) / step)
