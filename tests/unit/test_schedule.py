"""Which patterns train, which are held out, and that every epoch gets what it was promised."""

import logging

import numpy as np
import pytest

from ptycho import schedule
from ptycho.config import Config
from ptycho.data import GroupedData, RawData
from ptycho.errors import DataContractError

N = 32


def scan(where):
    where = np.asarray(where, float)
    return RawData(where[:, 0], where[:, 1], np.ones((len(where), N, N)), np.ones((N, N)))


def lattice(columns, rows, pitch=5.0):
    """A slightly uneven raster, so that no two distances are equal."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:rows, :columns]
    return pitch * np.stack([x.ravel(), y.ravel()], axis=1) + rng.uniform(0, 1, (rows * columns, 2))


def config(gridsize=1, grouping=None, **training):
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
    found = schedule.make_schedule(fours(lattice(10, 10)), config(2, validation_fraction=fraction))
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


def test_of_two_numbers_that_are_as_near_the_smaller_is_held_out():
    clusters = np.array([[9, 8], [7, 6], [3, 2], [1, 0]])
    assert schedule.held_out(clusters, 10, 0.3) == 1, "two or four, where three are wanted"


def test_one_cluster_always_trains():
    assert schedule.held_out(np.arange(8).reshape(2, 4), 8, 0.49) == 1
    assert schedule.held_out(np.arange(4).reshape(1, 4), 4, 0.49) == 0


def test_what_is_held_out_and_dropped_is_said(caplog):
    with caplog.at_level(logging.INFO, logger="ptycho"):
        found = schedule.make_schedule(fours(lattice(10, 10)), config(2, validation_fraction=0.1))
    dropped = 100 - len(found.validation) - len(found.first)
    assert dropped > 0
    assert (
        f"10 of 100 patterns are held out for validation; {dropped} of {100 - len(found.validation)} clusters"
        in caplog.text
    )


def test_nothing_left_to_train_on_is_an_error():
    groups = GroupedData(scan(lattice(2, 3)), 2, [[0, 1, 2, 3], [1, 2, 3, 4]])
    with pytest.raises(DataContractError, match="2 groups leave none to train on after 1 for validation"):
        schedule.make_schedule(groups, config(2, validation_fraction=0.49))


@pytest.mark.finding("OVERSAMPLING-LOST-001")
def test_oversampling_lasts_beyond_the_first_epoch():
    settings = {"neighbor_count": 7, "oversampling": True, "n_groups": 250}
    where = lattice(10, 10)
    groups = GroupedData(
        scan(where), 2, np.random.default_rng(1).permuted(np.tile(np.arange(100), (250, 1)), axis=1)[:, :4]
    )
    found = schedule.make_schedule(groups, config(2, settings, validation_fraction=0))
    assert [len(found.clusters(epoch)) for epoch in (1, 2, 3)] == [250, 250, 250]
    without = schedule.make_schedule(groups, config(2, validation_fraction=0))
    assert len(without.clusters(2)) == 100


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


class TestSingles:
    def test_neighbours_are_merged(self):
        found = schedule.make_schedule(singles(lattice(10, 10)), config(overlap=2, validation_fraction=0.1))
        assert found.side == 2
        assert found.first.shape[1] == 4
        spread = np.ptp(found.raw.positions[found.first], axis=1)
        assert spread.max() < 3 * 6

    def test_overlap_one_judges_each_alone(self):
        found = schedule.make_schedule(singles(lattice(6, 6)), config(overlap=1))
        assert found.side == 1
        assert found.first.shape[1] == 1

    @pytest.mark.finding("SPARSE-TEST-OVERLAP")
    def test_an_isolated_pattern_does_not_train_and_does_not_fail(self, caplog):
        where = np.concatenate([lattice(8, 8), [[400.0, -300.0]]])
        found = schedule.make_schedule(singles(where), config(overlap=2, validation_fraction=0))
        assert found.side == 2
        for epoch in (1, 2, 3):
            assert 64 not in found.clusters(epoch).nn_indices
        assert "1 of 65 patterns lie too far from their neighbours" in caplog.text

    def test_only_the_patterns_that_are_used_are_measured(self):
        """Half of the patterns, far away, are in no group: they must not spoil the merge of the others."""
        where = np.concatenate([lattice(6, 6), 200 * lattice(6, 6, 1.0) + 1000])
        groups = GroupedData(scan(where), 1, np.arange(36)[:, None])
        assert schedule.cluster_side(groups, config(overlap=2)) == 2
        assert schedule.make_schedule(groups, config(overlap=2)).pool.max() < 36

    def test_a_sparse_scan_trains_on_single_patterns_and_says_so(self, caplog):
        found = schedule.make_schedule(singles(lattice(6, 6, pitch=40.0)), config(overlap=2))
        assert found.side == 1
        assert "too far to merge; training on single patterns" in caplog.text

    @pytest.mark.parametrize("side", [2, 3, 4])
    def test_members_at_the_merging_distance_reach_no_farther_than_a_patch(self, side):
        d = schedule.merging_distance(N, side)
        members = np.array([[0.0, 0], [d, 0], *[[-d, 0]] * (side**2 - 2)])
        assert np.abs(members - members.mean(axis=0)).max() <= N + 1e-9
        # No smaller than it need be: with the seed on the far side too, the lone member lies exactly N away.
        members[0] = -d, 0
        assert np.abs(members - members.mean(axis=0)).max() == pytest.approx(N)

    def test_members_are_drawn_among_two_neighbours_more_than_are_needed(self):
        where = lattice(10, 10)
        found = schedule.make_schedule(singles(where), config(overlap=2, validation_fraction=0))
        distances = np.linalg.norm(where[:, None] - where[None], axis=2)
        ranks = np.argsort(np.argsort(distances, axis=1), axis=1)
        seen = [ranks[seed, member] for seed, *others in found.first for member in others]
        assert set(seen) == set(range(1, 7))

    @pytest.mark.parametrize(("far", "side"), [(34, 2), (38, 1)])
    def test_half_of_the_patterns_must_have_neighbours(self, far, side):
        """36 that may be merged, and more or fewer than as many that lie alone."""
        alone = 1000.0 + 200 * np.stack([np.arange(far), np.arange(far) % 5], axis=1)
        groups = singles(np.concatenate([lattice(6, 6), alone]))
        assert schedule.cluster_side(groups, config(overlap=2)) == side
