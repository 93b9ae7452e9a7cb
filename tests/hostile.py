"""Hostile calls of the command line: drawn from a number, run in a forked child, and asked what must hold of every call.

    python tests/hostile.py FIRST COUNT     # cases FIRST, FIRST + 1, ...; what breaks is written to .fuzz (or $PTYCHO_FUZZ)
    python tests/hostile.py FIRST 1 -v      # shows one case

A child has everything imported that this process has, so that a case costs what it computes. Files that it is given are valid ones,
damaged in a way that knows their structure: bytes, headers, JSON values, arrays, members of an archive.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import mutations
import numpy as np

CODES = {0, 1, 2, 130, 143}
SECONDS, BYTES = 60.0, 6 * 2**30
TINY = (
    *("N=32", "simulation.object_size_px=96", "simulation.base_total_images=64", "simulation.buffer_px=0"),
    *("grouping.n_groups=none", "inference.n_groups=none", "training.epochs=1", "training.batch_size=4"),
    *("model.filters=2", "model.levels=1", "model.steps=1", "model.warm_steps=1", "model.final_steps=0"),
    "solver.passes=3",
)
_PLAIN = (
    "[bold]x [/red] - -- nan inf -1 0 1e999 none true {} [] null a:smile:b $x$ ../../x / . .. ~ a/b/c missing.npz /dev/null "
    "/dev/zero /proc/self/mem /proc/1/x scan.npz run bundle.npz solution.npz s.toml pipe folder failure.zip cache gs1_ideal "
    "gs2_ideal gs1_custom history/gs1_ideal_2026_01 stable stable+fast split scan gate "
)
WORDS = (
    *("", " ", "ü" * 80, "n" * 300, "9" * 400, "\x1b[2J\x1b[HPASS", "\x07", "\u202eabc", "\ud800"),
    *_PLAIN.split(),
)
_PATHS = (
    "N gridsize seed name description probe.kind probe.file probe.scale probe.mask simulation.nphotons simulation.buffer_px "
    "simulation.mode split.method split.fraction grouping.neighbor_count grouping.method training.epochs training.batch_size "
    "model.filters inference.n_groups evaluation.border_px solver.engine solver.start gates.min_ssim no.such "
)
PATHS = _PATHS.split()
SOLVE = "solve --data scan.npz --set solver.passes=3 --no-halves --out"
READERS = {
    "scan.npz": (
        "run --data scan.npz --until split --out out",
        f"{SOLVE} out",
        "diagnose geometry scan.npz",
        "doctor scan.npz",
        "convert scan.npz out.cxi --energy 9keV --distance 2m --detector-pixel 75um",
        "run --data scan.npz --mask scan.npz --until split --out out",
    ),
    "scan.cxi": (
        "run --data scan.cxi --until split --out out",
        "run --data scan.cxi --key patterns=/entry_1/data_1/data --key positions=/entry_1/data_1/translation "
        "--positions-unit m --energy 9keV --distance 2m --detector-pixel 75um --until split --out out",
        "run --data scan.cxi --pair leading --pixels 32 --probe-from file --until split --out out",
    ),
    "solution.npz": (
        "convert solution.npz out.tif",
        "run --data scan.npz --probe-from solution.npz --until split --out out",
        f"{SOLVE} out --start solution.npz",
        "evaluate solution.npz --bundle bundle.npz --data scan.npz",
    ),
    "bundle.npz": ("infer bundle.npz --data scan.npz --out out.npz",),
    "s.toml": (
        "run s.toml --until split --out out",
        "simulate s.toml --out out.npz",
        "run s.toml --profile mine --until split --out out",
    ),
    "run/run_metadata.json": (
        "diagnose params run",
        "diagnose all run --data scan.npz",
        f"{SOLVE} run --resume",
        "run gs1_ideal --swap split=run --until split --out out",
    ),
    "run/checkpoint.npz": (f"{SOLVE} run --resume",),
    "run/reconstruction.npz": ("diagnose compare run --data scan.npz",),
    "failure.zip": ("replay failure.zip", "replay failure.zip --out out.html"),
}
"""Commands that read a file."""
FREE = [
    tuple(words.split())
    for words in (
        *(
            "scenarios",
            "stages",
            "findings",
            "findings show",
            "doctor scan.npz",
            "convert scan.npz",
            "findings pages",
            "findings new",
            "cache info",
            "cache clear",
        ),
        *(
            "golden",
            "golden diff",
            "golden review",
            "replay",
            "diagnose params",
            "diagnose grouping",
            "isolate",
        ),
        *("case-study --only few_positions", "run", "solve", "simulate", "train", "infer", "evaluate"),
    )
]
_OPTIONS = (
    "--out --data --profile --set --seed --until --swap --resume --overwrite --cache --probe-from --mask --geometry --keep- "
    "frames --keep-pixels --intensity --split --bundle --modes --passes --engine --start --batch-size --fresh --json "
    "--against --budget --all --good-set --bad-set --bad-rev --bad-python --fault --prediction-scale --help --no-such "
    "--defocus --voltage --step --crop --bin --drop-frames --positions-file "
    "--key --positions-unit --pair --pixels --energy --distance --detector-pixel "
)
OPTIONS = _OPTIONS.split()
WARM = (
    f"{SOLVE} out",
    f"{SOLVE} run --resume",
    "diagnose compare run",
    "diagnose geometry scan.npz",
    "run --data scan.cxi --until split --out cxi",
    "findings show",
    "golden",
    "replay failure.zip",
)
"""Commands that are given once before the first case."""
STOPS_EARLY = ("run", "train")


@dataclass
class Case:
    """A call, and what its files and surroundings are made of."""

    number: int
    words: list[str] = field(default_factory=list)
    damaged: str = ""
    how: str = ""
    surroundings: str = ""


@dataclass
class Outcome:
    """What came of it."""

    code: int
    seconds: float
    megabytes: float
    broken: list[str]
    shown: str


def case_of(number: int) -> Case:
    """Draw a case from its number."""
    rng = random.Random(number)
    case = Case(number)
    if rng.random() < 0.5:
        case.damaged = rng.choice(list(READERS))
        case.how = rng.choice(list(mutations.ALL))
        case.words = rng.choice(READERS[case.damaged]).split()
    else:
        case.words = list(rng.choice(FREE))
        for _ in range(rng.randrange(5)):
            if rng.random() < 0.4:
                case.words.append(rng.choice(WORDS))
                continue
            option = rng.choice(OPTIONS)
            case.words.append(option)
            if option in ("--set", "--good-set", "--bad-set"):
                case.words.append(f"{rng.choice(PATHS)}={rng.choice(WORDS)}")
            elif rng.random() < 0.9:
                case.words.append(rng.choice(WORDS))
    if case.words[0] in ("run", "solve", "simulate", "train") and not case.damaged:
        case.words += [part for text in TINY for part in ("--set", text)]
    if case.words[0] in STOPS_EARLY and not case.damaged and rng.random() < 0.9:
        case.words += ["--until", "split"] if case.words[0] == "run" else []
    if case.words[0] == "isolate":
        case.words += ["--budget", "0.1s"]
    case.surroundings = rng.choice(list(SURROUNDINGS)) if rng.random() < 0.2 else ""
    return case


# Surroundings: name -> what a child does to itself before the call.
SURROUNDINGS: dict[str, Callable[[], None]] = {
    "no home": lambda: [os.environ.pop(name, None) for name in ("HOME", "XDG_CACHE_HOME")] and None,
    "narrow": lambda: os.environ.__setitem__("COLUMNS", "1"),
    "dumb": lambda: os.environ.__setitem__("TERM", "dumb"),
    "cache is a file": lambda: os.environ.__setitem__("PTYCHO_CACHE_DIR", "s.toml"),
    "cache of others": lambda: os.environ.__setitem__("PTYCHO_CACHE_DIR", "folder"),
    "cache size is none": lambda: os.environ.__setitem__("PTYCHO_CACHE_GIB", "x"),
    "data is none": lambda: os.environ.__setitem__("PTYCHO_DATA_DIR", "nowhere"),
    "umask": lambda: os.umask(0o777) and None,
    "disk full": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    "few files": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)),
}


def prepare(folder: Path) -> None:
    """Make the valid files in a process of their own: this one must not have used a framework before it forks."""
    subprocess.run([sys.executable, __file__, "prepare", str(folder)], check=True, capture_output=True)


def _make(folder: Path) -> None:
    """Make a scan, a network and a solution of it, a run, a scenario, a failure, and things that are none of these."""
    import beamline
    import oracles
    from command import call

    from ptycho.scan.formats import npz
    from ptycho.testing.golden import files, replay

    os.chdir(folder)
    scan = oracles.make_scan(count=60, N=32, shape=(70, 80), seed=4)
    npz.write_npz(Path("scan.npz"), scan)
    beamline.write_cxi(
        Path("scan.cxi"), beamline.measured(beamline.bright(scan), (40, 50), (3, 6)), probe=scan.probe[0]
    )
    sets = [part for text in TINY[2:] if "simulation" not in text for part in ("--set", text)]
    call("train", "--data", "scan.npz", "--probe-from", "file", *sets, "--out", "trained", "--cache", "none")
    shutil.move("trained/bundle.npz", "bundle.npz")
    shutil.rmtree("trained")
    passes = ("--set", "solver.passes=3", "--no-halves")
    call("solve", "--data", "scan.npz", *passes, "--out", "run", "--cache", "none")
    shutil.copy("run/reconstruction.npz", "solution.npz")
    lines = [f"{key} = {json.dumps(_toml(value))}" for key, value in (text.split("=") for text in TINY)]
    lines = [line for line in lines if '"none"' not in line]
    Path("s.toml").write_text("\n".join(lines) + "\n[profiles.mine]\nseed = 3\n")
    arrays = {"values": np.arange(5.0)}
    entry = files.Entry("float64", (5,), "values", "px")
    record = files.Record("tests/x.py::x", files.CLASSES[0], "", (), {"values": entry}, {}, "0" * 64)
    other = {"values": np.arange(5.0) + 1}
    replay.write(Path("failure.zip"), "tests/x.py::x", other, (arrays, record), record, {})
    os.mkfifo("pipe")
    for name in ("entries/a", "staging/b", "notes.txt"):
        (Path("folder") / name).parent.mkdir(parents=True, exist_ok=True)
        (Path("folder") / name).write_text(name)


def _toml(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def run(case: Case, source: Path) -> Outcome:
    """Run a case in a forked child, in a copy of the files, and say what of the promise it broke."""
    with tempfile.TemporaryDirectory(prefix="ptycho-fuzz-", dir=source.parent) as name:
        folder = Path(name) / "desk"
        shutil.copytree(source, folder, copy_function=os.link, ignore=shutil.ignore_patterns("pipe"))
        os.mkfifo(folder / "pipe")
        if case.damaged:
            path = folder / case.damaged
            whole = mutations.ALL[case.how](random.Random(case.number), path.read_bytes())
            path.unlink()
            path.write_bytes(whole)
        if "solve" in case.words[:1]:
            shutil.copytree(source.parent / "cache", Path(name) / "cache", copy_function=os.link)
        before = contents(folder)
        ending = called(case.words, folder, Path(name), SURROUNDINGS.get(case.surroundings))
        result = [*broken(ending, case.surroundings == "narrow"), *lost(case, before, contents(folder))]
        if ending.seconds > SECONDS:
            result.append(f"took {ending.seconds:.0f} s")
        return Outcome(ending.code, ending.seconds, ending.megabytes, result, ending.words[-1500:])


@dataclass(frozen=True)
class Ending:
    """How a call ended: exit code (less than 0: by a signal), and what it wrote, all and to standard error."""

    code: int
    seconds: float
    megabytes: float
    words: str
    errors: str


def called(
    words: list[str], folder: Path, outside: Path, change: Callable[[], object] | None = None
) -> Ending:
    """Call a command in a forked child that is in a folder, with its cache and its outputs outside; `change` is done first."""
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        _child(words, folder, outside, change)
    code, megabytes = _wait(pid, began)
    out, err = (
        (outside / stream).read_bytes().decode("utf-8", "backslashreplace") for stream in ("out", "err")
    )
    return Ending(code, round(time.perf_counter() - began, 2), megabytes, out + err, err)


def _child(words: list[str], folder: Path, outside: Path, change: Callable[[], object] | None) -> None:
    """Call the command, with outputs in files; never return."""
    code = 99
    try:
        os.setpgid(0, 0)
        for number, stream in ((1, "out"), (2, "err")):
            os.dup2(os.open(outside / stream, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        os.chdir(folder)
        # One home for all: to compile the solver's loops takes longer than most cases do.
        os.environ |= {
            "HOME": str(outside.parent),
            "PTYCHO_CACHE_DIR": str(outside / "cache"),
            "COLUMNS": "200",
        }
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        from ptycho.commands import cli

        if change is not None:
            change()
        cli.main(words)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 98
    except BaseException:  # noqa: BLE001
        import traceback

        traceback.print_exc()
    finally:
        with open(os.devnull, "w") as nowhere:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except (OSError, ValueError):
                    os.dup2(nowhere.fileno(), stream.fileno())
        os._exit(code)


def _wait(pid: int, began: float) -> tuple[int, float]:
    """Wait for a child; one that takes too long is killed. Return its exit code and its largest memory, MB."""
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            return code, usage.ru_maxrss / 1000
        if time.perf_counter() - began > SECONDS + 5:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return -9, 0.0
        time.sleep(0.002)


def broken(ending: Ending, in_pieces: bool = False) -> list[str]:
    """Return what an ending broke of the promise: code, no traceback, nothing that steers a terminal, lines of ours.

    `in_pieces`: the terminal is so narrow that lines are broken.
    """
    result, words = [], ending.words
    if ending.code not in CODES:
        result.append(f"exit code {ending.code}")
    if "Traceback" in words or "bug of ptycho" in words:
        result.append("a traceback, or a bug")
    steering = sorted({repr(letter) for letter in words if not letter.isprintable() and letter != "\n"})
    if steering:
        result.append(f"sent to the terminal: {', '.join(steering)}")
    complaints = [line for line in ending.errors.splitlines() if line.strip()]
    odd = [line for line in complaints if not line.startswith("ptycho: ")]
    if odd and not in_pieces:
        result.append(f"a line that is not ours: {odd[0][:120]}")
    if ending.code == 2 and not complaints:
        result.append("refused without a word")
    return result


def contents(folder: Path) -> dict[str, str]:
    """Return {path: hash} of the files of a folder."""
    result = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            os.chmod(path, 0o644) if not os.access(path, os.R_OK) else None
            result[path.relative_to(folder).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            result[path.relative_to(folder).as_posix()] = ""
    return result


def lost(case: Case, before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return which files a case changed or took away, or left half-written, that it had no business with."""
    words = case.words
    named = {words[place + 1].rstrip("/") for place, word in enumerate(words[:-1]) if word == "--out"}
    own = {name for name in named if name} | ({"run"} if "--resume" in words else set())
    replaces = "--overwrite" in words
    result = []
    for path, was in before.items():
        mine = any(path == name or path.startswith(f"{name}/") for name in own)
        if after.get(path) != was and not (mine and (replaces or "--resume" in words)):
            result.append(f"{path} was {'taken away' if path not in after else 'changed'}")
    half = [
        path for path in after if re.search(r"/?\.[^/]+\.[0-9a-f]{8}$|\.export-", path) and path not in before
    ]
    if half and case.surroundings not in ("disk full", "few files"):
        result.append(f"left half-written: {half[0]}")
    return result


def folder() -> Path:
    """Where results accumulate."""
    path = Path(os.environ.get("PTYCHO_FUZZ", Path(__file__).parents[1] / ".fuzz"))
    path.mkdir(parents=True, exist_ok=True)
    return path


def written(file: Path) -> list[dict]:
    """Return what was written down before, one value a line."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def imported() -> None:
    """Import whatever a command imports, so that a child need not; nothing of it is used here."""
    import matplotlib.figure  # noqa: F401
    import numba  # noqa: F401
    import pint  # noqa: F401
    import scipy.ndimage  # noqa: F401

    import ptycho.commands.cli
    import ptycho.diagnose.write
    import ptycho.findings.faults
    import ptycho.isolate.isolation
    import ptycho.report.write
    import ptycho.runs.directory
    import ptycho.scan.formats.registry
    import ptycho.solve.engine
    import ptycho.solve.kernels
    import ptycho.testing.golden.replay  # noqa: F401


def warmed(source: Path) -> None:
    """Do in this process once what every child would do again: load compiled loops, fonts, the ledger.

    Each command is one that starts no thread that a fork could lose.
    """
    from command import call

    here, home = Path.cwd(), dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="ptycho-fuzz-warm-") as name, open(os.devnull, "w") as nowhere:
        desk = Path(name) / "desk"
        shutil.copytree(source, desk, ignore=shutil.ignore_patterns("pipe"))
        os.chdir(desk)
        os.environ |= {"HOME": str(source.parent), "PTYCHO_CACHE_DIR": str(source.parent / "cache")}
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            for words in WARM:
                call(*words.split())
                # Of the solver nothing may come from a cache: it is to read what a case damaged.
                for name in ("choose", "solve", "evaluate_solution", "picture"):
                    for entry in (source.parent / "cache" / "entries").glob(f"{name}-*"):
                        shutil.rmtree(entry)
        os.chdir(here)
    os.environ.clear()
    os.environ.update(home)
    gc.freeze()


def take(first: int, count: int, seconds: float = 1e9, verbose: bool = False) -> list[dict]:
    """Run cases from a number on, for so long; return those that broke something, and write them down with how many ran."""
    imported()
    found = []
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="ptycho-fuzz-files-") as name:
        source = Path(name) / "files"
        source.mkdir()
        prepare(source)
        warmed(source)
        done = 0
        for number in range(first, first + count):
            if time.perf_counter() - began > seconds:
                break
            case = case_of(number)
            outcome = run(case, source)
            done += 1
            if verbose:
                print(case, outcome, sep="\n")
            if outcome.broken:
                found.append({**asdict(case), **asdict(outcome)})
                with (folder() / "broken.jsonl").open("a") as file:
                    file.write(json.dumps(found[-1]) + "\n")
    with (folder() / "taken.jsonl").open("a") as file:
        file.write(
            json.dumps(
                {
                    "first": first,
                    "count": done,
                    "broken": len(found),
                    "seconds": round(time.perf_counter() - began),
                }
            )
            + "\n"
        )
    return found


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        sys.path.insert(0, str(Path(__file__).parent))
        _make(Path(sys.argv[2]))
    else:
        for each in take(int(sys.argv[1]), int(sys.argv[2]), verbose="-v" in sys.argv):
            print(
                each["number"],
                each["words"],
                each["damaged"],
                each["how"],
                each["surroundings"],
                each["broken"],
                sep=" | ",
            )
