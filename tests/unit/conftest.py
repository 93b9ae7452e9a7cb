"""One small finished run for all tests that need one, and the options that repeat it from the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ptycho.artifacts.stage import Execution
from ptycho.artifacts.store import Store
from ptycho.runs import directory
from ptycho.settings import scenarios
from ptycho.settings.config import Config
from ptycho.stages import pipeline
from ptycho.stages.pipeline import PipelineResult

TINY = (
    "N=32",
    "simulation.object_size_px=96",
    "simulation.base_total_images=64",
    "grouping.n_groups=none",
    "training.epochs=2",
    "model.warm_steps=1",
    "model.steps=1",
    "model.filters=4",
    "model.levels=1",
    "gates.min_pearson=0",
    "gates.min_ssim=0",
    "gates.max_unexplained=100",
    "gates.scale_tolerance=0.5",
    "gates.max_learned_ratio=10",
)


@dataclass(frozen=True)
class Finished:
    """A run, and where it lies: its folder is written when it is first asked for, from what has been computed."""

    config: Config
    result: PipelineResult
    store: Store
    place: Path

    @property
    def folder(self) -> Path:
        """The run directory, with its pictures."""
        if not self.place.exists():
            directory.execute(self.config, self.place, Execution(cache=self.store))
        return self.place


def tiny(*overrides: str) -> Config:
    """The config of the small run, with more overrides."""
    return scenarios.load_scenario("gs1_ideal", None, (*TINY, *overrides))


@pytest.fixture(scope="session")
def tiny_config():
    return tiny


@pytest.fixture(scope="session")
def tiny_options() -> list[str]:
    """The small run as options of the command line."""
    return [part for text in TINY for part in ("--set", text)]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, cache_folder: Path) -> Finished:
    """A small run, its artifacts in the session's cache. Read it; leave it as it is."""
    config, store = tiny("description=<script>alert(1)</script>"), Store(cache_folder)
    result = pipeline.run_pipeline(config, Execution(cache=store))
    return Finished(config, result, store, tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture(scope="session")
def every_artifact(finished: Finished) -> dict[str, Any]:
    """An artifact of every row of the table: the small run's, and of those that only run when they are asked for."""
    found = dict(finished.result.artifacts)
    for stage in pipeline.STAGES:
        if stage.optional and stage.name not in found:
            execution = Execution(cache=finished.store)
            found |= pipeline.run_pipeline(finished.config, execution, until=stage.name).artifacts
    return found
