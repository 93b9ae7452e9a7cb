"""Which clusters of patterns an epoch trains on, and which patterns it never sees.

Everything random is a function of (seed, epoch): the groups of an epoch and the order of its batches.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from ptycho import grouping
from ptycho.config import Config
from ptycho.data import GroupedData, RawData
from ptycho.errors import DataContractError
from ptycho.params import Params

logger = logging.getLogger(__name__)

SPARE_NEIGHBOURS = 2
"""Neighbours more than a cluster has members among which they are drawn (gridsize 1)."""


@dataclass(frozen=True)
class Schedule:
    """The clusters of every epoch.

    A cluster is a group; at gridsize 1 it is `overlap`^2 neighbouring patterns (see TrainingConfig).
    """

    raw: RawData
    config: Config | Params
    gridsize: int
    side: int
    """A cluster has side^2 patterns."""
    first: np.ndarray
    """(B, side^2) rows of the clusters of epoch 1."""
    validation: np.ndarray
    """(V, side^2) rows of clusters none of whose patterns is trained on."""
    pool: np.ndarray
    """(m,) rows of the patterns that are trained on."""

    def clusters(self, epoch: int) -> GroupedData:
        """Return the training clusters of an epoch; the first is 1."""
        settings = self.config.grouping
        if (
            epoch == 1
            or self.side == 1
            or settings.method == "consecutive"
            or not settings.regroup_each_epoch
        ):
            return GroupedData(self.raw, self.side, self.first)
        rng = np.random.default_rng([settings.seed, self.config.seed, epoch - 1])
        return _clusters(self.raw, self.pool, self.config, self.gridsize, self.side, len(self.first), rng)

    def order(self, epoch: int, count: int) -> np.ndarray:
        """Return the order in which an epoch visits its clusters."""
        return np.random.default_rng([self.config.seed, 1, epoch - 1]).permutation(count)


def make_schedule(grouped: GroupedData, config: Config | Params) -> Schedule:
    """Form the clusters and set some aside for validation; no training cluster keeps a pattern of theirs.

    Raises
    ------
    DataContractError
        Nothing is left to train on.
    """
    side = cluster_side(grouped, config)
    clusters, patterns = grouped.nn_indices, np.unique(grouped.nn_indices)
    if side != grouped.gridsize:
        patterns = patterns[near_enough(grouped, patterns, side)]
        rng = np.random.default_rng([config.grouping.seed, config.seed])
        count = max(1, len(patterns) // side**2)
        clusters = _clusters(grouped.raw, patterns, config, grouped.gridsize, side, count, rng).nn_indices
    n_validation = held_out(clusters, len(patterns), config.training.validation_fraction)
    first, validation = np.split(clusters, [len(clusters) - n_validation])
    if n_validation:
        touched = np.isin(first, validation).any(axis=1)
        first = first[np.flatnonzero(~touched)]
        logger.info(
            "%d of %d patterns are held out for validation; %d of %d clusters touch them and are dropped",
            len(np.unique(validation)),
            len(patterns),
            int(touched.sum()),
            len(clusters) - n_validation,
        )
    if not len(first):
        raise DataContractError(
            f"{len(grouped)} groups leave none to train on after {n_validation} for validation; "
            "lower training.validation_fraction or give more patterns"
        )
    everything = patterns if side != grouped.gridsize else np.arange(len(grouped.raw))
    pool = np.setdiff1d(everything, validation)
    return Schedule(grouped.raw, config, grouped.gridsize, side, first, validation, pool)


def held_out(clusters: np.ndarray, patterns: int, fraction: float) -> int:
    """Return how many of the last clusters hold, together, the number of patterns nearest to a `fraction` of all."""
    wanted, best, count = fraction * patterns, 0, 0
    seen: set[int] = set()
    for taken, members in enumerate(reversed(clusters[1:]), 1):
        seen |= set(members.tolist())
        if abs(len(seen) - wanted) >= abs(count - wanted):
            break
        best, count = taken, len(seen)
    return best


def cluster_side(grouped: GroupedData, config: Config | Params) -> int:
    """Return the side of the training clusters: the gridsize, or at gridsize 1 the overlap that the scan allows."""
    overlap = config.training.overlap
    if grouped.gridsize > 1 or overlap == 1 or len(grouped) < overlap**2:
        return grouped.gridsize
    patterns = np.unique(grouped.nn_indices)
    near = near_enough(grouped, patterns, overlap)
    if near.mean() < 0.5 or near.sum() < overlap**2:
        logger.warning(
            "only %d of %d patterns have %d neighbours within %.0f px: too far to merge; training on single patterns",
            int(near.sum()),
            len(patterns),
            overlap**2 - 1,
            merging_distance(grouped.N, overlap),
        )
        return 1
    if not near.all():
        logger.warning(
            "%d of %d patterns lie too far from their neighbours to be merged with them; they do not train",
            int((~near).sum()),
            len(patterns),
        )
    return overlap


def near_enough(grouped: GroupedData, patterns: np.ndarray, side: int) -> np.ndarray:
    """Return which of the rows `patterns` have all neighbours that a cluster may draw near enough to merge."""
    neighbours = min(side**2 + SPARE_NEIGHBOURS, len(patterns) - 1)
    distances = grouping.nearest_distances(grouped.raw.positions[patterns], neighbours)
    return np.asarray(distances <= merging_distance(grouped.N, side))


def merging_distance(N: int, side: int) -> float:
    """Return how far, in px, a seed's neighbours may lie so that no member is more than N from a cluster's centre.

    The worst case has one of n members at a distance d on one side, and all others on the other.
    """
    return N / (2 - 2 / side**2)


def _clusters(
    raw: RawData,
    rows: np.ndarray,
    config: Config | Params,
    gridsize: int,
    side: int,
    count: int,
    rng: np.random.Generator,
) -> GroupedData:
    """Draw `count` clusters from the patterns `rows`; fewer where there are not as many."""
    if side == gridsize:
        count = min(count, grouping.most_groups(len(rows), side**2, config.grouping))
        return grouping.group(raw, side, config.grouping, n_groups=count, rng=rng, rows=rows)
    neighbours = side**2 + SPARE_NEIGHBOURS
    members = grouping.nearest_groups(raw.positions[rows], side**2, neighbours, count, rng, include_seed=True)
    return GroupedData(raw, side, rows[members])
