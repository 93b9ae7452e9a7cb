"""What was asked of grouping and what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import cKDTree

from ptycho.diagnose import diagnosis
from ptycho.diagnose.case import Case, Unknown
from ptycho.diagnose.diagnosis import Diagnosis
from ptycho.physics import stitching
from ptycho.scan.groups import GroupedData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUESTION = "Were all groups made that were asked for, and how do they lie?"
PARTS = {"train": ("group_train", "grouping"), "test": ("group_test", "inference")}


def ask(cases: Sequence[Case]) -> Diagnosis:
    """Describe the groups of both parts of all sides."""

    def both(case: Case) -> dict[str, Any]:
        return {**measure(case, "train"), **measure(case, "test")}

    return diagnosis.measured("grouping", QUESTION, "Groups", cases, both, _sentence, draw)


def measure(case: Case, part: str) -> dict[str, Any]:
    """Return counts, places, reach and overlap of a part's groups; where there are none, why."""
    stage, section = PARTS[part]
    requested = getattr(case.config, section).n_groups
    result: dict[str, Any] = {f"{part}: groups requested": "all" if requested is None else requested}
    groups = case.measure(lambda: case.get(stage))
    if isinstance(groups, str):
        return {**result, f"{part}: groups": groups}
    result |= {f"{part}: groups": len(groups), f"{part}: patterns in them": len(np.unique(groups.nn_indices))}
    result |= {
        f"{part}: least index": int(groups.nn_indices.min()),
        f"{part}: largest index": int(groups.nn_indices.max()),
        f"{part}: patterns of the part": len(groups.raw),
    }
    for axis, name in enumerate("xy"):
        offsets = groups.coords_offsets[:, 0, axis, 0]
        relative = groups.coords_relative[:, 0, axis]
        for what, values in (("offset", offsets), ("relative offset", relative)):
            result |= {
                f"{part}: {what} {name}, {kind} (px)": float(getattr(np, kind)(values))
                for kind in ("min", "max", "mean", "std")
            }
    return {**result, f"{part}: overlap of neighbours": overlap(groups)}


def overlap(groups: GroupedData) -> float:
    """Return the mean share of a footprint's diameter that its nearest neighbour in the part covers too, 0 to 1.

    The diameter is that of a disk of the probe's peak intensity and of its power.
    """
    lit = stitching.illumination(groups.raw.probe)
    diameter = 2 * math.sqrt(float(lit.sum()) / math.pi)
    where = groups.raw.positions
    if len(where) < 2:
        return 0.0
    nearest = cKDTree(where).query(where, k=2)[0][:, 1]
    return float(np.clip(1 - nearest / diameter, 0, 1).mean())


def _sentence(values: Mapping[str, Any]) -> str:
    parts = []
    for part in PARTS:
        result, wanted = values[f"{part}: groups"], values[f"{part}: groups requested"]
        if isinstance(result, str):
            parts.append(f"{part}: {result.partition(': ')[2]}")
        elif wanted == "all" or result == wanted:
            parts.append(f"{result} {part} groups, all that were asked for")
        else:
            parts.append(f"{result} {part} groups of {wanted} asked for")
    return "; ".join(parts) + "."


def draw(cases: Sequence[Case]) -> Figure:
    """Draw the centres of the groups of both parts, and members of the first ones."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(cases), 4.4), layout="constrained")
    for axis, case in zip(figure.subplots(1, len(cases), squeeze=False)[0], cases, strict=True):
        for part, colour in (("train", "tab:blue"), ("test", "tab:orange")):
            try:
                groups = case.get(PARTS[part][0])
            except Unknown:
                continue
            centres, members = groups.coords_offsets[:, 0, :, 0], groups.coords_nn[:, 0]
            axis.scatter(*centres.T, s=3, color=colour, label=f"{part}: {len(groups)}")
            for centre, around in zip(centres[:12], members[:12], strict=True):
                for x, y in around.T:
                    axis.plot([centre[0], x], [centre[1], y], color="black", linewidth=0.6)
        axis.set(title=f"{case.label}: group centres (px)", aspect="equal")
        axis.invert_yaxis()
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc="upper right")
    return figure
