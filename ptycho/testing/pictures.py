"""Two arrays side by side, and their difference, as PNG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ptycho.testing.evidence import Compared


def side_by_side(compared: Compared, titles: tuple[str, str] = ("expected", "actual")) -> bytes:
    """Return expected, actual and difference as PNG; nothing for what is no array of numbers or of unequal shapes.

    Images are drawn for the last two axes, at the place of the largest difference along the others; complex ones as
    amplitude and phase. One axis becomes lines.
    """
    import numpy as np
    from matplotlib.figure import Figure

    actual, expected = np.asarray(compared.actual), np.asarray(compared.expected)
    drawable = actual.dtype.kind in "biufc" and expected.dtype.kind in "biufc" and actual.size > 1
    if not drawable or actual.shape != expected.shape:
        return b""
    actual, expected = _worst_planes(actual, expected)
    complex_ = "c" in (actual.dtype.kind, expected.dtype.kind)
    kinds: list[tuple[str, Any]] = (
        [("amplitude", np.abs), ("phase (rad)", np.angle)] if complex_ else [("", np.asarray)]
    )
    figure = Figure(figsize=(12, 3.8 * len(kinds)), layout="constrained")
    axes = np.atleast_2d(figure.subplots(len(kinds), 3))
    for row, (unit, view) in enumerate(kinds):
        panels = {"expected": view(expected), "actual": view(actual)}
        panels["difference"] = panels["actual"].astype(float) - panels["expected"].astype(float)
        if unit.startswith("phase"):  # -pi and pi are one phase
            panels["difference"] = np.angle(np.exp(1j * panels["difference"]))
        for axis, (title, image) in zip(axes[row], panels.items(), strict=True):
            shown = dict(zip(("expected", "actual"), titles, strict=True)).get(title, title)
            axis.set_title(f"{shown} {unit}".strip())
            if image.ndim < 2:
                axis.plot(np.atleast_1d(image), ".-", markersize=3)
            else:
                _image(figure, axis, image, panels, title)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return buffer.getvalue()


def _worst_planes(actual: Any, expected: Any) -> tuple[Any, Any]:
    """Return the last two axes of both, at the place along the others where they differ most."""
    import numpy as np

    if actual.ndim < 3:
        return actual, expected
    difference = np.nan_to_num(np.abs(actual.astype(complex) - expected.astype(complex)), nan=np.inf)
    planes = actual.shape[-2:]
    worst = int(np.argmax(difference.reshape(-1, *planes).max(axis=(1, 2))))
    return actual.reshape(-1, *planes)[worst], expected.reshape(-1, *planes)[worst]


def _image(figure: Any, axis: Any, image: Any, panels: dict[str, Any], title: str) -> None:
    import numpy as np

    finite = image[np.isfinite(image)] if np.isfinite(image).any() else np.zeros(1)
    style: dict[str, Any] = {"cmap": "viridis"}
    if title == "difference":
        bound = float(np.abs(finite).max()) or 1.0
        style = {"cmap": "RdBu_r", "vmin": -bound, "vmax": bound}
    else:
        known = panels["expected"][np.isfinite(panels["expected"])]
        if known.size:
            style |= {"vmin": float(known.min()), "vmax": float(known.max()) or None}
    figure.colorbar(axis.imshow(image, interpolation="nearest", **style), ax=axis, shrink=0.8)
