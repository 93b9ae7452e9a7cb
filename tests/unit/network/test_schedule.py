"""Which patterns train, which are held out, and that every epoch gets what it was promised."""

import logging

import numpy as np
import pytest

from ptycho.base.errors import DataContractError
from ptycho.network import schedule
from ptycho.scan.groups import GroupedData
from ptycho.scan.raw import RawData
from ptycho.settings.config import Config

N = 32
ALONE = {"cluster_patterns": 1, "cluster_judges": 0}


def scan(where):
    where = np.asarray(where, float)
    return RawData(where[:, 0], where[:, 1], np.ones((len(where), N, N)), np.ones((N, N)))


def lattice(columns, rows, pitch=5.0):
    """A slightly uneven raster, so that no two distances are equal."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:rows, :columns]
    return pitch * np.stack([x.ravel(), y.ravel()], axis=1) + rng.uniform(0, 1, (rows * columns, 2))


def config(gridsize=1, grouping=None, **training):
    """The scans here hold a photon a pixel, all noise: no judges by default."""
    training = {"cluster_judges": 0, **training}
    return Config.from_dict({"N": N, "gridsize": gridsize, "grouping": grouping or {}, "training": training})


def singles(where):
    return GroupedData(scan(where), 1, np.arange(len(where))[:, None])


def fours(where, count=None):
    """Groups of a pattern and the three after it."""
    count = len(where) if count is None else count
    return GroupedData(scan(where), 2, (np.arange(count)[:, None] + np.arange(4)) % len(where))


@pytest.mark.parametrize(("fraction", "most"), [(0.05, 0.07), (0.1, 0.12), (0.2, 0.22), (0.4, 0.42)])
def test_the_fraction_is_one_of_patterns(fraction, most):
    """With a group around each pattern, 0.05 of the groups held 17.6 % of the patterns."""
    found = schedule.make_schedule(fours(lattice(10, 10)), config(2, **ALONE, validation_fraction=fraction))
    share = len(np.unique(found.validation)) / 100
    assert fraction - 0.03 <= share <= most
    for epoch in (1, 2, 5):
        assert not np.isin(found.clusters(epoch).nn_indices, found.validation).any()


@pytest.mark.parametrize(
    ("patterns", "fraction", "expected"),
    [(100, 0.0, 0), (10, 0.1, 0), (10, 0.3, 1), (20, 0.2, 1), (20, 0.35, 2)],
)
def test_the_nearest_number_of_patterns_is_held_out(patterns, fraction, expected):
    clusters = np.arange(20).reshape(5, 4)
    assert schedule.held_out(clusters, patterns, fraction) == expected


def test_a_cluster_that_adds_no_pattern_does_not_end_the_count():
    """Ten groups around each pattern: the last ones hold the same few patterns, and more are asked for."""
    rng = np.random.default_rng(0)
    clusters = np.sort(rng.integers(0, 400, (400, 1)), axis=0).repeat(10, axis=0) // 4 * 4 + np.arange(4)
    for fraction in (0.05, 0.3):
        count = schedule.held_out(clusters, 400, fraction)
        assert abs(len(np.unique(clusters[len(clusters) - count :])) - fraction * 400) <= 2


def test_of_two_numbers_that_are_as_near_the_smaller_is_held_out():
    clusters = np.array([[9, 8], [7, 6], [3, 2], [1, 0]])
    assert schedule.held_out(clusters, 10, 0.3) == 1, "two or four, where three are wanted"


def test_one_cluster_always_trains():
    assert schedule.held_out(np.arange(8).reshape(2, 4), 8, 0.49) == 1
    assert schedule.held_out(np.arange(4).reshape(1, 4), 4, 0.49) == 0


def test_what_is_held_out_and_dropped_is_said(caplog):
    with caplog.at_level(logging.INFO, logger="ptycho"):
        found = schedule.make_schedule(fours(lattice(10, 10)), config(2, **ALONE, validation_fraction=0.1))
    dropped = 100 - len(found.validation) - len(found.first)
    assert dropped > 0
    assert (
        f"10 of 100 patterns are held out for validation; {dropped} of {100 - len(found.validation)} clusters"
        in caplog.text
    )


def test_nothing_left_to_train_on_is_an_error():
    groups = GroupedData(scan(lattice(2, 3)), 2, [[0, 1, 2, 3], [1, 2, 3, 4]])
    with pytest.raises(DataContractError, match="2 groups leave none to train on after 1 for validation"):
        schedule.make_schedule(groups, config(2, **ALONE, validation_fraction=0.49))


@pytest.mark.finding("OVERSAMPLING-LOST-001")
def test_oversampling_lasts_beyond_the_first_epoch():
    settings = {"neighbor_count": 7, "oversampling": True, "n_groups": 250}
    where = lattice(10, 10)
    groups = GroupedData(
        scan(where), 2, np.random.default_rng(1).permuted(np.tile(np.arange(100), (250, 1)), axis=1)[:, :4]
    )
    alone = {**ALONE, "validation_fraction": 0}
    found = schedule.make_schedule(groups, config(2, settings, **alone))
    assert [len(found.clusters(epoch)) for epoch in (1, 2, 3)] == [250, 250, 250]
    without = schedule.make_schedule(groups, config(2, **alone))
    assert len(without.clusters(2)) == 100
    merged = schedule.make_schedule(groups, config(2, settings, validation_fraction=0))
    assert [len(merged.clusters(epoch)) for epoch in (1, 2, 3)] == [125, 125, 125]


def test_an_epoch_is_the_same_every_time_and_unlike_the_next():
    found = schedule.make_schedule(fours(lattice(10, 10)), config(2))
    np.testing.assert_array_equal(found.clusters(3).nn_indices, found.clusters(3).nn_indices)
    assert not np.array_equal(found.clusters(3).nn_indices, found.clusters(4).nn_indices)
    assert not np.array_equal(found.clusters(2).nn_indices, found.clusters(1).nn_indices)
    np.testing.assert_array_equal(found.clusters(1).nn_indices, found.first)
    orders = [found.order(epoch, 40) for epoch in (1, 2)]
    assert [sorted(order) for order in orders] == [list(range(40))] * 2
    assert not np.array_equal(*orders)
    np.testing.assert_array_equal(orders[0], found.order(1, 40))
    other = schedule.make_schedule(fours(lattice(10, 10)), config(2).model_copy(update={"seed": 1}))
    assert not np.array_equal(orders[0], other.order(1, 40))
    assert not np.array_equal(found.clusters(3).nn_indices, other.clusters(3).nn_indices)


@pytest.mark.parametrize("settings", [{"regroup_each_epoch": False}, {"method": "consecutive"}])
def test_groups_that_are_to_stay_stay(settings):
    found = schedule.make_schedule(fours(lattice(10, 10)), config(2, settings))
    np.testing.assert_array_equal(found.clusters(4).nn_indices, found.first)


class TestClusters:
    @pytest.mark.parametrize(("groups", "judges"), [(1, 1), (2, 1), (4, 2), (3, 0)])
    def test_single_patterns_are_merged_and_judged_by_others(self, groups, judges):
        settings = {"cluster_patterns": groups, "cluster_judges": judges, "validation_fraction": 0.1}
        found = schedule.make_schedule(singles(lattice(10, 10)), config(**settings))
        data = found.clusters(2)
        assert (data.groups, data.judges, data.gridsize) == (groups, judges, 1)
        assert data.nn_indices.shape[1] == groups + judges
        assert all(len(set(members)) == groups + judges for members in data.nn_indices.tolist())
        assert np.ptp(found.raw.positions[data.nn_indices], axis=1).max() < 5 * 6

    def test_groups_are_merged_and_judged_by_patterns_in_none_of_them(self):
        where = lattice(10, 10)
        found = schedule.make_schedule(fours(where), config(2, cluster_patterns=8, cluster_judges=1))
        for epoch in (1, 2, 3):
            rows = found.clusters(epoch).nn_indices
            assert rows.shape[1] == 9
            groups, judge = rows[:, :8].reshape(-1, 2, 4), rows[:, 8]
            assert not (groups == judge[:, None, None]).any()
            assert all(len(set(group)) == 4 for cluster in groups.tolist() for group in cluster)

    @pytest.mark.parametrize(
        ("gridsize", "settings", "neighbours"),
        [
            (1, {"cluster_patterns": 4, "cluster_judges": 1}, 6),
            (1, {"cluster_patterns": 2, "cluster_judges": 3}, 6),
            (1, {"cluster_patterns": 3, "cluster_judges": 0}, 5),
            (2, {"cluster_patterns": 4, "cluster_judges": 1}, 4),
            (2, {"cluster_patterns": 8, "cluster_judges": 1}, 8),
        ],
    )
    def test_members_are_drawn_among_the_seeds_neighbours_and_the_seed_judges(
        self, gridsize, settings, neighbours
    ):
        """At gridsize 2 among as many as groups draw from in use; of single patterns two more than are needed."""
        where = lattice(10, 10)
        groups = singles(where) if gridsize == 1 else fours(where)
        found = schedule.make_schedule(groups, config(gridsize, **settings, validation_fraction=0))
        apart = np.linalg.norm(where[:, None] - where[None], axis=2)
        ranks = np.argsort(np.argsort(apart, axis=1), axis=1)
        seen = set()
        for epoch in range(1, 6):
            for *others, seed in found.clusters(epoch).nn_indices:
                seen |= set(ranks[seed, others].tolist())
        assert seen == set(range(1, neighbours + 1))

    def test_an_epoch_has_one_cluster_for_so_many_groups(self):
        for gridsize, given in ((1, singles(lattice(10, 10))), (2, fours(lattice(10, 10)))):
            for groups in (1, 2, 4):
                settings = {"cluster_patterns": groups * gridsize**2, "validation_fraction": 0}
                assert len(schedule.make_schedule(given, config(gridsize, **settings)).first) == 100 // groups

    def test_a_cluster_has_at_least_one_group(self):
        assert schedule.make_schedule(fours(lattice(10, 10)), config(2, cluster_patterns=3)).groups == 1
        assert schedule.make_schedule(fours(lattice(10, 10)), config(2, cluster_patterns=11)).groups == 2

    def test_alone_without_judges_a_group_is_what_was_given(self):
        for groups in (singles(lattice(6, 6)), fours(lattice(6, 6))):
            found = schedule.make_schedule(groups, config(groups.gridsize, **ALONE, validation_fraction=0))
            np.testing.assert_array_equal(found.first, groups.nn_indices)
            assert (found.groups, found.judges) == (1, 0)

    def test_consecutive_groups_stay_alone(self):
        found = schedule.make_schedule(fours(lattice(10, 10)), config(2, {"method": "consecutive"}))
        assert (found.groups, found.judges) == (1, 0)

    @pytest.mark.finding("SPARSE-TEST-OVERLAP")
    def test_an_isolated_pattern_does_not_train_and_does_not_fail(self, caplog):
        where = np.concatenate([lattice(8, 8), [[400.0, -300.0]]])
        found = schedule.make_schedule(singles(where), config(cluster_patterns=4, validation_fraction=0))
        assert found.groups == 4
        for epoch in range(1, 8):
            assert 64 not in found.clusters(epoch).nn_indices
        alone = schedule.make_schedule(
            singles(where), config(cluster_patterns=1, cluster_judges=1, validation_fraction=0)
        )
        assert (
            "1 of 65 clusters of neighbours reach farther than a pattern is wide: they are left out"
            in caplog.text
        )
        assert len(alone.first) == 64

    def test_no_group_of_a_cluster_reaches_farther_than_its_canvas_may(self):
        far = np.concatenate([lattice(6, 6), lattice(6, 6) + np.array([50.0, 0])])
        found = schedule.make_schedule(
            GroupedData(scan(far), 2, np.arange(72).reshape(18, 4)),
            config(2, {"neighbor_count": 20}, cluster_patterns=8, validation_fraction=0),
        )
        for epoch in (1, 2, 3):
            data = found.clusters(epoch)
            assert data.groups == 2
            assert max(data.group_reaches.max(), data.reaches.max()) <= N

    def test_only_the_patterns_that_are_used_are_measured(self):
        """Half of the patterns, far away, are in no group: they must not spoil the merge of the others."""
        where = np.concatenate([lattice(6, 6), 200 * lattice(6, 6, 1.0) + 1000])
        groups = GroupedData(scan(where), 1, np.arange(36)[:, None])
        found = schedule.make_schedule(groups, config())
        assert found.groups == 8
        assert found.pool.max() < 36

    def test_a_sparse_scan_trains_on_single_patterns_and_says_so(self, caplog):
        found = schedule.make_schedule(singles(lattice(6, 6, pitch=90.0)), config())
        assert (found.groups, found.judges) == (1, 0)
        assert "reach farther than a pattern is wide: training on single groups" in caplog.text

    @pytest.mark.parametrize(("far", "judges"), [(34, 1), (36, 1), (38, 0)])
    def test_half_of_the_patterns_must_have_neighbours(self, far, judges):
        """36 that may be merged, and more or fewer than as many that lie alone."""
        alone = 1000.0 + 200 * np.stack([np.arange(far), np.arange(far) % 5], axis=1)
        groups = singles(np.concatenate([lattice(6, 6), alone]))
        assert schedule.make_schedule(groups, config(cluster_patterns=1, cluster_judges=1)).judges == judges

    @pytest.mark.parametrize(("patterns", "groups"), [(6, 1), (7, 4)])
    def test_a_scan_with_too_few_patterns_for_clusters_trains_on_groups(self, patterns, groups):
        found = schedule.make_schedule(
            singles(lattice(patterns, 1)), config(cluster_patterns=4, validation_fraction=0)
        )
        assert found.groups == groups

    def test_where_none_are_held_out_some_that_train_are_validated_on(self):
        found = schedule.make_schedule(
            singles(lattice(12, 12)), config(cluster_patterns=1, cluster_judges=1, validation_fraction=0)
        )
        np.testing.assert_array_equal(found.held_out.nn_indices, found.first[:64])
        held = schedule.make_schedule(
            singles(lattice(12, 12)), config(cluster_patterns=1, cluster_judges=1, validation_fraction=0.1)
        )
        np.testing.assert_array_equal(held.held_out.nn_indices, held.validation)
        assert held.held_out.judges == 1


class TestJudgesOfNoise:
    """What takes part in a merge rewards its own noise; others cannot foresee it."""

    @staticmethod
    def judges(counts, **training):
        where = lattice(12, 12)
        patterns = np.full((len(where), N, N), np.sqrt(counts), np.float32)
        raw = RawData(where[:, 0], where[:, 1], patterns / 5, np.ones((N, N)), photon_scale=5.0)
        groups = GroupedData(raw, 1, np.arange(len(where))[:, None])
        settings = Config.from_dict({"N": N, "gridsize": 1, "training": training})
        found = schedule.make_schedule(groups, settings)
        assert found.clusters(1).judges == found.clusters(2).judges == found.held_out.judges == found.judges
        assert found.first.shape[1] == found.validation.shape[1] == found.groups + found.judges
        return found.judges

    @pytest.mark.finding("NOISE-LEARNED-001")
    @pytest.mark.parametrize(("counts", "expected"), [(1.0, 4), (240.0, 4), (260.0, 0), (1e6, 0)])
    def test_noisy_patterns_are_judged_by_others(self, counts, expected):
        assert self.judges(counts) == expected

    @pytest.mark.parametrize(("counts", "asked"), [(1.0, 0), (1.0, 2), (1e6, 1)])
    def test_whoever_asks_for_a_number_gets_it(self, counts, asked):
        assert self.judges(counts, cluster_judges=asked) == asked

    def test_it_is_said(self, caplog):
        with caplog.at_level(logging.INFO, logger="ptycho"):
            self.judges(5.0)
        assert "photon noise is 0.05 of the data's energy: 4 patterns that take no part" in caplog.text


@pytest.mark.parametrize(
    ("gridsize", "patterns", "judges", "among"),
    [
        (1, 8, 0, 8 + 2),
        (1, 8, 1, 8 + 2),
        (1, 8, 3, 8 + 2 + 2),
        (2, 8, 0, 2 * 7),
        (2, 8, 2, 2 * 7 + 1),
        (2, 4, 1, 7),
    ],
)
def test_members_are_drawn_among_as_many_neighbours_as_groups_in_use_would_have(
    gridsize, patterns, judges, among
):
    """Singles: as many as there are, and a few to choose from. Groups: each its neighbours. Judges but the seed: one each."""
    settings = {"cluster_patterns": patterns, "cluster_judges": judges}
    config = Config.from_dict({"gridsize": gridsize, "grouping": {"neighbor_count": 7}, "training": settings})
    assert schedule._neighbours(config, gridsize, judges) == among


def test_an_epoch_in_which_no_cluster_is_drawn_trains_on_those_of_the_first(monkeypatch):
    """Six patterns in three far pairs gave 2, 1, 0, 0, ... clusters."""
    found = schedule.make_schedule(fours(lattice(6, 6)), config(2, validation_fraction=0.0))
    assert len(found.first)
    monkeypatch.setattr(schedule, "_clusters", lambda *_: found.first[:0])
    np.testing.assert_array_equal(found.clusters(2).nn_indices, found.first)
