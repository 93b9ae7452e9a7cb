"""Which pattern belongs to which position: by their numbers where a file has them, and never silently by order alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ptycho.base.errors import ConfigError, DataContractError
from ptycho.scan.formats import frames
from ptycho.scan.formats.source import Source

LEADING, FROM = "leading", "from="
STARTS = (0, 1)
"""Numbers from which a trigger counts."""


def check(pair: str | None) -> None:
    """Raise ConfigError for what says nothing about pairs."""
    if pair not in (None, LEADING) and not (pair.startswith(FROM) and pair.removeprefix(FROM).isdecimal()):
        raise ConfigError(f"--pair {pair}: expected leading, or from=0, from=1 (the first pattern's number)")


def paired(source: Source, pair: str | None = None) -> Source:
    """Return a source whose patterns and positions belong together one by one.

    Positions of one number are averaged, patterns without a position are left out; both are told. Without numbers there must be
    as many of both.

    Parameters
    ----------
    source : Source
        With patterns and positions.
    pair : str, optional
        leading: take the first of both, whatever their numbers. from=K: K is the number of the first pattern, where patterns
        have none of their own.

    Raises
    ------
    DataContractError
        Numbers that may be meant in two ways, that come twice among patterns, or that none share.
    """
    check(pair)
    if source.positions is None:
        return source
    if pair == LEADING:
        return _leading(source, source.positions)
    if source.position_indexes is None:
        return source
    count = len(source.patterns)
    _check_count("patterns", count, source.pattern_indexes)
    _check_count("positions", len(source.positions), source.position_indexes)
    positions, numbers, repeated = averaged(source.positions, source.position_indexes)
    if pair is not None:
        first = int(pair.removeprefix(FROM))
        mine, words = first + np.arange(count), f"patterns count from {first}, as asked"
    elif source.pattern_indexes is not None:
        mine, words = source.pattern_indexes, "those that both have"
    else:
        first = _start(count, numbers)
        mine, words = first + np.arange(count), f"patterns count from {first}"
    if len(np.unique(mine)) < len(mine):
        raise DataContractError(
            f"{len(mine)} patterns have {len(np.unique(mine))} numbers; give each its own"
        )
    both, rows, places = np.intersect1d(mine, numbers, return_indices=True)
    if not len(both):
        raise DataContractError(
            f"patterns are numbered {_range(mine)} and positions {_range(numbers)}: none belong together; add --pair from=K "
            "with the number of the first pattern"
        )
    order = np.argsort(rows)
    rows, places = rows[order], places[order]
    lines = [f"{len(both)} patterns and positions are paired by their numbers ({words})"]
    if repeated:
        lines.append(f"{repeated} positions that share a number are averaged")
    if len(both) < count:
        lines.append(f"{count - len(both)} patterns have no position and are left out")
    if len(both) < len(numbers):
        lines.append(f"{len(numbers) - len(both)} positions have no pattern and are left out")
    patterns = source.patterns if len(both) == count else frames.chosen(source.patterns, rows)
    return replace(
        source,
        patterns=patterns,
        positions=positions[places],
        pattern_indexes=mine[rows],
        position_indexes=both[order],
        lines=(*source.lines, *lines),
    )


def averaged(positions: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return positions (K, 2) one a number, averaged, the numbers (K,), and how many positions shared one."""
    distinct, where, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    total = np.zeros((len(distinct), positions.shape[1]))
    np.add.at(total, where, positions)
    return total / counts[:, None], distinct, int(counts[counts > 1].sum())


def _check_count(what: str, count: int, numbers: np.ndarray | None) -> None:
    """Raise DataContractError where there are not as many numbers as what they count."""
    if numbers is not None and (len(numbers) != count or not count):
        raise DataContractError(
            f"{count} {what} have {len(numbers)} numbers; expected one each, or none (--pair leading)"
        )


def _leading(source: Source, positions: np.ndarray) -> Source:
    """Return the first patterns and positions, as many as there are of both."""
    count = min(len(source.patterns), len(positions))
    if len(source.patterns) == len(positions):
        return source
    line = f"the first {count} are taken of {len(source.patterns)} patterns and {len(positions)} positions"
    return replace(
        source,
        patterns=frames.chosen(source.patterns, np.arange(count)),
        positions=positions[:count],
        lines=(*source.lines, line),
    )


def _start(count: int, numbers: np.ndarray) -> int:
    """Return the number of the first of so many patterns without numbers, by those of the positions.

    Raises DataContractError where that is not plain.
    """
    fits = [start for start in STARTS if np.isin(start + np.arange(count), numbers).all()]
    if len(fits) == 1:
        return fits[0]
    raise DataContractError(
        f"{count} patterns have no numbers and positions are numbered {_range(numbers)}: "
        f"{'both 0 and 1' if fits else 'neither 0 nor 1'} may be the first pattern's; add --pair from=0 or --pair from=1, or "
        "--pair leading to pair them by order"
    )


def _range(numbers: np.ndarray) -> str:
    return f"{numbers.min()} to {numbers.max()} ({len(np.unique(numbers))} of them)"
