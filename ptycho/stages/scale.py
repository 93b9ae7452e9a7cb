"""The scales between a scan and what the network is fed, and the probe as the forward model uses it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.artifacts.stage import Execution
from ptycho.base import archive, atomic, documents, layout
from ptycho.base.errors import ScaleError
from ptycho.physics import probes, scaling
from ptycho.physics.scaling import Scales
from ptycho.scan.groups import GroupedData
from ptycho.scan.raw import RawData
from ptycho.settings.params import Params


@dataclass(frozen=True)
class Scaling:
    """Scales measured on the training groups, and the probe (P, N, N) complex64 of the forward model."""

    scales: Scales
    probe: np.ndarray

    @property
    def N(self) -> int:
        """Side of the probe, px."""
        return int(self.probe.shape[-1])


KIND = Scaling
FILE = layout.SCALES


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Scaling:
    """Measure the scales on the training groups; smooth and mask the probe as asked."""
    groups: GroupedData = inputs["group_train"]
    raw = groups.raw
    scales = scaling.measure(
        raw.diff3d,
        raw.probe,
        photon_scale=raw.photon_scale,
        nphotons=nphotons_of(raw, params),
        rows=groups.nn_indices.reshape(-1),
        bad=raw.bad_pixels,
    )
    return Scaling(scales, probes.prepare_probe(raw.probe, params.probe))


def nphotons_of(raw: RawData, params: Params) -> float | None:
    """Return the mean photons per pattern to believe, None for what the scan records; ScaleError where nobody tells."""
    if params.scaling.photon_scale == "recorded":
        return None
    named = params.scaling.nphotons or raw.metadata.get("requested_photons_per_pattern")
    if not isinstance(named, (int, float)):
        raise ScaleError(
            "scaling.photon_scale = closed_form needs the mean photons per pattern and this scan does not say them; "
            "add --set scaling.nphotons=VALUE, or use recorded"
        )
    return float(named)


def telemetry(result: Scaling) -> dict[str, float]:
    """Return the scales."""
    numbers = {name: value for name, value in asdict(result.scales).items() if name != "source"}
    return {**numbers, "probe_l2": float(np.linalg.norm(result.probe))}


def invariants(result: Scaling) -> Iterator[tuple[str, bool]]:
    """Check that the forward model has light to work with."""
    energy = float(np.sum(np.abs(result.probe.astype(np.complex128)) ** 2))
    yield "the prepared probe must be finite and lit", bool(np.isfinite(energy) and energy > 0)


def save(result: Scaling, folder: Path, about: Mapping[str, Any]) -> None:
    """Write scales and probe."""
    text = np.array(json.dumps(atomic.plain(asdict(result.scales))))
    atomic.write_arrays(folder / FILE, {"probe": result.probe, "scales": text})


def load(folder: Path, inputs: Mapping[str, Any]) -> Scaling:
    """Read them back."""
    arrays = archive.read_arrays(folder / FILE)
    return Scaling(Scales(**documents.parsed(str(arrays["scales"]), str(folder / FILE))), arrays["probe"])
