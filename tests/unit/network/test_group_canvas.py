"""A group's canvas holds its members, is centred on them, and suits the network."""

import numpy as np
import oracles
import pytest

from ptycho.base.errors import GroupingError
from ptycho.network import group_canvas
from ptycho.scan.groups import GroupedData


@pytest.mark.parametrize("multiple", [1, 2, 4, 8])
@pytest.mark.parametrize("reach", [0.0, 0.1, 1.0, 3.5, 17.9, 32.0])
def test_it_is_the_smallest_that_holds_the_members_and_suits_the_network(reach, multiple):
    side = group_canvas.side_px(reach, 32, multiple)
    step = max(2, multiple)
    assert side % step == 0
    assert side >= 32 + 2 * np.ceil(reach)
    assert side - step < 32 + 2 * np.ceil(reach)


def test_an_odd_multiple_keeps_the_patches_in_the_middle():
    assert group_canvas.side_px(2.0, 33, 3) == 39


def test_members_that_overlap_nothing_are_refused():
    assert group_canvas.side_px(32.0, 32, 2) == 96
    with pytest.raises(
        GroupingError, match=r"members lie up to 32\.1 px from its centre but patches are 32 px wide"
    ):
        group_canvas.side_px(32.1, 32, 2)


def test_the_reach_is_the_farthest_member_of_any_group_along_an_axis():
    raw = oracles.make_scan(count=12)
    groups = [GroupedData(raw, 2, np.arange(8).reshape(2, 4)), GroupedData(raw, 2, np.arange(8, 12)[None])]
    farthest = 0.0
    for group in ([0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]):
        where = raw.positions[group]
        farthest = max(farthest, float(np.abs(where - np.round(where.mean(axis=0))).max()))
    assert group_canvas.reach_px(groups) == pytest.approx(farthest)
    assert group_canvas.reach_px([]) == 0
