"""Draws docs/images/house.png: the wings, storey by storey, and the arrows between them, read off the imports.

python docs/house.py
"""

from __future__ import annotations

import ast
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

import ptycho

PACKAGE = Path(ptycho.__file__).parent
PLACES = {
    "commands": (0.5, 8, "the command line"),
    "findings": (2.1, 7, "ledger, faults"),
    "diagnose": (0.1, 7, "questions about runs"),
    "isolate": (1.1, 7, "which difference broke it"),
    "runs": (0.9, 6, "requests, run directories"),
    "report": (0.1, 5.2, "pictures, the page"),
    "stages": (0.9, 4.5, "the table, one module a row"),
    "evaluation": (1.7, 3.7, "metrics, gates"),
    "network": (0.35, 2.9, "network, training"),
    "solve": (1.35, 2.9, "direct solver"),
    "scan": (0.9, 2.1, "files, geometry, groups"),
    "physics": (0.35, 1.3, "signs, axes, scales"),
    "artifacts": (1.45, 1.3, "stage, store"),
    "settings": (0.9, 0.6, "parameters, requests"),
    "testing": (2.2, 0.6, "the pytest plugin"),
    "base": (1.3, -0.2, "errors, files, identity"),
}
WIDTH, HEIGHT = 0.72, 0.5
TRUNK = ("scan", "network", "solve", "evaluation", "stages", "report")
"""The way of a scan."""


def arrows() -> set[tuple[str, str]]:
    """Return which wing imports from which."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        here = path.relative_to(PACKAGE).parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found |= {(here, name.split(".")[1]) for name in names if name.startswith("ptycho.")}
    return {(a, b) for a, b in found if a != b and {a, b} <= set(PLACES)}


def draw() -> Figure:
    """Return the picture."""
    figure = Figure(figsize=(10, 9), layout="constrained")
    axes = figure.add_subplot()
    for above, below in sorted(arrows()):
        (x, y, _), (u, v, _) = PLACES[above], PLACES[below]
        near = y - v < 1.7
        axes.add_patch(
            FancyArrowPatch(
                (x + WIDTH / 2, y),
                (u + WIDTH / 2, v + HEIGHT),
                arrowstyle="-|>",
                mutation_scale=9,
                color="#33608f" if near else "#b9c4d0",
                linewidth=1.1 if near else 0.5,
                zorder=2 if near else 1,
            )
        )
    for name, (x, y, words) in PLACES.items():
        colour = "#f6e3b4" if name in TRUNK else "#e9eef4"
        axes.add_patch(
            FancyBboxPatch(
                (x, y), WIDTH, HEIGHT, "round,pad=0.02", facecolor=colour, edgecolor="#444", zorder=3
            )
        )
        axes.text(x + WIDTH / 2, y + 0.33, name, ha="center", va="center", weight="bold", zorder=4)
        axes.text(x + WIDTH / 2, y + 0.13, words, ha="center", va="center", fontsize=7.5, zorder=4)
    axes.set(xlim=(-0.05, 3.0), ylim=(-0.35, 8.65))
    axes.set_axis_off()
    return figure


if __name__ == "__main__":
    draw().savefig(Path(__file__).parent / "images" / "house.png", dpi=110)
