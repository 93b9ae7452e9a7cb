"""Asks the solver how well any object can explain a scan. This tells a failed network from a bad scan."""

from __future__ import annotations

import math

import numpy as np

from ptycho.base.errors import SolverDiverged
from ptycho.scan.raw import RawData
from ptycho.settings.sections import SolverConfig
from ptycho.solve import engine

MOST = 2048
"""Patterns that are asked: of a larger scan, those about its middle."""


def best_error(raw: RawData, config: SolverConfig | None = None) -> float:
    """Return the data error that solving the scan from flat leaves, under its own probe; infinity where that diverges.

    That is sum (A_pred - A)^2 / sum A^2 met in the last pass.
    """
    try:
        return float(engine.solve(sample(raw), config or SolverConfig()).errors[-1])
    except SolverDiverged:
        return math.inf


def sample(raw: RawData) -> RawData:
    """Return the scan, or of a large one the patterns nearest to its middle: they overlap as all do."""
    if len(raw) <= MOST:
        return raw
    away = np.linalg.norm(raw.positions - np.median(raw.positions, axis=0), axis=1)
    return raw.take(np.sort(np.argsort(away, kind="stable")[:MOST]))


def verdict(error: float, limit: float) -> str:
    """Say what is at fault where a network's object leaves more than `limit` and solving leaves `error`."""
    if error <= limit:
        return f"solved directly, the same patterns are explained to {error:.2g}: the network is at fault, not the scan"
    return (
        f"solved directly, the same patterns are explained to {error:.2g} and no better: look at the scan's geometry, probe and "
        "patterns, not at the network"
    )
