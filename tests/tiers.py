"""Which tests a command runs.

Every test belongs to one tier: that of its marker, or `fast`. A command runs the fast tier, the tiers at home
in the folders that it names, the tiers that its -m asks for, and any test that it names by its own id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

HOW_TO_RUN = {
    "scenario": "pytest tests/scenarios -n auto",
    "gpu": "pytest -m gpu",
    "soak": "pytest -m soak",
    "bench": "pytest -m bench",
    "slow": "pytest -m slow",
    "isolate": "pytest -m isolate",
    "fuzz": "pytest -m fuzz",
}
"""Every tier beside `fast`, by its marker, and the command that runs it."""
TOGETHER = (
    "tests/scenarios/test_gpu.py",
    "tests/unit/report/test_report.py",
    "tests/unit/testing/test_artifacts.py",
    "tests/unit/testing/test_prover.py",
    "tests/unit/testing/golden/test_calibrate.py",
    "tests/unit/testing/golden/test_review.py",
)
"""Starts of ids: of each of these all tests run in one worker of pytest-xdist, for a device or a fixture that they share."""
HOMES = {"tests/scenarios": "scenario", "tests/benchmarks": "bench"}
"""Folders whose name on the command line asks for a tier."""


def tier_of(markers: Iterable[str]) -> str:
    """Return the tier of a test with these markers."""
    return next((tier for tier in HOW_TO_RUN if tier in set(markers)), "fast")


def unit_of_work(nodeid: str) -> str:
    """Return what a worker of pytest-xdist takes as a whole: a test, or those that run together with it."""
    return next((start for start in TOGETHER if nodeid.startswith(start)), nodeid)


def chosen(arguments: Sequence[str], expression: str) -> set[str]:
    """Return the tiers that a command's path arguments (relative to the repository) and its -m ask for."""
    tiers = {"fast"}
    for argument in arguments:
        path = PurePosixPath(argument.split("::")[0])
        tiers |= {tier for home, tier in HOMES.items() if path.is_relative_to(home)}
    return tiers | {tier for tier in HOW_TO_RUN if re.search(rf"(?<!not )\b{tier}\b", expression)}


def is_wanted(nodeid: str, markers: Iterable[str], arguments: Sequence[str], expression: str) -> bool:
    """Whether a command runs a test; -m has its say beside this."""
    named = any("::" in argument and nodeid.startswith(argument) for argument in arguments)
    return named or tier_of(markers) in chosen(arguments, expression)


def header(arguments: Sequence[str], expression: str) -> list[str]:
    """Return what a command leaves out and how to get it, for people."""
    left_out = [tier for tier in HOW_TO_RUN if tier not in chosen(arguments, expression)]
    return [f"left out: {tier} tests (run them with: {HOW_TO_RUN[tier]})" for tier in left_out]
