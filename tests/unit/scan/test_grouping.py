"""Grouping: members are near, distinct and real; seeds and randomness are explicit."""

import itertools
import math

import metamorphic as meta
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptycho.base.errors import GroupingError
from ptycho.scan import grouping
from ptycho.settings.sections import GroupingConfig


def positions(count=60, seed=0):
    return oracles.scan_positions(count, (150, 260), 32, seed)


def nearest(where, channels, k, n_groups=None, seed=0, **options):
    return grouping.nearest_groups(where, channels, k, n_groups, np.random.default_rng(seed), **options)


def kth_distance(where, seed, k):
    """Distance of the k-th nearest other point, by brute force."""
    return sorted(math.hypot(*(where[i] - where[seed])) for i in range(len(where)) if i != seed)[k - 1]


class TestShapes:
    @pytest.mark.finding("BUG-TF-001")
    @pytest.mark.parametrize("gridsize", [1, 2, 3])
    def test_they_follow_the_gridsize_that_was_asked(self, gridsize):
        C = gridsize**2
        raw = oracles.make_scan(count=23)
        grouped = grouping.group(raw, gridsize, GroupingConfig(neighbor_count=max(4, C)), n_groups=5)
        assert grouped.nn_indices.shape == (5, C)
        assert grouped.nn_indices.dtype == np.int64
        assert grouped.diffraction().shape == (5, 32, 32, C)
        assert grouped.coords_offsets.shape == (5, 1, 2, 1)
        assert grouped.coords_relative.shape == (5, 1, 2, C)
        assert len(grouped) == 5

    @pytest.mark.finding("CONFIG-001")
    def test_nothing_is_remembered_from_call_to_call(self):
        raw = oracles.make_scan(count=23)
        config = GroupingConfig()
        first, other, again = (grouping.group(raw, gridsize, config) for gridsize in (2, 1, 2))
        assert [g.nn_indices.shape[1] for g in (first, other, again)] == [4, 1, 4]
        np.testing.assert_array_equal(first.nn_indices, again.nn_indices)

    def test_by_default_there_is_one_group_for_each_pattern(self):
        raw = oracles.make_scan(count=23)
        assert len(grouping.group(raw, 1, GroupingConfig())) == 23
        assert len(grouping.group(raw, 2, GroupingConfig(n_groups=3))) == 23


class TestNearest:
    @pytest.mark.parametrize(("channels", "k"), [(4, 4), (4, 7), (9, 12)])
    def test_members_are_among_the_k_nearest_of_the_seed_by_brute_force(self, channels, k):
        where = positions()
        groups = nearest(where, channels, k)
        for seed, members in enumerate(groups):  # every pattern seeds one group, in order
            assert set(members) <= set(oracles.neighbours(where, seed, k))
            assert len(set(members)) == channels
            assert seed not in members

    def test_with_k_equal_to_c_all_neighbours_join(self):
        where = positions()
        for seed, members in enumerate(nearest(where, 4, 4)):
            assert set(members) == set(oracles.neighbours(where, seed, 4))

    def test_with_k_above_c_every_neighbour_gets_a_chance(self):
        """The draw is uniform: over many seeds each rank is taken about C/K of the time."""
        where = positions(count=400)
        taken = np.zeros(8)
        for seed, members in enumerate(nearest(where, 4, 8)):
            ranks = oracles.neighbours(where, seed, 8)
            for member in members:
                taken[ranks.index(member)] += 1
        np.testing.assert_allclose(taken / 400, 0.5, atol=5 * math.sqrt(0.25 / 400))

    def test_the_order_of_members_is_random_too(self):
        where = positions(count=400)
        groups = nearest(where, 4, 4)
        first_is_nearest = np.mean(
            [members[0] == oracles.neighbours(where, seed, 1)[0] for seed, members in enumerate(groups)]
        )
        assert abs(first_is_nearest - 0.25) < 0.12

    def test_with_the_seed_included_it_comes_first_and_every_pattern_is_used(self):
        where = positions()
        groups = nearest(where, 4, 5, include_seed=True)
        assert groups[:, 0].tolist() == list(range(60))
        for seed, members in enumerate(groups):
            assert set(members[1:]) <= set(oracles.neighbours(where, seed, 5))
            assert len(set(members)) == 4

    def test_seeds_are_drawn_without_replacement(self):
        groups = nearest(positions(), 1, 1, n_groups=50)
        assert groups.shape == (50, 1)
        assert len(set(groups[:, 0])) == 50
        included = nearest(positions(), 4, 4, n_groups=50, include_seed=True)
        assert len(set(included[:, 0])) == 50

    def test_one_pattern_a_group_without_a_draw_keeps_the_order(self):
        assert nearest(positions(), 1, 1)[:, 0].tolist() == list(range(60))

    @pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/B1-A1b")
    def test_duplicate_positions_leave_the_members_distinct_and_the_seed_out(self):
        where = np.repeat(np.array([[10.0, 20], [50, 60], [90, 10]]), 7, axis=0)
        for include_seed in (False, True):
            groups = nearest(where, 4, 6, include_seed=include_seed)
            for seed, members in enumerate(groups):
                assert len(set(members)) == 4
                assert all(where[m].tolist() == where[seed].tolist() for m in members)
                assert (seed in members) == include_seed

    @pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/B1-A1b")
    @given(count=st.integers(4, 30), k=st.integers(4, 40), seed=st.integers(0, 20), include=st.booleans())
    def test_for_any_scan_indices_exist_are_distinct_and_near(self, count, k, seed, include):
        where = np.random.default_rng(seed).uniform(0, 50, (count, 2)) * [1, 3]
        groups = nearest(where, 4, k, seed=seed, include_seed=include)
        assert groups.shape == (count, 4)
        assert groups.min() >= 0
        assert groups.max() < count
        for middle, members in enumerate(groups):
            assert len(set(members)) == 4
            reach = kth_distance(where, middle, min(k, count - 1)) + 1e-9
            assert all(math.hypot(*(where[m] - where[middle])) <= reach for m in members)

    def test_the_smallest_scan_makes_groups_of_all_its_patterns(self):
        for members in nearest(positions(4), 4, 4):
            assert sorted(members) == [0, 1, 2, 3]

    def test_x_and_y_count_alike(self):
        where = positions()
        np.testing.assert_array_equal(nearest(where, 4, 6), nearest(where[:, ::-1], 4, 6))

    def test_the_frame_does_not_matter(self):
        where = positions()
        np.testing.assert_array_equal(nearest(where, 4, 6), nearest(where + np.array([87, -40]), 4, 6))


class TestSomeRows:
    """Training keeps patterns back: groups are made of the others, and say so in the scan's own rows."""

    @pytest.mark.parametrize("gridsize", [1, 2])
    def test_members_are_rows_of_the_scan_and_only_those(self, gridsize):
        raw = oracles.make_scan(count=23)
        rows = np.array([1, 3, 4, 7, 8, 12, 13, 19, 22])
        grouped = grouping.group(raw, gridsize, GroupingConfig(neighbor_count=6), rows=rows)
        assert len(grouped) == 9
        assert grouped.raw is raw
        assert set(grouped.nn_indices.ravel()) <= set(rows)
        for seed, members in zip(rows, grouped.nn_indices, strict=True):
            if gridsize == 1:
                assert members.tolist() == [seed]
            else:
                near = rows[oracles.neighbours(raw.positions[rows], rows.tolist().index(seed), 6)]
                assert set(members) <= set(near)

    def test_too_few_of_them_are_refused(self):
        with pytest.raises(GroupingError, match="only 3 points in this part of the scan but 4 coordinates"):
            grouping.group(oracles.make_scan(), 2, GroupingConfig(), rows=np.array([1, 2, 3]))


class TestRandomness:
    def test_the_same_seed_gives_the_same_groups_another_seed_others(self):
        where = positions()
        np.testing.assert_array_equal(nearest(where, 4, 7, seed=3), nearest(where, 4, 7, seed=3))
        assert not np.array_equal(nearest(where, 4, 7, seed=3), nearest(where, 4, 7, seed=4))

    def test_the_config_seeds_it_unless_a_generator_is_given(self):
        raw = oracles.make_scan(count=23)
        config = GroupingConfig(neighbor_count=8, seed=5)
        by_config = grouping.group(raw, 2, config).nn_indices
        by_hand = grouping.group(raw, 2, config, rng=np.random.default_rng(5)).nn_indices
        other = grouping.group(raw, 2, config, rng=np.random.default_rng(6)).nn_indices
        np.testing.assert_array_equal(by_config, by_hand)
        assert not np.array_equal(by_config, other)

    @pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/B1-A1b")
    def test_the_global_generator_and_the_scan_are_left_alone(self):
        meta.pure(lambda where: nearest(where, 4, 7), positions())
        meta.pure(lambda where: nearest(where, 4, 7, 100, oversampling=True), positions())
        meta.pure(lambda: grouping.consecutive_groups(40, 4, 5, np.random.default_rng(0)))

    def test_the_argument_beats_the_config_on_the_seed_pattern(self):
        raw = oracles.make_scan(count=23)
        joins = GroupingConfig(include_seed=True)
        assert grouping.group(raw, 2, joins).nn_indices[:, 0].tolist() == list(range(23))
        stays_out = grouping.group(raw, 2, joins, include_seed=False).nn_indices
        assert not any(seed in members for seed, members in enumerate(stays_out))


@pytest.mark.finding("OVERSAMPLING-001")
class TestOversampling:
    def test_without_the_opt_in_it_is_refused(self):
        with pytest.raises(
            GroupingError,
            match=r"61 groups requested but this part .* has 60 patterns: ask for at most 60; .*oversampling = true",
        ):
            nearest(positions(), 4, 7, n_groups=61)

    def test_with_the_opt_in_it_gives_exactly_what_was_asked(self):
        for wanted in (61, 100, 60 * 35):
            assert nearest(positions(), 4, 7, n_groups=wanted, oversampling=True).shape == (wanted, 4)

    def test_the_config_opts_in(self):
        raw = oracles.make_scan(count=23)
        config = GroupingConfig(neighbor_count=7, oversampling=True)
        assert len(grouping.group(raw, 2, config, n_groups=50)) == 50
        with pytest.raises(GroupingError, match="oversampling = true"):
            grouping.group(raw, 2, GroupingConfig(neighbor_count=7), n_groups=50)

    def test_each_seed_gives_distinct_combinations_until_all_are_used(self):
        where = positions(12)
        groups = nearest(where, 4, 7, n_groups=12 * 35, oversampling=True)
        for seed in range(12):
            own = {tuple(sorted(members)) for members in groups[seed * 35 : (seed + 1) * 35]}
            assert own == {
                tuple(sorted(members))
                for members in itertools.combinations(oracles.neighbours(where, seed, 7), 4)
            }

    def test_beyond_all_combinations_it_is_refused_with_the_limit(self):
        with pytest.raises(GroupingError, match="12 patterns with K=7, C=4 give at most 420 distinct ones"):
            nearest(positions(12), 4, 7, n_groups=421, oversampling=True)

    def test_seeds_share_the_groups_evenly(self):
        groups = nearest(positions(12), 4, 6, n_groups=30, include_seed=True, oversampling=True)
        assert sorted(np.bincount(groups[:, 0]).tolist()) == [2] * 6 + [3] * 6

    def test_where_no_further_combination_exists_it_is_refused(self):
        with pytest.raises(GroupingError, match=r"K > C \(K=4, C=4\)"):
            nearest(positions(), 4, 4, n_groups=61, oversampling=True)

    def test_single_patterns_cannot_be_oversampled(self):
        with pytest.raises(
            GroupingError, match="61 groups of one pattern requested but this part of the scan has 60"
        ):
            nearest(positions(), 1, 4, n_groups=61, oversampling=True)

    @given(k=st.integers(4, 9), size=st.integers(1, 4))
    def test_unranking_lists_every_combination_once(self, k, size):
        total = math.comb(k, size)
        rows = grouping.distinct_combinations(k, size, total, total, np.random.default_rng(1))
        assert {tuple(row) for row in rows} == set(itertools.combinations(range(k), size))

    def test_with_the_seed_included_it_stands_first_and_the_others_are_drawn_about_it(self):
        where = positions(30)
        groups = nearest(where, 4, 5, n_groups=30 * 9, include_seed=True, oversampling=True)
        assert groups.shape == (270, 4)
        assert sorted(groups[:, 0]) == sorted(list(range(30)) * 9)
        assert len({(row[0], frozenset(row[1:])) for row in groups.tolist()}) == 270
        for seed, *others in groups.tolist():
            assert (
                np.linalg.norm(where[others] - where[seed], axis=1).max()
                <= kth_distance(where, seed, 5) + 1e-9
            )

    def test_two_combinations_are_enough(self):
        groups = nearest(positions(20), 2, 2, n_groups=40, include_seed=True, oversampling=True)
        assert len({tuple(row) for row in groups.tolist()}) == 40


def flags(config):
    return {"include_seed": config.include_seed, "oversampling": config.oversampling}


@pytest.mark.finding("OVERSAMPLING-LOST-001")
class TestTheMost:
    """How many groups a scan can give."""

    @pytest.mark.parametrize(
        ("settings", "count", "channels", "most"),
        [
            ({"oversampling": True, "neighbor_count": 7}, 50, 1, 50),
            ({"neighbor_count": 7}, 50, 4, 50),
            ({"oversampling": True, "neighbor_count": 7}, 50, 4, 50 * 35),
            ({"oversampling": True, "neighbor_count": 7, "include_seed": True}, 50, 4, 50 * 35),
            ({"oversampling": True, "neighbor_count": 6, "include_seed": True}, 50, 4, 50 * 20),
            ({"oversampling": True, "neighbor_count": 6}, 50, 4, 50 * 15),
            ({"oversampling": True, "neighbor_count": 9}, 6, 4, 6 * 5),
        ],
    )
    def test_the_most_that_can_be_asked_for(self, settings, count, channels, most):
        """Patterns times the combinations of a seed's neighbours, of which a scan of M has M - 1 at most."""
        config = GroupingConfig(**settings)
        assert grouping.most_groups(count, channels, config) == most
        if channels > 1:
            given = nearest(positions(count), channels, config.neighbor_count, most, **flags(config))
            assert len(given) == most
            with pytest.raises(GroupingError):
                nearest(positions(count), channels, config.neighbor_count, most + 1, **flags(config))

    def test_the_argument_beats_the_config_on_the_seed_in_the_most_too(self):
        config = GroupingConfig(oversampling=True, neighbor_count=6, include_seed=True)
        assert grouping.most_groups(50, 4, config, include_seed=False) == 50 * 15
        assert grouping.most_groups(50, 4, config, include_seed=True) == 50 * 20


class TestRefused:
    @pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/B1-A1b")
    def test_fewer_patterns_than_members(self):
        raw = oracles.make_scan(count=2)
        for method in ("nearest", "consecutive"):
            with pytest.raises(
                GroupingError,
                match="only 2 points in this part of the scan but 4 coordinates per group requested",
            ):
                grouping.group(raw, 2, GroupingConfig(method=method))

    @pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/B1-A1b")
    def test_fewer_neighbours_than_members(self):
        with pytest.raises(GroupingError, match=r"K=3 must be >= C=4"):
            nearest(positions(), 4, 3)

    def test_a_seed_that_joins_needs_one_neighbour_less(self):
        assert nearest(positions(), 4, 3, include_seed=True).shape == (60, 4)
        with pytest.raises(GroupingError, match=r"K=2 must be >= C=4"):
            nearest(positions(), 4, 2, include_seed=True)

    @pytest.mark.parametrize(("count", "joins"), [(4, True), (5, False)])
    def test_the_seed_joins_unasked_only_where_there_are_no_others(self, count, joins):
        groups = nearest(positions(count), 4, 4)
        assert [seed in members for seed, members in enumerate(groups)] == [joins] * count


class TestConsecutive:
    def test_groups_stand_as_they_were_written(self):
        assert grouping.consecutive_groups(8, 4, None, np.random.default_rng(0)).tolist() == [
            [0, 1, 2, 3],
            [4, 5, 6, 7],
        ]

    def test_some_of_them_stay_whole_ordered_and_distinct(self):
        drawn = grouping.consecutive_groups(400, 4, 30, np.random.default_rng(0))
        assert drawn.shape == (30, 4)
        assert (drawn[:, 0] % 4 == 0).all()
        np.testing.assert_array_equal(drawn, drawn[:, :1] + np.arange(4))
        assert (np.diff(drawn[:, 0]) > 0).all()

    def test_all_of_them_asked_by_number(self):
        assert len(grouping.consecutive_groups(400, 4, 100, np.random.default_rng(0))) == 100

    def test_a_ragged_scan_is_refused(self):
        with pytest.raises(GroupingError, match="10 patterns cannot be read as consecutive groups of 4"):
            grouping.consecutive_groups(10, 4, None, np.random.default_rng(0))

    def test_more_than_there_are_is_refused(self):
        with pytest.raises(GroupingError, match="3 groups requested but this part of the scan holds 2 of 4"):
            grouping.consecutive_groups(8, 4, 3, np.random.default_rng(0))

    def test_the_config_chooses_the_method(self):
        raw = oracles.make_scan(count=24)
        grouped = grouping.group(raw, 2, GroupingConfig(method="consecutive"))
        np.testing.assert_array_equal(grouped.nn_indices, np.arange(24).reshape(6, 4))

    def test_as_many_as_were_asked_for(self):
        grouped = grouping.group(
            oracles.make_scan(count=24), 2, GroupingConfig(method="consecutive"), n_groups=2
        )
        assert len(grouped) == 2

    def test_one_group_of_all_there_are(self):
        assert len(grouping.group(oracles.make_scan(count=4), 2, GroupingConfig(method="consecutive"))) == 1
        assert grouping.group(oracles.make_scan(count=4), 2, GroupingConfig()).nn_indices.shape == (4, 4)


def test_a_seed_that_the_tree_does_not_list_among_its_equals_is_left_out_all_the_same():
    """Of more patterns in one place than a query lists, each is somebody's seed; the others lie as they lie."""
    where = np.concatenate([np.full((9, 2), 50.0), positions(20)])
    for K in (2, 4, 6):
        groups = nearest(where, 2, K)
        assert groups.shape == (29, 2)
        for seed, members in enumerate(groups.tolist()):
            assert seed not in members
            assert len(set(members)) == 2
            distances = np.linalg.norm(where[members] - where[seed], axis=1)
            assert distances.max() <= kth_distance(where, seed, K) + 1e-9
