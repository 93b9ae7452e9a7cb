"""The object that gradient steps alone reconstruct, group by group: the null of what the network learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ptycho.artifacts.stage import Execution
from ptycho.base import layout
from ptycho.network import inference
from ptycho.physics import stitching
from ptycho.physics.stitching import Reconstruction
from ptycho.scan.groups import GroupedData
from ptycho.settings.params import Params
from ptycho.stages import grouped, stitch

KIND = Reconstruction
FILE = layout.PHYSICS


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Reconstruction:
    """Reconstruct the test groups with as many steps as the network takes, and merge them as it is done there."""
    groups: GroupedData = inputs["group_test"]
    bundle = inference.physics_alone(inputs["train"])
    prediction = inference.predict(bundle, groups, execution.batch_size, execution.listener)
    return stitching.stitch(prediction, grouped.used(groups).positions, bundle.probe)


def telemetry(reconstruction: Reconstruction) -> dict[str, float]:
    """Describe the canvas and what lies on it."""
    return stitch.telemetry(reconstruction)


def invariants(reconstruction: Reconstruction) -> Iterator[tuple[str, bool]]:
    """Whatever was lit is a number or counted."""
    return stitch.invariants(reconstruction)


def save(reconstruction: Reconstruction, folder: Path, about: Mapping[str, Any]) -> None:
    """Write it into one file."""
    stitch.write(folder / FILE, reconstruction)


def load(folder: Path, inputs: Mapping[str, Any]) -> Reconstruction:
    """Read it back."""
    return stitch.read(folder / FILE)
