"""Diagnoses as files: JSON, Markdown and a picture of each, and one page of all."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import jinja2

from ptycho.base import atomic
from ptycho.diagnose.diagnosis import Diagnosis
from ptycho.report import figures
from ptycho.report import write as report

PAGE = "diagnosis.html"


def picture(result: Diagnosis) -> bytes:
    """Return the picture as PNG; nothing where there is none."""
    if result.draw is None:
        return b""
    stream = io.BytesIO()
    result.draw().savefig(stream, format="png", dpi=figures.DPI)
    return stream.getvalue()


def files(folder: Path, diagnoses: Sequence[Diagnosis], sides: Sequence[str]) -> Path:
    """Write `NAME.json`, `NAME.md`, `NAME.png` of each and the page of all; return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    chapters = []
    for result in diagnoses:
        png = picture(result)
        atomic.write_json(folder / f"{result.name}.json", result.to_dict())
        atomic.write_text(folder / f"{result.name}.md", result.to_markdown())
        if png:
            with atomic.replacing(folder / f"{result.name}.png") as stream:
                stream.write(png)
        chapters.append((result, base64.b64encode(png).decode()))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["number"] = report.number
    source = (resources.files("ptycho.diagnose") / "page.html").read_text(encoding="utf-8")
    atomic.write_text(
        folder / PAGE, environment.from_string(source).render(sides=list(sides), chapters=chapters)
    )
    return folder / PAGE
