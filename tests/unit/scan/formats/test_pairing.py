"""Patterns and positions belong together by their numbers, and never silently by order."""

import numpy as np
import pytest

from ptycho.base.errors import ConfigError, DataContractError
from ptycho.scan.formats import pairing
from ptycho.scan.formats.source import Source


def of(count, numbers=None, mine=None, positions=None):
    """A source whose pattern k holds k everywhere, and whose position number n is at (n, -n)."""
    patterns = np.arange(count, dtype=np.float64)[:, None, None] * np.ones((1, 4, 4))
    if positions is None:
        places = np.arange(count) if numbers is None else np.asarray(numbers)
        positions = np.stack([places, -places], axis=1).astype(np.float64)
    return Source(
        patterns=patterns,
        positions=positions,
        pattern_indexes=None if mine is None else np.asarray(mine),
        position_indexes=None if numbers is None else np.asarray(numbers),
    )


def pairs(source, pair=None):
    """{pattern: x of its position}."""
    result = pairing.paired(source, pair)
    assert len(result.patterns) == len(result.positions)
    return {
        int(pattern[0, 0]): float(place[0])
        for pattern, place in zip(result.patterns, result.positions, strict=True)
    }


@pytest.mark.finding("TRIGGER-OFF-BY-ONE-001")
@pytest.mark.parametrize("first", [0, 1])
def test_a_trigger_counts_from_0_or_from_1(first):
    assert pairs(of(4, numbers=np.arange(4) + first)) == {k: k + first for k in range(4)}


@pytest.mark.finding("TRIGGER-OFF-BY-ONE-001")
def test_where_both_may_be_meant_that_is_asked():
    source = of(4, numbers=np.arange(5))
    with pytest.raises(
        DataContractError, match="both 0 and 1 may be the first pattern's; add --pair from=0 or --pair from=1"
    ):
        pairing.paired(source)
    assert pairs(source, "from=1") == {0: 1, 1: 2, 2: 3, 3: 4}
    assert pairs(source, "from=0") == {0: 0, 1: 1, 2: 2, 3: 3}
    assert pairs(source, "leading") == {0: 0, 1: 1, 2: 2, 3: 3}


def test_where_none_may_be_meant_that_is_told():
    with pytest.raises(DataContractError, match="neither 0 nor 1 may be the first pattern's"):
        pairing.paired(of(4, numbers=[0, 1, 3, 4]))


def test_a_number_that_repeats_is_averaged():
    positions = np.array([[0.0, 0], [2, 2], [5, 5], [7, 7], [9, 9]])
    source = of(3, numbers=[0, 0, 1, 2, 2], positions=positions)
    assert pairs(source) == {0: 1.0, 1: 5.0, 2: 8.0}
    assert "4 positions that share a number are averaged" in pairing.paired(source).lines


def test_patterns_without_a_position_are_left_out_and_told():
    source = of(5, numbers=[10, 11, 13], mine=[10, 11, 12, 13, 14])
    assert pairs(source) == {0: 10, 1: 11, 3: 13}
    assert "2 patterns have no position and are left out" in pairing.paired(source).lines


def test_the_order_of_the_patterns_stays():
    assert list(pairs(of(3, numbers=[3, 4, 5], mine=[5, 3, 4])).items()) == [(0, 5), (1, 3), (2, 4)]


def test_positions_without_a_pattern_are_told():
    source = of(2, numbers=[7, 8, 9], mine=[9, 7])
    assert pairs(source) == {0: 9, 1: 7}
    assert "1 positions have no pattern and are left out" in pairing.paired(source).lines


def test_numbers_that_do_not_meet_are_refused():
    with pytest.raises(
        DataContractError, match=r"numbered 0 to 1 \(2 of them\) and positions 7 to 8 .* none belong together"
    ):
        pairing.paired(of(2, numbers=[7, 8], mine=[0, 1]))


def test_a_number_that_two_patterns_have_is_refused():
    with pytest.raises(DataContractError, match="2 patterns have 1 numbers"):
        pairing.paired(of(2, numbers=[7, 8], mine=[7, 7]))


def test_without_numbers_nothing_is_done_and_the_first_are_taken_where_asked():
    source = of(5, positions=np.zeros((7, 2)))
    assert pairing.paired(source) is source
    assert len(pairing.paired(source, "leading").positions) == 5


@pytest.mark.parametrize("text", ["first", "from=", "from=-1", "from=x", ""])
def test_what_says_nothing_about_pairs_is_refused(text):
    with pytest.raises(ConfigError, match="expected leading, or from=0"):
        pairing.check(text)
