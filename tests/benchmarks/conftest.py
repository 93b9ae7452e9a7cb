"""What the benchmarks found, as a table at the end: `extra_info` otherwise only goes into JSON files."""

from __future__ import annotations

import pytest


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print every figure that a benchmark wrote down."""
    session = getattr(config, "_benchmarksession", None)
    found = [bench for bench in getattr(session, "benchmarks", ()) if bench.extra_info]
    if not found:
        return
    terminalreporter.section("what was measured")
    width = max(len(name) for bench in found for name in bench.extra_info)
    for bench in found:
        terminalreporter.write_line(bench.name, bold=True)
        for name, value in bench.extra_info.items():
            terminalreporter.write_line(f"    {name:{width}}  {value:.4g}")
