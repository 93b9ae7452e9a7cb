"""Where networks run in a test session."""

from __future__ import annotations


def environment(device: str) -> dict[str, str]:
    """Return the environment that lets frameworks see a device: `cpu` hides GPUs, `gpu` makes their absence a failure."""
    if device == "cpu":
        return {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    return {"PTYCHO_REQUIRE_GPU": "1"} if device == "gpu" else {}
