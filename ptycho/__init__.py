"""Ptychography with a physics-informed network, and the proof that it does not break in the known ways.

The names below are loaded on first use: ``import ptycho`` imports neither numpy-heavy rooms nor a deep
learning framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME_OF = {
    "Config": "ptycho.config",
    "GroupedData": "ptycho.data",
    "PtychoDataContainer": "ptycho.data",
    "PtychoError": "ptycho.errors",
    "RawData": "ptycho.data",
    "Reconstruction": "ptycho.stitching",
    "load_bundle": "ptycho.model.bundle",
    "load_scenario": "ptycho.scenarios",
    "read_npz": "ptycho.io.npz",
    "run_pipeline": "ptycho.pipeline",
    "simulate_scan": "ptycho.simulate.scan",
    "write_npz": "ptycho.io.npz",
}

__all__ = ["__version__", *sorted(_HOME_OF)]


def __getattr__(name: str) -> Any:
    """Import a public name from its room on first use (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'ptycho' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
