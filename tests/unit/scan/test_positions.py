"""Positions: the published draws, and rasters whose places can be written down."""

import metamorphic as meta
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptycho.base.errors import ConfigError
from ptycho.scan import positions


class TestNongrid:
    def test_the_test_half_of_the_published_scan(self):
        where = positions.nongrid_positions(2000, (392, 392), 10.0, 42)
        test = where[np.argsort(where[:, 1])[1000:]]
        assert test[:, 1].min() == pytest.approx(193.3, abs=0.05)
        assert test[:, 1].max() == pytest.approx(381.8, abs=0.05)
        assert test[:, 0].mean() == pytest.approx(195.8, abs=0.05)
        assert test[:, 1].mean() == pytest.approx(287.7, abs=0.05)

    def test_all_x_are_drawn_before_all_y(self):
        rng = np.random.RandomState(7)
        x = [10 + 80 * rng.random_sample() for _ in range(5)]
        y = [10 + 30 * rng.random_sample() for _ in range(5)]
        np.testing.assert_allclose(
            positions.nongrid_positions(5, (50, 100), 10, 7), np.stack([x, y], 1), rtol=1e-12
        )

    @pytest.mark.finding("REASSEMBLY-BRIDGE-001/axis")
    @given(st.integers(0, 1000), st.floats(0, 20))
    def test_they_keep_the_buffer_along_each_axis(self, seed, buffer):
        where = positions.nongrid_positions(200, (60, 140), buffer, seed)
        assert where.shape == (200, 2)
        assert where[:, 0].min() >= buffer
        assert where[:, 0].max() <= 140 - buffer
        assert where[:, 1].min() >= buffer
        assert where[:, 1].max() <= 60 - buffer
        assert where[:, 0].max() > 60  # x runs along the width

    def test_a_buffer_wider_than_the_object_leaves_its_middle(self):
        where = positions.nongrid_positions(50, (30, 40), 100.0, 0)
        assert where[:, 1].min() >= 14
        assert where[:, 1].max() <= 16

    def test_a_seed_is_a_scan(self):
        meta.pure(lambda: positions.nongrid_positions(9, (60, 140), 10, 3))
        one, other = (positions.nongrid_positions(9, (60, 140), 10, seed) for seed in (3, 4))
        assert not np.array_equal(one, other)


class TestGrid:
    @pytest.mark.parametrize(
        ("gridsize", "outer", "groups"), [(2, 8, 82**2), (2, 20, 33**2), (1, 8, 83**2), (1, 20, 33**2)]
    )
    def test_the_published_numbers_of_groups_per_object(self, gridsize, outer, groups):
        """Two objects: 13448 (gs2) and 13778 (gs1) groups to train, 2178 to test."""
        where = positions.grid_positions(392, 64, gridsize, 4, outer)
        assert where.shape == (groups * gridsize**2, 2)

    @pytest.mark.finding("BUG-TF-001")
    def test_members_run_along_rows_in_windows_that_run_along_rows(self):
        where = positions.grid_positions(object_size=13, N=8, gridsize=2, offset_px=2, outer_offset_px=6)
        window = lambda x, y: [[x, y], [x + 2, y], [x, y + 2], [x + 2, y + 2]]  # noqa: E731
        assert where.tolist() == window(4, 4) + window(7, 4) + window(4, 7) + window(7, 7)

    @given(
        st.integers(20, 60),
        st.sampled_from([8, 9, 16]),
        st.integers(1, 3),
        st.integers(1, 2),
        st.integers(2, 9),
    )
    def test_every_patch_lies_whole_in_the_object(self, size, N, gridsize, offset, outer):
        where = positions.grid_positions(size, N, gridsize, offset, outer)
        assert len(where) % gridsize**2 == 0
        assert (where - N / 2).min() == 0
        assert (where + N / 2).max() <= size

    def test_a_window_larger_than_the_object_is_refused_with_the_remedy(self):
        with pytest.raises(
            ConfigError,
            match=r"a window of 68 px does not fit the object of 67 px; lower simulation\.grid\.offset_px",
        ):
            positions.grid_positions(67, 64, 2, 4, 8)
        assert len(positions.grid_positions(68, 64, 2, 4, 8)) == 4
