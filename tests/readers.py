"""Files of other programs and beamlines, damaged: whatever is in them, they are read or refused in words of ours.

    python tests/readers.py FIRST COUNT     # cases FIRST, FIRST + 1, ...; counts and what breaks go to .fuzz (or $PTYCHO_FUZZ)

Cases run in children of a hundred each, so that a crash ends one child, which is then gone through case by case.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import beamline
import mutations
import oracles

SECONDS, BYTES = 20, 3 * 2**30
"""Of a case: whole files of some hundred kilobytes are read in some milliseconds and megabytes."""
PART = 100


def case_of(number: int, names: list[str]) -> tuple[str, str]:
    """Draw which file is damaged, and how."""
    rng = random.Random(number)
    return rng.choice(names), rng.choice([*mutations.ALL, "array", "array", "member"])


def damaged(number: int, source: Path, folder: Path, names: list[str]) -> str:
    """Put the files of a case in a folder; return which is to be read."""
    name, how = case_of(number, names)
    rng = random.Random(-number)
    beside = beamline.BESIDE.get(name)
    target = beside if beside and rng.random() < 0.4 else name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that lose something, which is what is wanted
        whole = mutations.ALL[how](rng, (source / target).read_bytes())
    for other in (name, beside):
        if other:
            (folder / other).unlink(missing_ok=True)
            (folder / other).write_bytes(whole if other == target else (source / other).read_bytes())
    return name


def outcome(path: Path, how: dict[str, object]) -> str:
    """Say what came of a file: read, or refused; or what broke."""
    from ptycho.base.errors import PtychoError
    from ptycho.scan.formats import registry
    from ptycho.settings.request import Reading

    before = {other: other.read_bytes() for other in path.parent.iterdir()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            registry.read(path, Reading(**how))  # type: ignore[arg-type]
        result = "read"
    except PtychoError as error:
        result = (
            "refused" if str(path.parent) in str(error) or path.name in str(error) else f"no name: {error}"
        )
    except BaseException as error:  # noqa: BLE001
        result = f"{type(error).__name__}: {error}"
    if {other: other.read_bytes() for other in path.parent.iterdir()} != before:
        result = f"changed a file, and {result}"
    return result


def part(numbers: range, source: Path, ways: dict[str, dict[str, object]]) -> dict[int, str]:
    """Return what came of some cases, run in one child; of those that it did not get to, nothing."""
    with tempfile.TemporaryDirectory() as place:
        folder, record = Path(place) / "desk", Path(place) / "record"
        folder.mkdir()
        pid = os.fork()
        if pid == 0:
            os.chdir(folder)
            resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
            with record.open("w") as stream:
                for number in numbers:
                    for other in folder.iterdir():
                        other.unlink()
                    signal.alarm(SECONDS)
                    name = damaged(number, source, folder, list(ways))
                    stream.write(json.dumps([number, outcome(folder / name, ways[name])]) + "\n")
                    stream.flush()
            os._exit(0)
        os.waitpid(pid, 0)
        return dict(json.loads(line) for line in record.read_text().splitlines())


def main(first: int, count: int) -> int:
    """Run cases, write down what came of them, and return how many broke."""
    home = Path(os.environ.get("PTYCHO_FUZZ", ".fuzz"))
    home.mkdir(parents=True, exist_ok=True)
    from ptycho.scan.formats import registry

    began, tally = time.perf_counter(), {"read": 0, "refused": 0, "broken": 0}
    with tempfile.TemporaryDirectory() as place:
        source = Path(place)
        ways = beamline.write_all(source, oracles.make_scan(count=12, N=32, shape=(70, 80), seed=4))
        for name, how in ways.items():
            os.chdir(source)
            registry.read(source / name, registry.Reading(**how))
        for start in range(first, first + count, PART):
            numbers = range(start, min(start + PART, first + count))
            while len(numbers):
                results = part(numbers, source, ways)
                ended = next((number for number in numbers if number not in results), None)
                if ended is not None:
                    results[ended] = "ended the process"
                for number, result in results.items():
                    tally[result if result in tally else "broken"] += 1
                    if result not in tally:
                        line = {"number": number, "case": case_of(number, list(ways)), "result": result[:500]}
                        with (home / "readers-broken.jsonl").open("a") as stream:
                            stream.write(json.dumps(line) + "\n")
                numbers = range(numbers.stop if ended is None else ended + 1, numbers.stop)
    with (home / "readers.jsonl").open("a") as stream:
        stream.write(
            json.dumps(
                {"first": first, "count": count, **tally, "seconds": round(time.perf_counter() - began)}
            )
            + "\n"
        )
    return tally["broken"]


if __name__ == "__main__":
    broken = main(int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write(f"{broken} broke\n")
    sys.exit(bool(broken))
