"""What must have run for a green tier to mean anything: tests, findings and goldens are counted as they are executed.

A test that was skipped, lost to a broken collection or to an early end counts for nothing; `manifest.json` says what each
tier must reach. Numbers only ever go up, and are changed there on purpose.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).with_name("manifest.json")
WHOLE = {
    ("tests", ""): "fast",
    ("tests/unit tests/golden", ""): "fast",
    ("tests/scenarios", ""): "scenario",
    ("tests", "gpu"): "gpu",
    ("tests", "bench"): "bench",
    ("tests", "soak"): "soak",
    ("tests", "slow"): "slow",
}
"""The commands that run a whole tier, by their paths and their -m."""


def tier_of_command(arguments: Sequence[str], expression: str) -> str | None:
    """Return the tier that a command runs whole, or None."""
    return WHOLE.get((" ".join(arguments), expression))


def complaints(tier: str, counted: Mapping[str, int], required: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return what a tier has too little of."""
    if tier not in required:
        return [f"{FILE.name} says nothing of the {tier} tier"]
    return [
        f"{tier}: {counted.get(what, 0)} {what} were executed; {FILE.name} demands {least}"
        for what, least in required[tier].items()
        if counted.get(what, 0) < least
    ]


class Counting:
    """A pytest plugin that counts what was executed and turns a run red that executed too little."""

    def __init__(self, tier: str, required: Mapping[str, Mapping[str, int]]) -> None:
        self.tier, self.required = tier, required
        self.executed: set[str] = set()
        self.findings: set[str] = set()
        self.goldens: set[str] = set()
        self.complaints: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test whose body ran; under xdist this is told to the process that leads."""
        if report.when == "call" and report.outcome != "skipped":
            self.executed.add(report.nodeid)
            self.findings |= {str(value) for name, value in report.user_properties if name == "finding"}
            self.goldens |= {report.nodeid for name, _ in report.user_properties if name == "golden"}

    @property
    def counted(self) -> dict[str, int]:
        """How many of each."""
        return {
            "tests": len(self.executed),
            "findings": len(self.findings),
            "goldens": len(self.goldens),
        }

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Turn a green run red that has too little in it."""
        self.complaints = complaints(self.tier, self.counted, self.required)
        if self.complaints and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what was executed."""
        terminalreporter.write_line(
            f"executed of the {self.tier} tier: "
            + ", ".join(f"{n} {what}" for what, n in self.counted.items())
        )
        for text in self.complaints:
            terminalreporter.write_line(text, red=True)


def required() -> dict[str, dict[str, int]]:
    """Return what each tier must reach."""
    return dict(json.loads(FILE.read_text(encoding="utf-8")))
