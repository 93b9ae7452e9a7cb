"""Ptychography with a physics-informed network, and the proof that it does not break in the known ways.

The names below are loaded on first use: ``import ptycho`` imports neither numpy-heavy rooms nor a deep
learning framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME_OF = {
    "Config": "ptycho.settings.config",
    "Execution": "ptycho.artifacts.stage",
    "GroupedData": "ptycho.scan.groups",
    "PtychoDataContainer": "ptycho.scan.groups",
    "PtychoError": "ptycho.base.errors",
    "RawData": "ptycho.scan.raw",
    "Reading": "ptycho.settings.request",
    "Reconstruction": "ptycho.physics.stitching",
    "Request": "ptycho.settings.request",
    "Store": "ptycho.artifacts.store",
    "load_bundle": "ptycho.network.bundle",
    "load_scenario": "ptycho.settings.scenarios",
    "read_npz": "ptycho.scan.formats.npz",
    "run_pipeline": "ptycho.stages.pipeline",
    "simulate_scan": "ptycho.scan.simulate",
    "write_npz": "ptycho.scan.formats.npz",
}

__all__ = ["__version__", *sorted(_HOME_OF)]


def __getattr__(name: str) -> Any:
    """Import a public name from its room on first use (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'ptycho' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
