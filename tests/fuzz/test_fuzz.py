"""Hostile calls in slices of a quarter of an hour: each goes on where the last one ended, and adds up in .fuzz (or $PTYCHO_FUZZ).

pytest -m fuzz
"""

import json

import hostile
import pytest

pytestmark = pytest.mark.fuzz

SLICE = 780.0
"""Seconds of a slice."""


def test_every_call_ends_with_a_code_and_a_line_of_ours_and_nothing_is_lost():
    path = hostile.folder() / "taken.jsonl"
    taken = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    first = max((each["first"] + each["count"] for each in taken), default=0)
    broken = hostile.take(first, 10**9, SLICE)
    assert [(each["number"], each["broken"]) for each in broken] == []
