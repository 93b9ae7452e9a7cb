"""What the scenarios run on and with: measured data, the accelerator of the full-size tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptycho.settings import scenarios


def visible_gpus() -> tuple[str, int]:
    """The Keras backend and how many GPUs it sees."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return backend, len(tf.config.list_physical_devices("GPU"))
    if backend == "torch":
        import torch

        return backend, torch.cuda.device_count()
    import jax

    return backend, sum(device.platform == "gpu" for device in jax.devices())


@pytest.fixture(scope="session")
def gpu() -> None:
    """Skip where no GPU is to be seen; with PTYCHO_REQUIRE_GPU, as on a GPU machine's gate, fail."""
    backend, count = visible_gpus()
    if count:
        return
    reason = f"Keras on {backend} sees no GPU: install a GPU build of {backend} on a machine that has one"
    if os.environ.get("PTYCHO_REQUIRE_GPU"):
        pytest.fail(f"{reason} (PTYCHO_REQUIRE_GPU is set)")
    pytest.skip(reason)


@pytest.fixture
def data(data_folder: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured data where the caller's environment names some."""
    if data_folder is not None:
        monkeypatch.setenv(scenarios.DATA_DIR, str(data_folder))


@pytest.fixture
def outcome(scenario_runs: Any) -> Callable[..., Any]:
    """Run a scenario, each stage of each config once a session; whatever it is, the object is finite and fits."""

    def run(name: str, profile: str | None, *overrides: str) -> Any:
        result = scenario_runs(name, profile, *overrides)
        reconstruction = result.artifacts["stitch"]
        assert reconstruction.n_nonfinite == 0
        assert np.isfinite(reconstruction.object).all()
        assert reconstruction.fits_canvas
        return result

    return run
