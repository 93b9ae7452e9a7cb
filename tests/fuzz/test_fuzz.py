"""Hostile calls, and commands that are killed or find the disk full, in slices: each goes on where the last one ended, and adds up
in .fuzz (or $PTYCHO_FUZZ).

pytest -m fuzz
"""

import json
import subprocess
import sys

import disk
import hostile
import pytest

pytestmark = pytest.mark.fuzz

SLICE = 780.0
"""Seconds of a slice."""
DISK = 90.0
"""Seconds for each command and kind of disturbance."""
COMPANY = 120.0
"""Seconds of several processes on one folder."""


def test_every_call_ends_with_a_code_and_a_line_of_ours_and_nothing_is_lost():
    taken = hostile.written(hostile.folder() / "taken.jsonl")
    first = max((each["first"] + each["count"] for each in taken), default=0)
    broken = hostile.take(first, 10**9, SLICE)
    assert [(each["number"], each["broken"]) for each in broken] == []


def alone(script):
    """What a script returns in an interpreter of its own: what forks must not have used a framework."""
    text = f"import sys; sys.path[:0] = {sys.path!r}\nimport json\n{script}\nprint(json.dumps(result))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("how", disk.HOW)
@pytest.mark.parametrize("command", disk.COMMANDS)
def test_what_was_killed_or_found_the_disk_full_goes_on_to_the_same_bits(command, how):
    assert alone(f"import disk; result = disk.take({command!r}, {how!r}, seconds={DISK})") == []


def test_processes_that_share_a_folder_and_a_cache_leave_what_one_alone_leaves():
    result = alone(f"import company; result = company.try_for({COMPANY})")
    assert result["broken"] == []
    assert result["commands"] > COMPANY


TORN = """
import contextlib, company
from ptycho.base import atomic

@contextlib.contextmanager
def in_place(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        yield stream

atomic.replacing = in_place
result = company.try_for(40, seed=2)
"""


def test_where_files_are_written_in_place_that_is_noticed(tmp_path):
    elsewhere = f"import os; os.environ['PTYCHO_FUZZ'] = {str(tmp_path)!r}"
    assert alone(f"{elsewhere}\n{TORN}")["broken"] != []
