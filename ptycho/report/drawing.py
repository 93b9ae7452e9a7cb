"""What all figures share: sheets, images, colours of phases, micrometres and scale bars."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.base import units
from ptycho.physics.stitching import Reconstruction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110


def sheet(rows: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """Make a figure of panels of width x height inches, and its axes (rows, columns)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * width, rows * height), dpi=DPI, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def phase_style(reach: float) -> dict[str, Any]:
    """Cyclic colours for the full circle, sequential ones for a small range."""
    return {"cmap": "twilight" if reach > 2 else "viridis", "vmin": -reach, "vmax": reach}


def scale(reconstruction: Reconstruction) -> float:
    """Return micrometres in a pixel of an object, 1 where they are not known."""
    return 1.0 if reconstruction.pixel_m is None else 1e6 * reconstruction.pixel_m


def extent(reconstruction: Reconstruction) -> tuple[float, float, float, float]:
    """Return where an object's picture lies: in micrometres where the size of a pixel is known, else in pixels."""
    x, y = reconstruction.origin_xy
    height, width = reconstruction.object.shape
    left, right, bottom, top = x - 0.5, x + width - 0.5, y + height - 0.5, y - 0.5
    factor = scale(reconstruction)
    return left * factor, right * factor, bottom * factor, top * factor


def in_metres(axes: Any, reconstruction: Reconstruction) -> None:
    """Put a scale bar on an object's picture, and its unit at the axes, where the size of a pixel is known."""
    axes.tick_params(labelsize=8)
    if reconstruction.pixel_m is None:
        axes.set_xlabel("px", fontsize=8)
        return
    axes.set_xlabel("µm", fontsize=8)
    left, right, bottom, top = extent(reconstruction)
    bar = _round_length((right - left) / 4)
    x, y = left + 0.05 * (right - left), bottom - 0.06 * (bottom - top)
    text = units.written(1e-6 * bar, "m")
    axes.plot([x, x + bar], [y, y], color="white", linewidth=3, solid_capstyle="butt", path_effects=_rim())
    axes.text(
        x + bar / 2,
        y - 0.02 * (bottom - top),
        text,
        color="white",
        ha="center",
        va="bottom",
        fontsize=8,
        path_effects=_rim(),
    )
    axes.set(xlim=(left, right), ylim=(bottom, top))


def _rim() -> list[Any]:
    """Return a dark rim, so that white is seen on white."""
    from matplotlib import patheffects

    return [patheffects.withStroke(linewidth=3, foreground="black", alpha=0.6)]


def _round_length(most: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not above a length."""
    power = 10.0 ** math.floor(math.log10(most))
    return max(step * power for step in (1.0, 2.0, 5.0) if step * power <= most * (1 + 1e-9))


def image(
    figure: Figure,
    axes: Any,
    values: np.ndarray,
    title: str,
    where: tuple[float, float, float, float] | None,
    style: dict[str, Any],
) -> None:
    """Draw an image (h, w) with its title and colours, at a place or without any numbers beside it."""
    step = max(1, max(values.shape) // 1500)
    drawn = axes.imshow(values[::step, ::step], extent=where, interpolation="nearest", **style)
    if where is None:  # pixel numbers of a detector tell nothing, and ticks are slow to lay out
        axes.set(xticks=[], yticks=[])
    axes.set_facecolor("0.85")
    axes.set_title(title, fontsize=10)
    figure.colorbar(drawn, ax=axes, shrink=0.8)
