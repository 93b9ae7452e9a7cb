"""The exam of root-cause isolation: each call answers cases for a quarter of an hour, and judges all that are answered.

pytest -m isolate                    # goes on where it was stopped; results accumulate in .isolation (or $PTYCHO_ISOLATION)
python docs/isolation.py             # makes the tables and the picture of docs/isolation.md of them
"""

import json

import exam
import pytest

pytestmark = pytest.mark.isolate

SLICE = 780.0
"""Seconds of a slice."""


@pytest.fixture(scope="module")
def rows():
    path = exam.take(1, SLICE)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{**row, **exam.judged(row)} for row in rows if "refused" not in row]


def test_the_right_stage_is_named_where_the_effect_is_seen(rows):
    seen = [row for row in rows if row["visible"]]
    assert sum(row["stage"] for row in seen) >= 0.99 * len(seen), [
        row["name"] for row in seen if not row["stage"]
    ]


@pytest.mark.parametrize(("kind", "share"), [("single", 0.95), ("double", 0.85)])
def test_the_smallest_set_is_exactly_the_planted_one(rows, kind, share):
    seen = [row for row in rows if row["case"]["kind"] == kind and row["visible"] and not row["unsure"]]
    assert sum(row["set"] for row in seen) >= share * len(seen), [
        row["name"] for row in seen if not row["set"]
    ]


def test_no_cause_is_named_on_identical_pairs(rows):
    same = [row for row in rows if row["case"]["kind"] == "same"]
    assert [row["name"] for row in same if row["named"]] == []


def test_where_the_effect_is_below_the_noise_none_is_named(rows):
    hidden = [row for row in rows if row["hidden"]]
    assert sum(row["silent"] for row in hidden) >= 0.95 * len(hidden), [
        row["name"] for row in hidden if not row["silent"]
    ]


@pytest.mark.xfail(
    strict=False,
    reason="the goal, not reached: among nine differences a search by halves asks as much as ddmin (docs/isolation.md)",
)
def test_a_verdict_takes_half_of_the_work_of_the_baselines(rows):
    for name in exam.BASELINES:
        both = [
            (row["executions"], row["baselines"][name]["executions"])
            for row in rows
            if name in row["baselines"]
        ]
        assert sum(ours for ours, _ in both) <= 0.5 * sum(theirs for _, theirs in both), name
