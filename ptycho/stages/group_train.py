"""The groups that train."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ptycho.artifacts.stage import Execution
from ptycho.base import layout
from ptycho.scan import grouping
from ptycho.scan.groups import GroupedData
from ptycho.scan.raw import Split
from ptycho.settings.params import Params
from ptycho.stages import grouped

KIND = GroupedData
FILE = layout.GROUPS_TRAIN


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> GroupedData:
    """Group the training part."""
    split: Split = inputs["split"]
    return grouping.group(
        split.train,
        params.gridsize,
        params.grouping,
        n_groups=params.grouping.n_groups,
    )


def notes(groups: GroupedData, params: Params) -> Iterator[str]:
    """Say where what trains is judged as well."""
    if params.split.method == "none":
        yield f"Nothing was held out: all {len(groups.raw)} patterns train, and the same are judged (split.method = none)."


def load(folder: Path, inputs: Mapping[str, Any]) -> GroupedData:
    """Read them back and put them on the part that they are groups of."""
    return grouped.read(folder / FILE, inputs["split"].train)
