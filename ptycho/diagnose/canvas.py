"""How large a canvas the scan positions need, and what a smaller one would have lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.diagnose import diagnosis
from ptycho.diagnose.case import Case
from ptycho.diagnose.diagnosis import Diagnosis
from ptycho.physics import coords, stitching
from ptycho.stages import grouped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUESTION = "Does the canvas hold what is placed on it?"
LEGACY_OFFSET_PX, LEGACY_JITTER_PX = 4, 10
"""Of the original program, whose model merged a group on a canvas of N + (gridsize - 1) offset + jitter px."""


def ask(cases: Sequence[Case]) -> Diagnosis:
    """Measure the canvas of all sides: that of the test part, which is reconstructed, and what the training part would need."""

    def both(case: Case) -> dict[str, Any]:
        return {**measure(case), **_of_training(case)}

    return diagnosis.measured("reassembly", QUESTION, "Canvas of the test part", cases, both, _sentence, draw)


def legacy_side(N: int, gridsize: int) -> int:
    """Return the side (px) of the canvas that the original program gave a group."""
    return N + (gridsize - 1) * LEGACY_OFFSET_PX + LEGACY_JITTER_PX


def measure(case: Case) -> dict[str, Any]:
    """Return the sides that are needed, made and once were, and the share of the light that each holds."""
    groups = case.measure(lambda: case.get("group_test"))
    if isinstance(groups, str):
        return {"needed (px)": groups}
    legacy = legacy_side(groups.N, groups.gridsize)
    lit, centre = placed(case)
    needed = max(lit.shape)
    result: dict[str, Any] = {
        "positions": len(grouped.used(groups)),
        "needed (px)": needed,
        "the original's group canvas (px)": legacy,
        "share of the light on the needed canvas": share_within(lit, centre, 2 * needed),
        "share on the original's": share_within(lit, centre, legacy),
    }
    product = case.measure(lambda: case.get("stitch"))
    if isinstance(product, str):
        return {**result, "made (px)": product}
    return {
        **result,
        "made (px)": max(product.object.shape),
        "fits_canvas": "yes" if product.fits_canvas else "no",
        "share of the patches' weight kept": product.kept_fraction,
    }


def _of_training(case: Case) -> dict[str, Any]:
    result = case.measure(lambda: placed(case, "group_train"))
    if isinstance(result, str):
        return {"train: needed (px)": result}
    lit, centre = result
    legacy = legacy_side(case.config.N, case.config.gridsize)
    return {
        "train: needed (px)": max(lit.shape),
        "train: share on the original's": share_within(lit, centre, legacy),
    }


def placed(case: Case, stage: str = "group_test") -> tuple[np.ndarray, np.ndarray]:
    """Return the light of all patterns of a part on the canvas that holds them (H, W), and their mean place on it [x, y]."""
    scan = grouped.used(case.get(stage))
    origin, shape = coords.canvas_frame(scan.positions, scan.N)
    return stitching.coverage_map(scan.positions, scan.probe, origin, shape), scan.positions.mean(
        axis=0
    ) - np.array(origin)


def share_within(lit: np.ndarray, centre: np.ndarray, side: int) -> float:
    """Return the share of the light (H, W) within a square of a side (px) about a centre [x, y]."""
    low = np.maximum(np.round(centre - side / 2).astype(int), 0)
    high = np.maximum(np.round(centre + side / 2).astype(int), 0)
    inside = lit[low[1] : high[1], low[0] : high[0]].sum(dtype=np.float64)
    return float(inside / lit.sum(dtype=np.float64))


def _sentence(values: Mapping[str, Any]) -> str:
    needed, result = values["needed (px)"], values.get("made (px)")
    if not diagnosis.is_number(needed):
        return f"The canvas is not known ({needed})."
    legacy, share = values["the original's group canvas (px)"], values["share on the original's"]
    rest = f"{legacy} px would have held {share:.0%}"
    if not diagnosis.is_number(result):
        return f"A canvas of {needed} px holds all of the light; {rest}."
    weight = values["share of the patches' weight kept"]
    return f"The canvas of {result} px holds {weight:.4%} of the patches' weight; {rest}."


def draw(cases: Sequence[Case]) -> Figure:
    """Draw the light on the needed canvas with the original's square, and the share that a square of any side holds."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(8.4, 3.8 * len(cases)), layout="constrained")
    for row, case in zip(figure.subplots(len(cases), 2, squeeze=False), cases, strict=True):
        lit, centre = placed(case)
        legacy = legacy_side(case.config.N, case.config.gridsize)
        figure.colorbar(row[0].imshow(lit, cmap="magma"), ax=row[0], shrink=0.8)
        row[0].add_patch(Rectangle(tuple(centre - legacy / 2), legacy, legacy, fill=False, edgecolor="cyan"))
        row[0].set(title=f"{case.label}: coverage; cyan: {legacy} px", xticks=[], yticks=[])
        sides = np.linspace(1, 2 * max(lit.shape), 80)
        row[1].plot(sides, [share_within(lit, centre, int(side)) for side in sides])
        row[1].axvline(legacy, color="tab:cyan")
        row[1].set(title="share of the light", xlabel="side of a square canvas (px)", ylim=(0, 1.05))
        row[1].grid(alpha=0.3)
    return figure
