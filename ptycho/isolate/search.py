"""The smallest sets of differences: those whose repair mends BAD, and those that break GOOD.

Differences are put into GOOD together, and only where that shows are they divided: what does not show in company costs no
experiment of its own. The order is that of the stages, so that the halves are of neighbours. Delta debugging (Zeller &
Hildebrandt, IEEE Trans. Softw. Eng. 28, 183, 2002) divides alike, but begins anew from halves of everything after each cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from ptycho.isolate.differences import Difference
from ptycho.isolate.laboratory import Taken

Shows = Callable[[Taken], bool]
"""Whether GOOD with some differences of BAD is no more GOOD."""


@dataclass(frozen=True)
class Repair:
    """Differences that must be repaired, and those that may stay as they are in BAD: GOOD with all of these shows nothing."""

    needed: tuple[Difference, ...]
    harmless: Taken


def smallest_repair(
    candidates: Sequence[Difference], shows: Shows, harmless: Taken = frozenset(), certain: bool = False
) -> Repair:
    """Return the differences that cannot stay as they are in BAD, beside those that can.

    Parameters
    ----------
    candidates : sequence of Difference
        In an order in which neighbours have to do with each other.
    shows : callable
    harmless : frozenset
        What shows nothing.
    certain : bool
        Whether all of them together are known to show.
    """
    if not candidates or not (certain or shows(harmless | frozenset(candidates))):
        return Repair((), harmless | frozenset(candidates))
    if len(candidates) == 1:
        return Repair((candidates[0],), harmless)
    middle = len(candidates) // 2
    first = smallest_repair(candidates[:middle], shows, harmless)
    # Where the first half shows nothing the second must.
    second = smallest_repair(candidates[middle:], shows, first.harmless, certain=not first.needed)
    return Repair((*first.needed, *second.needed), second.harmless)


def smallest_breaks(needed: Sequence[Difference], rest: Taken, breaks: Shows) -> list[Taken]:
    """Return the smallest sets that break GOOD: all single ones and, where there are none, pairs, and then one set that is minimal.

    Parameters
    ----------
    needed : sequence of Difference
        What a repair needs.
    rest : frozenset
        Everything else that differs.
    breaks : callable
    """
    for size in (1, 2):
        result = [frozenset(some) for some in combinations(needed, size) if breaks(frozenset(some))]
        if result:
            return result
    whole = frozenset(needed)
    if not breaks(whole):
        whole = whole | rest
        if not breaks(whole):
            return []
    return [_reduced(whole, needed, breaks)]


def _reduced(whole: Taken, last: Sequence[Difference], breaks: Shows) -> Taken:
    """Return a set of which nothing can be left out; what stands in `last` is left out last."""
    order = sorted(whole, key=lambda each: (each in last, each.kind, each.name))
    size = max(len(order) // 2, 1)
    while True:
        for start in range(0, len(order), size):
            fewer = whole - frozenset(order[start : start + size])
            if fewer and fewer != whole and breaks(fewer):
                whole = fewer
        order = [each for each in order if each in whole]
        if size == 1:
            return whole
        size = max(size // 2, 1)
