"""The object that gradient steps alone reconstruct, group by group: the null of what the network learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ptycho.artifacts.stage import Execution
from ptycho.base import layout
from ptycho.network import inference
from ptycho.physics import stitching
from ptycho.physics.stitching import Reconstruction
from ptycho.scan.groups import GroupedData
from ptycho.settings.params import Params
from ptycho.stages import grouped

KIND = Reconstruction
FILE = layout.PHYSICS


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Reconstruction:
    """Reconstruct the test groups with as many steps as the network takes, and merge them as it is done there."""
    groups: GroupedData = inputs["group_test"]
    bundle = inference.physics_alone(inputs["train"])
    prediction = inference.predict(bundle, groups, execution.batch_size, execution.listener)
    return stitching.stitch(prediction, grouped.used(groups).positions, bundle.probe)
