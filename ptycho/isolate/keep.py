"""The test that keeps what an isolation says: it fails on BAD and passes on GOOD, and is run on both before it is handed over."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ptycho.base import atomic, layout
from ptycho.isolate.verdict import Verdict

FILE = "test_isolated.py"
TIMEOUT = 1800
"""Seconds after which a run of the test is given up."""

TEMPLATE = '''"""{title}

Written by `ptycho isolate`. It fails on the bad side, and passes once what CAUSES names is repaired. It takes one run.
"""

import json
import subprocess
import sys

COMMANDS = {{
    "bad": {bad!r},
    "good": {good!r},
}}
SIDE = "{side}"
CAUSES = {causes!r}


def test_{name}(tmp_path):
    run = [sys.executable, "-m", "ptycho", "run", *COMMANDS[SIDE], "--out", str(tmp_path / "run")]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    path = tmp_path / "run" / "{file}"
    assert path.is_file(), f"the run ended early: {{done.stderr[-2000:]}}"
    numbers = json.loads(path.read_text(encoding="utf-8"))
    value = {value}
    assert value is not None, "{number} is undefined"
    # {good_value:.6g} on the good side and {bad_value:.6g} on the bad one: the middle between them.
    assert value {sign} {middle:.6g}, f"{number} is {{value:.4g}}; look at {{', '.join(CAUSES)}}"
'''


def write(folder: Path, verdict: Verdict, good: Sequence[str], bad: Sequence[str]) -> tuple[Path | None, str]:
    """Write the test and run it on both sides.

    Parameters
    ----------
    folder : Path
    verdict : Verdict
    good, bad : sequence of str
        What `ptycho run` takes to have each side.

    Returns
    -------
    path : Path or None
        None where there is no such test.
    reason : str
        What became of it, for people.
    """
    number = chosen(verdict)
    if not number:
        return None, "no test is written: no number of a finished run tells the sides apart"
    if importlib.util.find_spec("pytest") is None:
        return None, "no test is written: pytest is not installed, and it could not be tried"
    texts = {side: source(verdict, number, good, bad, side) for side in ("good", "bad")}
    results = {side: _passes(text) for side, text in texts.items()}
    if results == {"good": True, "bad": False}:
        path = folder / FILE
        atomic.write_text(path, texts["bad"])
        return path, f"{path} fails on BAD and passes on GOOD, as was tried; keep it among your tests"
    words = ", ".join(
        f"{'passes' if passed else 'fails'} on {side.upper()}" for side, passed in results.items()
    )
    return None, f"no test is handed over: the one on {number} {words}"


def chosen(verdict: Verdict) -> str:
    """Return the number that tells the sides apart best: that of a gate which BAD fails, or else the one by which it shows most."""
    if not {"GOOD", "BAD"} <= set(verdict.outcomes):
        return ""
    good, bad = verdict.outcomes["GOOD"], verdict.outcomes["BAD"]
    known = [
        name
        for name in good.values
        if math.isfinite(good.values[name])
        and math.isfinite(bad.values.get(name, math.nan))
        and good.values[name] != bad.values[name]
        and name.startswith((f"{verdict.last}.", "evaluate."))
    ]
    failing = [f"{verdict.last}.{name}" for name in bad.failed if name not in good.failed]
    gates = [name for name in failing if name in known]
    ranked = gates or [name for name in known if name in verdict.symptoms]
    return max(ranked, key=lambda name: _apart(good.values[name], bad.values[name]), default="")


def source(verdict: Verdict, number: str, good: Sequence[str], bad: Sequence[str], side: str) -> str:
    """Return the test of a side as Python."""
    row, _, name = number.partition(".")
    values = [verdict.outcomes[side].values[number] for side in ("GOOD", "BAD")]
    if row == verdict.last:
        file, value = layout.VERDICTS, f'next(each["value"] for each in numbers if each["name"] == "{name}")'
    else:
        part, _, last = name.partition(".")
        file, value = layout.METRICS, f'numbers["{part}"]["{last}"]'
    causes = [each.difference.name for each in verdict.causes] + [each.name for each in verdict.judges]
    return TEMPLATE.format(
        title=f"{verdict.bad} against {verdict.good}: {', '.join(causes)}."[:120],
        side=side,
        good=list(good),
        bad=list(bad),
        causes=causes,
        name="".join(letter if letter.isalnum() else "_" for letter in f"{name}_of_{verdict.bad}"),
        file=file,
        value=value,
        number=number,
        good_value=values[0],
        bad_value=values[1],
        middle=sum(values) / 2,
        sign=">=" if values[0] > values[1] else "<=",
    )


def _apart(good: float, bad: float) -> float:
    return abs(good - bad) / max(abs(good), abs(bad))


def _passes(text: str) -> bool:
    """Whether a test passes; an error of its own is no pass."""
    with tempfile.TemporaryDirectory(prefix="ptycho-isolate-") as folder:
        path = Path(folder) / FILE
        path.write_text(text, encoding="utf-8")
        options = ["-q", "-p", "no:cacheprovider", "--rootdir", folder]
        command = [sys.executable, "-m", "pytest", *options, str(path)]
        try:
            done = subprocess.run(command, capture_output=True, check=False, timeout=TIMEOUT, cwd=folder)
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0
