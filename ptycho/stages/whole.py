"""The object of the whole scan: where a part was held out for judgement, the others' patterns are reconstructed, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ptycho.artifacts.stage import Execution
from ptycho.base import layout
from ptycho.network import inference
from ptycho.network.bundle import Bundle
from ptycho.physics import stitching
from ptycho.physics.stitching import Reconstruction
from ptycho.scan import grouping
from ptycho.scan.raw import Split
from ptycho.settings.params import Params
from ptycho.stages import grouped, stitch

KIND = Reconstruction
FILE = layout.RECONSTRUCTION


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Reconstruction:
    """Reconstruct all patterns where that is asked for and a part was held out; else hand the judged object on."""
    split: Split = inputs["split"]
    judged: Reconstruction = inputs["stitch"]
    if not params.inference.whole or len(split.test_rows) == len(split.scan):
        return judged
    bundle: Bundle = inputs["train"]
    groups = grouping.group(
        split.scan,
        params.gridsize,
        params.grouping,
        include_seed=params.inference.include_seed,
    )
    prediction = inference.predict(bundle, groups, execution.batch_size, execution.listener)
    result = stitching.stitch(prediction, grouped.used(groups).positions, bundle.probe)
    return replace(result, made_from=stitch.origin(groups, bundle), pixel_m=stitch.pixel_of(split.scan))
