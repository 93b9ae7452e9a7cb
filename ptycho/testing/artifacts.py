"""With ``--artifacts DIR``: each failing test leaves a folder there, and the run a page that shows them all."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from ptycho.testing import evidence as room
from ptycho.testing.evidence import Evidence

RECORDED = ("assert_allclose", "assert_array_equal")
"""numpy's assertions whose two sides are kept."""


class Artifacts:
    """The plugin of a session that leaves artifacts."""

    def __init__(
        self,
        root: Path,
        always: bool,
        findings_of: Callable[[pytest.Item], list[dict[str, str]]],
        worker: bool,
    ) -> None:
        self.root, self.always, self.findings_of, self.worker = root, always, findings_of, worker

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Keep both sides of numpy's assertions while the test runs."""
        import numpy as np

        kept = evidence_of(item)

        def recording(original: Callable[..., None]) -> Callable[..., None]:
            def check(actual: Any, desired: Any, *rest: Any, **named: Any) -> None:
                kept.compare("comparison", actual, desired)
                original(actual, desired, *rest, **named)

            return check

        originals = {name: getattr(np.testing, name) for name in RECORDED}
        for name, original in originals.items():
            setattr(np.testing, name, recording(original))
        try:
            return (yield)
        finally:
            for name, original in originals.items():
                setattr(np.testing, name, original)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, Any, Any]:
        """Write a folder for a test that failed, or for every one."""
        report: Any = yield
        if report.failed or (self.always and call.when == "call"):
            kept = evidence_of(item)
            if call.excinfo is not None:
                kept.take_frames(call.excinfo.tb)
            folder = room.folder_of(self.root, item.nodeid)
            about = {
                "test": item.nodeid,
                "outcome": report.outcome,
                "when": call.when,
                "findings": self.findings_of(item),
                "message": str(call.excinfo.value).strip()[:4000] if call.excinfo else "",
                "measured": room.measured(kept.compared),
            }
            room.write(folder, kept, about)
            if report.failed:
                report.sections.append(("artifacts", str(folder)))
        return report

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the page; under xdist the process that leads does."""
        if not self.worker:
            from ptycho.testing import gallery

            gallery.write(self.root)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say where the page is."""
        from ptycho.testing import gallery

        terminalreporter.write_line(f"artifacts: {self.root / gallery.PAGE}")


EVIDENCE = pytest.StashKey[Evidence]()


def evidence_of(item: pytest.Item) -> Evidence:
    """Return what a test keeps; one for each test."""
    return item.stash.setdefault(EVIDENCE, Evidence())
