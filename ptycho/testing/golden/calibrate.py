"""``pytest --calibrate``: how much of a golden is noise, and which faults stand out of it.

Every golden is computed again in a process of its own under each condition that it claims to hold under and that can be
had here, and under each registered fault that its computation reaches; its record gets what was measured.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptycho.base.errors import GoldenError
from ptycho.testing import fault as faults
from ptycho.testing import prover
from ptycho.testing.complaint import Complaint
from ptycho.testing.fault import Fault
from ptycho.testing.golden import compare, conditions, files, fixture
from ptycho.testing.golden.files import Evidence, Record

LIMIT_S = 600.0
"""A process that takes longer has come to nothing."""


@dataclass
class Result:
    """What a calibration says: a line for each golden, and what is wrong."""

    lines: list[str] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)


@dataclass(frozen=True)
class Subject:
    """A golden and the test that makes it."""

    item: pytest.Item
    path: Path
    arrays: dict[str, np.ndarray]
    record: Record


def calibrate(session: pytest.Session, registered: Sequence[Fault], jobs: int, killing: Any) -> Result:
    """Measure all goldens of a session and write what was measured into their records."""
    result = Result()
    subjects = list(_subjects(session, result))
    with tempfile.TemporaryDirectory(prefix="ptycho-calibrate-") as name:
        folder = Path(name)
        noise = _noise(session.config, subjects, folder, result)
        effects = _effects(session, subjects, registered, folder, jobs, killing, result)
    for subject in subjects:
        nodeid = subject.item.nodeid
        _conclude(subject, noise.get(nodeid, {}), effects[nodeid], result)
    return result


def _subjects(session: pytest.Session, result: Result) -> Iterator[Subject]:
    for item in session.items:
        if "golden" not in getattr(item, "fixturenames", ()):
            continue
        module = Path(item.path)
        path = module.with_suffix("") / f"{files.name_of(item.nodeid)}.npz"
        pending = files.pending_of(path)
        if session.config.option.golden_pending and pending.is_file():
            path = pending
        try:
            yield Subject(item, path, *files.read(path))
        except GoldenError as error:
            result.complaints.append(Complaint("golden", test=item.nodeid, reason=str(error)))


def _noise(
    config: pytest.Config, subjects: Sequence[Subject], folder: Path, result: Result
) -> dict[str, dict[str, dict[str, float]]]:
    """Return by test, by condition, by array the largest difference from what is stored."""
    outcome: dict[str, dict[str, dict[str, float]]] = {}
    for condition, environment in conditions.available().items():
        asked = [s for s in subjects if condition in s.record.claims or condition in conditions.ALWAYS]
        if not asked:
            continue
        place = folder / condition.replace(" ", "-")
        _run(config, asked, place, environment)
        for subject in asked:
            nodeid = subject.item.nodeid
            product = conditions.read_kept(place, nodeid)
            if product is None:
                result.complaints.append(
                    Complaint("golden", test=nodeid, reason=f"computes nothing under {condition!r}")
                )
                continue
            apart = compare.noise(product[0], subject.arrays, product[1])
            broken = [name for name, value in apart.items() if not math.isfinite(value)]
            if broken:
                reason = f"{', '.join(broken)} under {condition!r}: another shape, kind or whole number than stored"
                result.complaints.append(Complaint("golden", test=nodeid, reason=reason))
            else:
                outcome.setdefault(nodeid, {})[condition] = apart
    return outcome


def _run(
    config: pytest.Config, subjects: Sequence[Subject], place: Path, environment: Mapping[str, str]
) -> None:
    """Run tests in a process of their own that compares nothing and writes what they compute."""
    place.mkdir()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--golden-record={place}"]
    if config.inipath is not None:
        command += ["-c", str(config.inipath)]
    command += [f"--rootdir={config.rootpath}", *(s.item.nodeid for s in subjects)]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    outside.pop("PYTEST_ADDOPTS", None)
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            command,
            cwd=config.rootpath,
            env=outside | dict(environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LIMIT_S,
            check=False,
        )


def _effects(
    session: pytest.Session,
    subjects: Sequence[Subject],
    registered: Sequence[Fault],
    folder: Path,
    jobs: int,
    killing: Any,
    result: Result,
) -> dict[str, dict[str, dict[str, float] | None]]:
    """Return by test and fault that its computation reaches: how far each array is moved; None where it was refused."""
    targets = sorted({fault.target for fault in registered})
    with contextlib.ExitStack() as stack:
        counts = {
            target: stack.enter_context(faults.injected(Fault("", "", target, lambda original: original)))
            for target in targets
        }
        session.config.stash[fixture.REACHED] = counts
        tasks: list[Any] = [(s, None, folder / f"reached-{n}") for n, s in enumerate(subjects)]
        prover.in_parallel(_starts(session, tasks, killing), jobs)
    del session.config.stash[fixture.REACHED]
    tasks = []
    for number, subject in enumerate(subjects):
        there = conditions.reached(folder / f"reached-{number}")
        tasks += [
            (subject, f, folder / f"{number}-{i}") for i, f in enumerate(registered) if f.target in there
        ]
    trials = prover.in_parallel(_starts(session, tasks, killing), jobs)
    outcome: dict[str, dict[str, dict[str, float] | None]] = {s.item.nodeid: {} for s in subjects}
    for (subject, fault, place), trial in zip(tasks, trials, strict=True):
        nodeid = subject.item.nodeid
        product = conditions.read_kept(place, nodeid)
        if product is not None:
            outcome[nodeid][fault.id] = compare.noise(product[0], subject.arrays, product[1])
        elif trial.outcomes[0].status == "failed":
            outcome[nodeid][fault.id] = None
        else:
            result.lines.append(
                f"{subject.record.test}: not judged under {fault.id}: {trial.outcomes[0].why}"
            )
    return outcome


def _starts(session: pytest.Session, tasks: Sequence[Any], killing: Any) -> Iterator[Any]:
    for subject, fault, place in tasks:
        yield functools.partial(_start, session, subject.item, fault, place, killing)


def _start(session: pytest.Session, item: pytest.Item, fault: Fault | None, place: Path, killing: Any) -> Any:
    session.config.stash[fixture.RECORDING] = place
    return prover.run_in_child(session, [item], fault, fault.finding if fault else "", LIMIT_S, killing)


def _conclude(
    subject: Subject,
    noise: dict[str, dict[str, float]],
    effects: Mapping[str, dict[str, float] | None],
    result: Result,
) -> None:
    """Write what was measured of a golden into its record, and say it."""
    allowed = fixture.bands(subject.arrays, subject.record)
    stale = [
        name for name, apart in noise.get(conditions.AGAIN, {}).items() if apart > allowed[name].relative
    ]
    if stale:
        reason = f"{', '.join(stale)} does not come out again as stored: regenerate or propose it first"
        result.complaints.append(Complaint("golden", test=subject.item.nodeid, reason=reason))
        return
    floors = {c: {n: v for n, v in by_name.items() if v} for c, by_name in noise.items()}
    record = replace(subject.record, evidence=Evidence(subject.record.sha256, floors, {}, 0))
    bands = fixture.bands(subject.arrays, record)
    moved: dict[str, float | None] = {}
    for name, by_array in effects.items():
        effect = math.inf if by_array is None else _effect(by_array, bands)
        # What a fault does within the noise of one rounding is nothing; what is more, and less than is asked, is red.
        if effect > 1 / fixture.TIMES:
            moved[name] = effect if math.isfinite(effect) else None
    evidence = Evidence(subject.record.sha256, floors, moved, len(effects) - len(moved))
    record = replace(subject.record, evidence=evidence)
    files.write_record(subject.path, record)
    worst = max((value for by_name in floors.values() for value in by_name.values()), default=0.0)
    result.lines.append(
        f"{subject.record.test}: floor {worst:.2g} under {len(floors)} conditions; {len(moved)} of {len(effects)} faults move it, "
        f"the least by {evidence.separation:.3g} of what is allowed"
    )
    lacking = fixture.missing_evidence(record)
    if lacking:
        result.complaints.append(Complaint("golden", test=subject.item.nodeid, reason=lacking))


def _effect(by_array: Mapping[str, float], bands: Mapping[str, compare.Band]) -> float:
    """Return the largest effect on an array in units of what is allowed of it."""
    result = [0.0]
    for name, value in by_array.items():
        allowed = bands[name].relative
        result.append(value / allowed if allowed else math.inf * value if value else 0.0)
    return max(result)
