"""The accelerator of the full-size tests."""

from __future__ import annotations

import os

import pytest


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
