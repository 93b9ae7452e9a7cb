"""A pytest plugin: runs of scenarios for tests, each stage of each config computed once a session.

Whichever worker comes first computes it. The plugin is loaded with every pytest run of an environment that has the
package, so that it imports nothing of it until a test asks for a run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Runs = Callable[..., Any]


@pytest.fixture(scope="session")
def scenario_runs(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Runs:
    """Run scenarios: ``scenario_runs(name, profile, *overrides, until=None)``; no stage of a config is computed twice."""
    from ptycho.testing import prover

    base = tmp_path_factory.getbasetemp()
    workers = base.parent if hasattr(request.config, "workerinput") else base
    fault = request.config.option.fault or request.config.stash.get(prover.ACTIVE, "")
    return runs_in((prover.shared_folder(request.config) or workers) / "ptycho-store", fault)


def runs_in(folder: Path, fault: str) -> Runs:
    """Return a function that runs scenarios, with a store in `folder`; it returns a PipelineResult.

    Parameters
    ----------
    folder : Path
        Shared by all workers of a session.
    fault : str
        ID of the fault that has been put in, or nothing; with one, nothing is taken from the store or left there.
    """
    from ptycho.artifacts.stage import Execution
    from ptycho.artifacts.store import Store
    from ptycho.settings import scenarios
    from ptycho.stages import pipeline

    store = Store(folder)

    def run(name: str, profile: str | None = None, *overrides: str, until: str | None = None) -> Any:
        config = scenarios.load_scenario(name, profile, overrides)
        return pipeline.run_pipeline(config, Execution(cache=store, fault=fault), until=until)

    return run
