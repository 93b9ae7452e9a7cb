"""Runs of scenarios for tests: each stage of each config is computed once a session, by whichever worker comes first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ptycho import pipeline, scenarios
from ptycho.pipeline import PipelineResult
from ptycho.rows import Execution
from ptycho.store import Store

Runs = Callable[..., PipelineResult]


def runs_in(folder: Path, fault: str) -> Runs:
    """Return a function that runs scenarios, with a store in `folder`.

    Parameters
    ----------
    folder : Path
        Shared by all workers of a session.
    fault : str
        ID of the fault that has been put in, or nothing; with one, nothing is taken from the store or left there.
    """
    store = Store(folder)

    def run(
        name: str, profile: str | None = None, *overrides: str, until: str | None = None
    ) -> PipelineResult:
        config = scenarios.load_scenario(name, profile, overrides)
        return pipeline.run_pipeline(config, Execution(cache=store, fault=fault), until=until)

    return run


def device_environment(device: str) -> dict[str, str]:
    """Return the environment that lets frameworks see a device: `cpu` hides GPUs, `gpu` makes their absence a failure."""
    if device == "cpu":
        return {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    return {"PTYCHO_REQUIRE_GPU": "1"} if device == "gpu" else {}
