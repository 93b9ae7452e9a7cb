"""Two thousand hostile calls, and commands that are killed or find the disk full: what `pytest -m fuzz` goes on with.

Each runs in an interpreter of its own: what forks must not have used a framework.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import disk
import pytest

TESTS = Path(__file__).parents[1]
EACH = 1000


def outcome(folder, *command):
    """What a script of this folder writes down: one value a line."""
    done = subprocess.run(
        [sys.executable, TESTS / command[0], *map(str, command[1:])],
        env={**os.environ, "PTYCHO_FUZZ": str(folder)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(folder.glob("*.jsonl"))
    }


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 2000, EACH))
def test_a_call_ends_with_a_code_and_a_line_of_ours_and_nothing_is_lost(first, tmp_path):
    written = outcome(tmp_path, "hostile.py", first, EACH)
    assert [(each["number"], each["broken"]) for each in written.get("broken", [])] == []
    assert [each["count"] for each in written["taken"]] == [EACH]


@pytest.mark.slow
@pytest.mark.parametrize("how", disk.HOW)
def test_what_was_killed_or_found_the_disk_full_goes_on_to_the_same_bits(how, tmp_path):
    written = outcome(tmp_path, "disk.py", "some", how)["disk"]
    assert [each for each in written if each["broken"]] == []
    assert [(each["command"], each["at"]) for each in written] == [
        (command, at) for command, points in disk.SOME.items() for at in points
    ]
