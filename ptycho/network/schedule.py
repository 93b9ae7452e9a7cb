"""Which clusters of patterns an epoch trains on, and which patterns it never sees.

Everything random is a function of (seed, epoch): the groups of an epoch and the order of its batches.

At gridsize 1 a single pattern under a wide probe leaves part of its patch undetermined: a patch can explain
its pattern to 1e-7 and still correlate at 0.976 with the truth. Training therefore reconstructs the groups of
a *cluster* one by one, merges them as in stitching, and judges the merged object by all patterns of the
cluster. What one group leaves open differs from that of its neighbours, so the corrections that survive are
those that neighbours agree on. On gs1_custom clusters of eight beat clusters of four and of sixteen.

Patterns that judge without being in a group made it worse at either gridsize (five steps: Pearson 0.9917
against 0.9929): what lights them beyond the reach of the groups cannot be predicted, and outweighs the rest.
But whoever takes part in a merge rewards what it makes of their photon noise, and the noise of another cannot
be foreseen. Where noise is more than a thousandth of the energy of the data (some 5e5 photons a pattern of 64
x 64), four patterns judge each cluster. Pearson untrained / trained without judges / with: gs1_custom at 1e4
photons 0.914 / 0.841 / 0.915, at 1e5 0.973 / 0.965 / 0.979, at 1e6 (below the bound) 0.9877 / 0.9890; at 1e4
gs2_custom 0.818 / 0.839 / 0.847, gs2_ideal 0.957 / 0.956 / 0.959.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from ptycho.base.errors import DataContractError
from ptycho.network import group_canvas
from ptycho.physics import scaling
from ptycho.scan import grouping
from ptycho.scan.groups import ClusteredData, GroupedData
from ptycho.scan.raw import RawData
from ptycho.settings.config import Config
from ptycho.settings.params import Params

logger = logging.getLogger(__name__)

SPARE_NEIGHBOURS = 2
"""Neighbours more than a cluster of single patterns has groups, among which they are drawn."""
NOISY, JUDGES = 1e-3, 4
"""Share of the data's energy that is photon noise above which a network would learn it; how many judges prevent that."""
CALIBRATION_CLUSTERS = 64
"""Training clusters that stand for all where something is measured on them."""


@dataclass(frozen=True)
class Schedule:
    """The clusters of every epoch.

    A cluster is a group alone, or several neighbouring groups and judges (see TrainingConfig).
    """

    raw: RawData
    config: Config | Params
    gridsize: int
    groups: int
    """Groups in a cluster."""
    judges: int
    """Patterns in a cluster that are in none of its groups."""
    first: np.ndarray
    """(B, L) rows of the clusters of epoch 1."""
    validation: np.ndarray
    """(V, L) rows of clusters none of whose patterns is trained on."""
    pool: np.ndarray
    """(m,) rows of the patterns that are trained on."""

    def clusters(self, epoch: int) -> ClusteredData:
        """Return the training clusters of an epoch; the first is 1."""
        settings = self.config.grouping
        alone = self.groups + self.judges == 1
        single = alone and self.gridsize == 1
        if epoch == 1 or single or settings.method == "consecutive" or not settings.regroup_each_epoch:
            return self._data(self.first)
        rng = np.random.default_rng([settings.seed, self.config.seed, epoch - 1])
        count = len(self.first)
        if alone:
            # Fewer where there are not as many.
            most = min(count, grouping.most_groups(len(self.pool), self.gridsize**2, settings))
            result = grouping.group(
                self.raw, self.gridsize, settings, n_groups=most, rng=rng, rows=self.pool
            ).nn_indices
        else:
            result = _clusters(self.raw, self.pool, self.config, self.gridsize, self.judges, count, rng)
        # A sparse scan may give none in an epoch: then those of the first train again.
        return self._data(result if len(result) else self.first)

    @property
    def held_out(self) -> ClusteredData:
        """The clusters that are validated on; where none are held out, some that train.

        `clusters` are (B, L) rows of patterns.
        """
        rows = self.validation if len(self.validation) else self.first[:CALIBRATION_CLUSTERS]
        return self._data(rows)

    def order(self, epoch: int, count: int) -> np.ndarray:
        """Return the order in which an epoch visits its clusters.

        That is a permutation (count,) int64.
        """
        return np.random.default_rng([self.config.seed, 1, epoch - 1]).permutation(count)

    def _data(self, rows: np.ndarray) -> ClusteredData:
        return ClusteredData(self.raw, self.gridsize, rows, self.groups, self.judges)


def make_schedule(grouped: GroupedData, config: Config | Params) -> Schedule:
    """Form the clusters and set some aside for validation; no training cluster keeps a pattern of theirs.

    Raises
    ------
    DataContractError
        Nothing is left to train on.
    """
    groups, judges = 1, 0
    clusters, patterns = grouped.nn_indices, np.unique(grouped.nn_indices)
    everything = np.arange(len(grouped.raw))
    asked = judge_count(grouped.raw, config)
    if _possible(grouped, config, asked, len(patterns)):
        rng = np.random.default_rng([config.grouping.seed, config.seed])
        wanted = cluster_groups(config, grouped.gridsize)
        count = max(1, len(grouped) // wanted)
        result = _clusters(grouped.raw, patterns, config, grouped.gridsize, asked, count, rng)
        if len(result) < count:
            consequence = "they are left out" if len(result) >= count / 2 else "training on single groups"
            logger.warning(
                "%d of %d clusters of neighbours reach farther than a pattern is wide: %s",
                count - len(result),
                count,
                consequence,
            )
        if len(result) >= count / 2:
            groups, judges = wanted, asked
            clusters, everything = result, patterns
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
    pool = np.setdiff1d(everything, validation)
    return Schedule(grouped.raw, config, grouped.gridsize, groups, judges, first, validation, pool)


def held_out(clusters: np.ndarray, patterns: int, fraction: float) -> int:
    """Return how many of the last clusters hold, together, the number of patterns nearest to a `fraction` of all.

    `clusters` are (B, L) rows of patterns.
    """
    wanted, best, count = fraction * patterns, 0, 0
    seen: set[int] = set()
    for taken, members in enumerate(reversed(clusters[1:]), 1):
        seen |= set(members.tolist())
        if abs(len(seen) - wanted) < abs(count - wanted):
            best, count = taken, len(seen)
        elif len(seen) > wanted:
            break  # one that adds none is no reason to stop: the next may
    return best


def cluster_groups(config: Config | Params, gridsize: int) -> int:
    """Return how many groups a cluster is to have."""
    return max(1, int(config.training.cluster_patterns) // gridsize**2)


def judge_count(raw: RawData, config: Config | Params) -> int:
    """Return how many judges a cluster is to have: as many as the config asks for, else by the photon noise.

    Whoever took part in a merge rewards what it makes of their noise: another's noise is not to be foreseen. Where there
    is little of it judges cost more than they tell, since groups know little of what lights a judge beyond them.
    """
    asked = config.training.cluster_judges
    if asked is not None:
        return int(asked)
    noise = scaling.photon_noise(raw.diff3d, raw.photon_scale)
    if noise <= NOISY:
        return 0
    logger.info(
        "photon noise is %.2g of the data's energy: %d patterns that take no part in a cluster judge it",
        noise,
        JUDGES,
    )
    return JUDGES


def _clusters(
    raw: RawData,
    rows: np.ndarray,
    config: Config | Params,
    gridsize: int,
    judges: int,
    count: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw up to `count` clusters (B, L) from the patterns `rows`; those whose members do not overlap are left out.

    Around a seed, which is the last member: with judges it is one of them, and lies where all groups reach.
    """
    groups = cluster_groups(config, gridsize)
    members = groups * gridsize**2 + judges
    full, rest = divmod(count, len(rows))
    drawn = [
        grouping.nearest_groups(
            raw.positions[rows], members, _neighbours(config, gridsize, judges), seeds, rng, include_seed=True
        )
        for seeds in (*[len(rows)] * full, rest)
        if seeds
    ]
    result = rows[np.roll(np.concatenate(drawn), -1, axis=1)]
    return np.asarray(result[overlapping(ClusteredData(raw, gridsize, result, groups, judges))])


def overlapping(clusters: ClusteredData) -> np.ndarray:
    """Return which clusters (B,) bool have members so near to each other that canvases hold them."""
    farthest = np.maximum(clusters.reaches, clusters.group_reaches)
    return np.asarray(farthest <= group_canvas.MAX_REACH * clusters.N)


def _neighbours(config: Config | Params, gridsize: int, judges: int) -> int:
    """Return among how many neighbours of its seed a cluster's members are drawn: groups look as they will in use."""
    groups = cluster_groups(config, gridsize)
    sources = groups * config.grouping.neighbor_count if gridsize > 1 else groups + SPARE_NEIGHBOURS
    return sources + max(0, judges - 1)


def _possible(grouped: GroupedData, config: Config | Params, judges: int, patterns: int) -> bool:
    """Whether the config asks for clusters of several groups, and the scan has enough patterns for them."""
    several = cluster_groups(config, grouped.gridsize) + judges > 1
    return (
        several
        and config.grouping.method != "consecutive"
        and patterns > _neighbours(config, grouped.gridsize, judges)
    )
