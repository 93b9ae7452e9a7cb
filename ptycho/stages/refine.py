"""The network's object, sharpened by the direct solver on the patterns that it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ptycho.artifacts.stage import Execution
from ptycho.base import layout
from ptycho.settings.params import Params
from ptycho.solve.solution import Solution
from ptycho.stages import solutions

KIND = Solution
FILE = layout.REFINED


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Solution:
    """Go on from the stitched object."""
    return solutions.of_groups(inputs["group_test"], inputs["train"], params, execution, inputs["stitch"])
