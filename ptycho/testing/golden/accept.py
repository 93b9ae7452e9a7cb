"""Taking a proposed golden for the accepted one: with a reason, and only if it notices what the old one noticed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ptycho.base.errors import GoldenError
from ptycho.testing.complaint import Complaint
from ptycho.testing.golden import files
from ptycho.testing.golden.changes import Change
from ptycho.testing.golden.files import Evidence


def run_pytest(root: Path, *arguments: str) -> tuple[int, str]:
    """Run pytest in a process of its own and return its exit code and what it said."""
    outside = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    result = subprocess.run(command, cwd=root, env=outside, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def check_at_home() -> None:
    """Raise GoldenError where CI is set."""
    if os.environ.get("CI"):
        raise GoldenError("CI is set, and golden files are never written there: propose and accept at home")


def accept(changes: Sequence[Change], reason: str, root: Path) -> list[str]:
    """Calibrate proposals, replace the accepted goldens by those that pass, and return a line for each.

    A proposal that is refused stays, and so does the accepted golden. Interrupted, it is done again by the same command.

    Raises
    ------
    GoldenError
        Without a reason, without a proposal, where CI is set, or where one is refused: naming each and why.
    """
    check_at_home()
    if not reason.strip():
        raise GoldenError("--reason: say why the golden changes; whoever reads the history will ask")
    if not changes:
        raise GoldenError("nothing is proposed; run ptycho golden propose first")
    tests = [nodeid(change, root) for change in changes]
    with tempfile.TemporaryDirectory(prefix="ptycho-accept-") as folder:
        message = Path(folder) / "complaints.json"
        _, output = run_pytest(root, "--calibrate", f"--calibrate-json={message}", "--golden-pending", *tests)
        if not message.is_file():
            raise GoldenError(f"calibration ended early: {(output.strip().splitlines() or ['no word'])[-1]}")
        complaints = [Complaint(**values) for values in json.loads(message.read_text(encoding="utf-8"))]
    refused, accepted = [], []
    for change, test in zip(changes, tests, strict=True):
        why = refusal(change, [each.reason for each in complaints if each.test.endswith(test)])
        if why:
            refused.append(f"{change.path.with_suffix('')}: {why}")
        else:
            put(change, reason)
            accepted.append(f"accepted: {change.path.with_suffix('')}")
    if refused:
        raise GoldenError("; ".join([*accepted, *(f"refused: {text}" for text in refused)]))
    return accepted


def refusal(change: Change, complaints: Sequence[str]) -> str:
    """Return why a proposal that was calibrated may not be accepted, nothing where it may.

    `complaints` are what its calibration found wrong.
    """
    from ptycho.testing.golden import fixture

    record = files.read_record(files.pending_of(change.path))
    if complaints:
        return complaints[0]
    lacking = fixture.missing_evidence(record)
    if lacking or record.evidence is None:
        return lacking
    old = _evidence(change.path)
    lost = sorted(set(old.faults) - set(record.evidence.faults)) if old is not None else []
    if lost:
        return f"no longer notices {', '.join(lost)}"
    return ""


def _evidence(path: Path) -> Evidence | None:
    """Return what was measured of the accepted golden, if only its record can be read."""
    try:
        return files.read_record(path).evidence
    except GoldenError:
        return None


def put(change: Change, reason: str) -> None:
    """Put a proposal in the place of the accepted golden: both files, then the proposal goes."""
    pending = files.pending_of(change.path)
    with files.alone(change.path):
        arrays, record = files.read(pending)
        evidence = record.evidence
        files.write(change.path, arrays, replace(record, reason=reason.strip(), evidence=None))
        written = files.read_record(change.path)
        if evidence is not None:
            files.write_record(change.path, replace(written, evidence=replace(evidence, of=written.sha256)))
        files.discard(pending)


def nodeid(change: Change, root: Path) -> str:
    """Return how pytest calls the test of a golden."""
    record = files.read_record(files.pending_of(change.path))
    module = change.path.parent.with_suffix(".py")
    return f"{module.resolve().relative_to(root.resolve()).as_posix()}::{record.test}"
