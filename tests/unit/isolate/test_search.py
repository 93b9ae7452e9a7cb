"""The search for smallest sets, on questions whose answers are written down: no run is needed."""

import pytest

from ptycho.isolate import search
from ptycho.isolate.differences import Difference


def things(count):
    return [Difference("parameter", f"p{number:02d}", ("row",)) for number in range(count)]


class Asked:
    """A question that counts how often it was asked of another set."""

    def __init__(self, answer):
        self.answer, self.seen = answer, set()

    def __call__(self, taken):
        self.seen.add(taken)
        return self.answer({each.name for each in taken})


@pytest.mark.parametrize(
    "planted", [{"p00"}, {"p07"}, {"p15"}, {"p03", "p04"}, {"p00", "p15"}, {"p01", "p07", "p12"}]
)
def test_the_repair_needs_what_shows_by_itself_and_nothing_else(planted):
    shows = Asked(lambda names: bool(names & planted))
    repair = search.smallest_repair(things(16), shows)
    assert {each.name for each in repair.needed} == planted
    assert {each.name for each in repair.harmless} == {each.name for each in things(16)} - planted
    assert len(shows.seen) <= 1 + len(planted) * 2 * 4


def test_of_two_that_show_only_together_one_is_repaired_and_both_break():
    shows = Asked(lambda names: {"p02", "p09"} <= names)
    repair = search.smallest_repair(things(12), shows)
    assert [each.name for each in repair.needed] == ["p09"]
    breaks = search.smallest_breaks(repair.needed, repair.harmless, shows)
    assert [{each.name for each in some} for some in breaks] == [{"p02", "p09"}]


def test_three_that_show_only_together_are_found_as_three():
    shows = Asked(lambda names: {"p02", "p05", "p09"} <= names)
    repair = search.smallest_repair(things(12), shows)
    breaks = search.smallest_breaks(repair.needed, repair.harmless, shows)
    assert [{each.name for each in some} for some in breaks] == [{"p02", "p05", "p09"}]


def test_all_single_causes_are_named_where_several_break_alone():
    shows = Asked(lambda names: bool(names & {"p01", "p03"}))
    repair = search.smallest_repair(things(5), shows)
    breaks = search.smallest_breaks(repair.needed, repair.harmless, shows)
    assert [{each.name for each in some} for some in breaks] == [{"p01"}, {"p03"}]


def test_where_nothing_shows_nothing_is_needed_and_one_question_was_enough():
    shows = Asked(lambda names: False)
    repair = search.smallest_repair(things(20), shows)
    assert repair.needed == ()
    assert len(shows.seen) == 1
    assert search.smallest_breaks((), repair.harmless, shows) == []


def test_what_is_known_to_be_harmless_stays_in_every_question():
    first, *others = things(6)
    shows = Asked(lambda names: "p03" in names)
    search.smallest_repair(others, shows, frozenset({first}))
    assert all(first in taken for taken in shows.seen)


def test_a_difference_that_hides_another_is_not_asked_for():
    # p01 breaks, and p02 beside it hides that: with both nothing shows, and nothing is to be repaired.
    shows = Asked(lambda names: "p01" in names and "p02" not in names)
    assert search.smallest_repair(things(4), shows).needed == ()
