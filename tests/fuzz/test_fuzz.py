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


def test_every_call_ends_with_a_code_and_a_line_of_ours_and_nothing_is_lost():
    path = hostile.folder() / "taken.jsonl"
    taken = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    first = max((each["first"] + each["count"] for each in taken), default=0)
    broken = hostile.take(first, 10**9, SLICE)
    assert [(each["number"], each["broken"]) for each in broken] == []


@pytest.mark.parametrize("how", disk.HOW)
@pytest.mark.parametrize("command", disk.COMMANDS)
def test_what_was_killed_or_found_the_disk_full_goes_on_to_the_same_bits(command, how):
    """In an interpreter of its own: what forks must not have used a framework."""
    take = f"import json, disk; print(json.dumps(disk.take({command!r}, {how!r}, seconds={DISK})))"
    paths = f"import sys; sys.path[:0] = {sys.path!r}; "
    done = subprocess.run([sys.executable, "-c", paths + take], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
