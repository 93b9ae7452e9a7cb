"""The case study as a page: its results put into the words of `story.md`, with pictures."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from ptycho.base import atomic
from ptycho.findings import case_study

PAGE, RESULTS = "case-study.md", "case-study.json"
RASTER = {"gs1_ideal": "0.620", "gs1_custom": "0.904", "gs2_ideal": "0.952", "gs2_custom": "0.968"}
"""Amplitude SSIM as the original authors publish it, by scenario."""
PICTURES = {
    "now/compare.png": "case_study_now.png",
    "then/compare.png": "case_study_then.png",
    **{f"isolate_{name}/isolation.png": f"case_study_isolate_{name}.png" for name in case_study.SMALLER},
}


def write(folder: Path) -> Path:
    """Write the page, its results and its pictures into `page` of a study's folder; return the page's path."""
    place = folder / "page"
    (place / "images").mkdir(parents=True, exist_ok=True)
    results = case_study.results(folder)
    atomic.write_json(place / RESULTS, results)
    atomic.write_text(place / PAGE, page(results))
    for source, name in PICTURES.items():
        if (folder / source).is_file():
            shutil.copyfile(folder / source, place / "images" / name)
    return place / PAGE


def page(results: Mapping[str, Any]) -> str:
    """Return the page, Markdown, of what :func:`case_study.results` returns."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters |= {"n": _number, "percent": _percent}
    source = (resources.files("ptycho.findings") / "story.md").read_text(encoding="utf-8")
    runs = [entry for entry in results.values() if "nonfinite_px" in entry]
    return environment.from_string(source).render(
        step=results,
        now=case_study.NOW,
        then=case_study.THEN,
        isolated=tuple(case_study.SMALLER),
        twins=case_study.TWINS,
        raster=RASTER,
        criteria=case_study.CRITERIA,
        loss=_share_of(results, "training.loss"),
        nonfinite=sum(entry["nonfinite_px"] for entry in runs),
        verdict=lambda entry: "passes" if entry["passed"] else "fails",
        answer=lambda name, question: results[name]["answers"][question]["answer"],
        numbers=lambda name, question: results[name]["answers"][question]["numbers"],
    )


def _share_of(results: Mapping[str, Any], name: str) -> float:
    """Return the share of the gap that causes of a name make alone at gridsize 1; nothing where none is one."""
    causes = results["isolate_gs1_ideal"]["isolation"]["causes"]
    return float(sum(each["alone"] for each in causes if each["name"].startswith(name)))


def _number(value: Any) -> str:
    """Write a number for people, with four digits."""
    if isinstance(value, float) and not math.isfinite(value):
        return "n/a"
    # Minus nothing is nothing.
    return (
        f"{value + 0:.4g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)
    )


def _percent(value: float) -> str:
    """Write a share."""
    return f"{100 * value:.3g} %" if math.isfinite(value) else "n/a"
