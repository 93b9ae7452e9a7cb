"""The scan: simulated, unless a measured one is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.artifacts.stage import Execution
from ptycho.base import atomic, layout
from ptycho.physics import probes, scaling
from ptycho.scan import simulate as simulation
from ptycho.scan.formats import npz
from ptycho.scan.raw import RawData
from ptycho.settings.params import Params

KIND = RawData
FILE, TRUTH = layout.SCAN, layout.TRUTH


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> RawData:
    """Simulate a scan."""
    return simulation.simulate_scan(params)


def telemetry(scan: RawData) -> dict[str, float]:
    """Count patterns, amplitudes and the probe."""
    return {
        "patterns": len(scan),
        "mean_amplitude": float(np.mean(scan.diff3d, dtype=np.float64)),
        "mean_energy": scaling.mean_energy(scan.diff3d),
        "photon_scale": scan.photon_scale,
        "probe_l2": float(np.linalg.norm(scan.probe)),
        "probe_mean_amplitude": float(np.mean(np.abs(scan.probe))),
    }


def invariants(scan: RawData) -> Iterator[tuple[str, bool]]:
    """Amplitudes are numbers."""
    yield "amplitudes must be finite", bool(np.isfinite(scan.diff3d.sum(dtype=float)))


def notes(scan: RawData, params: Params) -> Iterator[str]:
    """Say what this probe and this scan leave open."""
    if params.gridsize == 1 and probes.is_twin_ambiguous(scan.probe):
        yield (
            "Twin image: this probe is real and centrosymmetric, so a single pattern cannot tell the object from its "
            "conjugate turned by 180 degrees. At gridsize 1 no network can; use gridsize 2 or a structured probe."
        )
    if "probe" in scan.metadata:
        yield f"Probe: {scan.metadata['probe']}."


def save(scan: RawData, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the scan in the NPZ contract."""
    npz.write_npz(folder / FILE, scan)


def load(folder: Path, inputs: Mapping[str, Any]) -> RawData:
    """Read it back."""
    return npz.read_npz(folder / FILE)


def export(scan: RawData, folder: Path, about: Mapping[str, Any]) -> None:
    """Leave the truth in a run directory: the scan itself is large, and made again from the config."""
    if scan.object_guess is not None:
        atomic.write_arrays(folder / TRUTH, {"object": scan.object_guess})
