"""Several processes at work on one folder and one cache; some are killed. And what must hold of each, and after all.

    python tests/company.py SECONDS [SEED]     # result in .fuzz (or $PTYCHO_FUZZ)

Every process draws a command, runs it in a forked child, and draws the next. All name the same outputs and the same cache, which
some of them clear. A command ends with its own code, or is told that another run is writing there. After that each is run once
more, alone, and must leave what it leaves where nobody else was there.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import disk
import hostile

PROCESSES = 3
BUSY = "another run is writing there"
OTHERS = (("cache", "clear"), ("cache", "info"))
KILLED = 0.2
"""The share of commands that are killed."""


def commands() -> dict[str, tuple[str, ...]]:
    """Return the commands that write, as one that goes on with whatever is there."""
    run = ("run", "gs1_ideal", *disk.SETS, "--until", "scale", "--out", "run", "--resume")
    going = {name: (*disk.COMMANDS[name], disk.GOING_ON[name]) for name in ("solve", "simulate")}
    return {
        **going,
        "run": run,
        "diagnose": ("diagnose", "probe", "scan.npz", "--out", "seen", "--overwrite"),
    }


def at_work(folder: Path, outside: Path, number: int, seed: int, until: float, sizes: dict[str, int]) -> None:
    """Run commands in forked children up to a time; write down each, and what it broke of the promise."""
    rng = random.Random(1000 * seed + number)
    own = outside / f"process-{number}"
    own.mkdir()
    cache = ("--cache", str(outside / "cache"))
    with (outside / f"{number}.jsonl").open("w") as lines:
        while time.time() < until:
            name, words = rng.choice([*commands().items(), *((" ".join(each), each) for each in OTHERS)])
            at = rng.randrange(1, sizes[name]) if name in sizes and rng.random() < KILLED else 0
            # `diagnose` has no cache.
            more = () if name == "diagnose" else cache
            ending = hostile.called(
                [*words, *more], folder, own, disk.Disk(at, "killed").install if at else None
            )
            line = {"command": name, "code": ending.code, "killed": at > 0, "broken": wrong(ending, at > 0)}
            lines.write(json.dumps({**line, "words": ending.errors[-600:] if line["broken"] else ""}) + "\n")
            lines.flush()


def wrong(ending: hostile.Ending, may_be_killed: bool) -> list[str]:
    """Return what an ending in company broke of the promise."""
    if may_be_killed and ending.code == -signal.SIGKILL:
        return []
    found = hostile.broken(ending)
    if ending.code == 2 and BUSY not in ending.errors:
        found.append("ended with 2 and another reason than that another run is writing")
    if "is damaged" in ending.errors or "cannot be used" in ending.errors:
        found.append("the cache was damaged, or given up")
    return found


def try_for(seconds: float, seed: int = 0) -> dict[str, Any]:
    """Let processes work in company, and return how often each command ended how, and what was broken."""
    with disk.bench() as each, disk.desk(each.source) as (folder, outside):
        alone = {}
        for name, words in commands().items():
            counting = disk.Disk()
            with disk.desk(each.source) as (quiet, beside):
                ending = hostile.called(
                    [word for word in words if word != "--resume"], quiet, beside, counting.install
                )
                alone[name] = counting.done, ending.code, disk.results(quiet)
        sizes = {name: done for name, (done, _, _) in alone.items()}
        children = []
        for number in range(PROCESSES):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    at_work(folder, outside, number, seed, time.time() + seconds, sizes)
                    code = 0
                finally:
                    os._exit(code)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        lines = [
            json.loads(text)
            for path in sorted(outside.glob("*.jsonl"))
            for text in path.read_text().splitlines()
        ]
        broken = [line for line in lines if line["broken"]] + [{"process": code} for code in codes if code]
        broken += after(folder, outside, alone)
        ended = Counter(
            f"{line['command']}: {'killed' if line['code'] == -9 else line['code']}" for line in lines
        )
        result = {
            "seed": seed,
            "seconds": seconds,
            "commands": len(lines),
            "ended": dict(sorted(ended.items())),
        }
    result["broken"] = broken
    with (hostile.folder() / "company.jsonl").open("a") as stream:
        stream.write(json.dumps(result) + "\n")
    return result


def after(folder: Path, outside: Path, alone: dict[str, Any]) -> list[dict[str, Any]]:
    """Run each command once more, alone: it ends as it does where nobody was there, and leaves the same."""
    broken, expected = [], {}
    cache = ("--cache", str(outside / "cache"))
    for name, words in commands().items():
        _, code, left = alone[name]
        ending = hostile.called([*words, *(() if name == "diagnose" else cache)], folder, outside)
        found = wrong(ending, may_be_killed=False) + (
            [f"ended with {ending.code}"] if ending.code != code else []
        )
        broken += [{"after": name, "broken": found, "words": ending.errors[-600:]}] if found else []
        expected |= left
    differs = [
        *disk.differences(expected, disk.results(folder)),
        *(f"left {path}" for path in disk.hidden(folder)),
    ]
    staged = outside / "cache" / "staging"
    differs += [f"left {path.name} in the cache" for path in (staged.iterdir() if staged.is_dir() else ())]
    return broken + ([{"after": "all", "broken": differs}] if differs else [])


if __name__ == "__main__":
    print(json.dumps(try_for(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0), indent=2))
