"""The same patterns, solved directly from a flat object: the best that they allow, without the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ptycho.artifacts.stage import Execution
from ptycho.base import layout
from ptycho.settings.params import Params
from ptycho.solve.solution import Solution
from ptycho.stages import solutions

KIND = Solution
FILE = layout.ORACLE


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Solution:
    """Solve from flat."""
    return solutions.of_groups(inputs["group_test"], inputs["train"], params, execution)
