"""Scan -> groups of gridsize^2 overlapping patterns, by a KD-tree over the positions.

The published recipe (``include_seed=False``): seeds are drawn without replacement, each seed's K nearest
neighbours are found, the seed itself is dropped and C of the K are drawn. With ``include_seed=True`` the
seed is the first member and C - 1 neighbours join it, so that asking for every seed uses every pattern.
"""

from __future__ import annotations

import logging
from math import comb

import numpy as np
from scipy.spatial import cKDTree

from ptycho.base.errors import GroupingError
from ptycho.scan.groups import GroupedData
from ptycho.scan.raw import RawData
from ptycho.settings.params import Params
from ptycho.settings.sections import GroupingConfig

logger = logging.getLogger(__name__)


def group(
    raw: RawData,
    gridsize: int,
    config: GroupingConfig | Params,
    *,
    n_groups: int | None = None,
    include_seed: bool | None = None,
    rng: np.random.Generator | None = None,
    rows: np.ndarray | None = None,
) -> GroupedData:
    """Group a scan.

    Parameters
    ----------
    raw : RawData
    gridsize : int
        Groups have C = gridsize^2 members.
    config : GroupingConfig
    n_groups : int, optional
        Number of groups, default one for each pattern.
    include_seed : bool, optional
        Overrides the config's.
    rng : numpy.random.Generator, optional
        Default: a fresh one from ``config.seed``.
    rows : (m,) int array, optional
        Use these patterns only, default all.

    Raises
    ------
    GroupingError
        Fewer patterns than C, K < C, or more groups than patterns without the oversampling opt-in.
    """
    rng = rng or np.random.default_rng(config.seed)
    channels = gridsize**2
    rows = np.arange(len(raw)) if rows is None else rows
    if len(rows) < channels:
        raise GroupingError(
            f"Dataset has only {len(rows)} points in this part of the scan but {channels} coordinates per group "
            "requested. Use a smaller gridsize or a longer scan."
        )
    if config.method == "consecutive":
        indices = consecutive_groups(len(rows), channels, n_groups, rng)
    else:
        seed_joins = config.include_seed if include_seed is None else include_seed
        indices = nearest_groups(
            raw.positions[rows],
            channels,
            config.neighbor_count,
            n_groups,
            rng,
            seed_joins,
            config.oversampling,
        )
    return GroupedData(raw=raw, gridsize=gridsize, nn_indices=rows[indices])


def consecutive_groups(
    count: int, channels: int, n_groups: int | None, rng: np.random.Generator
) -> np.ndarray:
    """Return (B, C) indices of groups that stand one after the other, all or `n_groups` drawn of them.

    Raises GroupingError where the patterns make no such groups, or fewer than are asked for.
    """
    if count % channels:
        raise GroupingError(f"{count} patterns cannot be read as consecutive groups of {channels}")
    everything = np.arange(count).reshape(-1, channels)
    if n_groups is None or n_groups == len(everything):
        return everything
    if n_groups > len(everything):
        raise GroupingError(
            f"{n_groups} groups requested but this part of the scan holds {len(everything)} of {channels}"
        )
    return everything[np.sort(rng.choice(len(everything), n_groups, replace=False))]


def nearest_groups(
    positions: np.ndarray,
    channels: int,
    neighbor_count: int,
    n_groups: int | None,
    rng: np.random.Generator,
    include_seed: bool = False,
    oversampling: bool = False,
) -> np.ndarray:
    """Return (B, C) member indices of groups around seeds of positions (M, 2).

    Raises GroupingError where a scan is too small, or too many groups are asked for.

    Every member lies within the K-th neighbour distance of its seed; members of a group are distinct.
    """
    count = len(positions)
    n_groups = count if n_groups is None else n_groups
    if channels == 1:
        if n_groups > count:
            raise GroupingError(
                f"{n_groups} groups of one pattern requested but this part of the scan has {count}: ask for at most "
                f"{count}"
            )
        return _draw_seeds(count, n_groups, rng)[:, None]
    if neighbor_count < (channels - 1 if include_seed else channels):
        raise GroupingError(
            f"K={neighbor_count} must be >= C={channels} (need at least C neighbors to form a group)"
        )
    if not include_seed and count < channels + 1:
        include_seed = True  # C points, C members: the seed has to join
    # The tree returns the sentinel `count` where k exceeds the data.
    k = min(neighbor_count, count - 1)
    tree = cKDTree(positions)
    if n_groups <= count:
        seeds = _draw_seeds(count, n_groups, rng)
        neighbours = neighbours_of(tree, positions, seeds, k)
        if include_seed:
            return np.concatenate([seeds[:, None], choose(neighbours, channels - 1, rng)], axis=1)
        return choose(neighbours, channels, rng)
    return _oversampled(tree, positions, channels, k, n_groups, rng, include_seed, oversampling)


def most_groups(
    count: int, channels: int, config: GroupingConfig | Params, include_seed: bool | None = None
) -> int:
    """Return how many groups `count` patterns can give: one each, or with oversampling every combination."""
    if channels == 1 or not config.oversampling:
        return count
    seed_joins = config.include_seed if include_seed is None else include_seed
    return count * comb(min(config.neighbor_count, count - 1), channels - 1 if seed_joins else channels)


def _draw_seeds(count: int, n_groups: int, rng: np.random.Generator) -> np.ndarray:
    if n_groups == count:
        return np.arange(count)
    return rng.choice(count, n_groups, replace=False)


def neighbours_of(tree: cKDTree, positions: np.ndarray, seeds: np.ndarray, k: int) -> np.ndarray:
    """Return the k nearest neighbours (B, k) of the seeds, nearest first, the seed itself left out.

    With duplicate positions the tree may list the seed anywhere or not at all: it is removed by its index,
    and where it is not listed the farthest entry goes instead.
    """
    _, result = tree.query(positions[seeds], k=k + 1, workers=-1)
    is_seed = result == seeds[:, None]
    is_seed[~is_seed.any(axis=1), -1] = True
    return np.asarray(result[~is_seed].reshape(len(seeds), k))


def choose(candidates: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `size` of each row's candidates without replacement, in random order, all rows at once.

    `candidates` are (B, K) int64, the choice (B, size).
    """
    order = rng.random(candidates.shape).argsort(axis=1)[:, :size]
    return np.take_along_axis(candidates, order, axis=1)


def _oversampled(
    tree: cKDTree,
    positions: np.ndarray,
    channels: int,
    k: int,
    n_groups: int,
    rng: np.random.Generator,
    include_seed: bool,
    allowed: bool,
) -> np.ndarray:
    """Draw more groups than patterns: distinct combinations of each seed's neighbours, seeds in turn."""
    count = len(positions)
    drawn = channels - 1 if include_seed else channels
    per_seed = comb(k, drawn)
    if not allowed or per_seed < 2:
        raise GroupingError(
            f"{n_groups} groups requested but this part of the scan has {count} patterns: ask for at most {count}; more "
            f"groups than patterns need grouping.oversampling = true and K > C (K={k}, C={channels})"
        )
    if n_groups > count * per_seed:
        raise GroupingError(
            f"{n_groups} groups requested but {count} patterns with K={k}, C={channels} give at most "
            f"{count * per_seed} distinct ones"
        )
    neighbours = neighbours_of(tree, positions, np.arange(count), k)
    share, extra = divmod(n_groups, count)
    groups = []
    for seed, row in enumerate(neighbours):
        wanted = share + (seed < extra)
        chosen = distinct_combinations(k, drawn, per_seed, wanted, rng)
        members = row[chosen]
        groups.append(np.insert(members, 0, seed, axis=1) if include_seed else members)
    return np.concatenate(groups)


def distinct_combinations(k: int, size: int, total: int, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """Return `wanted` distinct combinations (wanted, size) of range(k), by unranking random ranks."""
    ranks = rng.choice(total, wanted, replace=False)
    chosen = np.empty((wanted, size), int)
    for row, rank in enumerate(ranks):
        first = 0
        for place in range(size):
            # Combinations that start with `first` come before all that start later (lexicographic order).
            while (block := comb(k - first - 1, size - place - 1)) <= rank:
                rank -= block
                first += 1
            chosen[row, place] = first
            first += 1
    return chosen
