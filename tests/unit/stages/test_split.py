"""Which patterns train: shares, sides, indices, and none at all."""

import dataclasses

import numpy as np
import oracles
import pytest

from ptycho.artifacts.stage import Execution
from ptycho.base.errors import DataContractError
from ptycho.scan.inspection import Inspection
from ptycho.scan.raw import RawData, Split
from ptycho.settings.config import Config
from ptycho.settings.params import Params
from ptycho.stages import split


def scan(count=21, index=None):
    where = oracles.scan_positions(count, (90, 140), 32, seed=4)
    patterns = np.random.default_rng(1).uniform(1, 2, (count, 32, 32))
    return RawData(where[:, 0], where[:, 1], patterns, oracles.lopsided_probe(32), scan_index=index)


def divided(raw, **settings):
    params = Params(Config(N=32, split=settings), ("split",), "split")
    return split.run({"inspect": Inspection(raw, np.arange(len(raw)))}, params, Execution())


@pytest.mark.finding("SPLIT-SHARE-001")
@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.7])
def test_along_the_axis_the_lower_share_trains(fraction):
    raw = scan()
    found = divided(raw, fraction=fraction)
    assert len(found.train_rows) == round(21 * fraction)
    assert len(found.test_rows) == 21 - round(21 * fraction)
    assert found.train.ycoords.max() < found.test.ycoords.min()


def test_of_patterns_on_one_line_the_first_train():
    """A raster has many patterns of the same y: which of them train must not depend on the sorting."""
    raw = scan(400)
    line = np.arange(400) % 4
    lines = dataclasses.replace(raw, ycoords=20.0 + line, ycoords_start=None)
    found = divided(lines, fraction=0.4)
    expected = [*np.flatnonzero(line == 0), *np.flatnonzero(line == 1)[:60]]
    np.testing.assert_array_equal(found.train_rows, np.sort(expected))


def test_by_index_the_patterns_of_other_scans_test():
    index = np.arange(21) % 3
    found = divided(scan(index=index), method="scan_index")
    np.testing.assert_array_equal(found.train_rows, np.flatnonzero(index == 0))
    np.testing.assert_array_equal(found.test_rows, np.flatnonzero(index))


def test_without_a_split_all_test_and_all_train():
    raw = scan()
    found = divided(raw, method="none")
    for part in (found.train, found.test):
        np.testing.assert_array_equal(part.diff3d, raw.diff3d)
    assert all(holds for _, holds in split.invariants(found))


def test_a_pattern_in_both_parts_breaks_an_invariant():
    raw = scan()
    torn = Split(raw, np.arange(12), np.arange(11, 21))
    assert not all(holds for _, holds in split.invariants(torn))


def test_nothing_to_train_on_is_said_with_the_remedy():
    """A division that somebody stored, or made in Python, may have no training part."""
    with pytest.raises(DataContractError, match=r"leaves no patterns to train on; set split\.method"):
        Split(scan(), np.arange(0), np.arange(21)).train  # noqa: B018


def test_a_part_without_patterns_is_refused():
    with pytest.raises(DataContractError, match="by scan_index leaves 21 patterns to train and 0 to test"):
        divided(scan(), method="scan_index")


@pytest.mark.parametrize("rows", [([0, 1], [1, 2]), ([0], [1]), ([0, 1], [2, 3])])
def test_parts_that_overlap_or_leave_something_out_break_the_invariant(rows):
    parts = Split(scan(3), np.array(rows[0]), np.array(rows[1]))
    assert not all(holds for _, holds in split.invariants(parts))


def test_patterns_of_one_height_are_taken_in_the_order_of_the_scan():
    raw = dataclasses.replace(scan(40), ycoords=np.full(40, 50.0))
    np.testing.assert_array_equal(divided(raw, fraction=0.5).train_rows, np.arange(20))
