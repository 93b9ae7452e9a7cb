"""Diagnoses as files: JSON, Markdown and a picture of each, and one page of all."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Sequence
from pathlib import Path

from ptycho.base import atomic, page
from ptycho.base.errors import PtychoError
from ptycho.diagnose.case import Unknown
from ptycho.diagnose.diagnosis import Diagnosis
from ptycho.report import drawing
from ptycho.report import write as report

logger = logging.getLogger(__name__)

PAGE = "diagnosis.html"


def picture(result: Diagnosis) -> bytes:
    """Return the picture as PNG; nothing where there is nothing to draw, or where drawing fails, which is logged."""
    draw = result.draw
    if draw is None:
        return b""

    def make() -> report.WrittenFigure:
        stream = io.BytesIO()
        try:
            draw().savefig(stream, format="png", dpi=drawing.DPI)
        except (Unknown, PtychoError) as reason:
            logger.info("the picture of %s is not drawn: %s", result.name, reason)
        return report.WrittenFigure(result.name, None, data=stream.getvalue())

    return report.attempt(result.name, make).data


def files(folder: Path, diagnoses: Sequence[Diagnosis], sides: Sequence[str]) -> Path:
    """Write the page of all, then `NAME.json`, `NAME.md`, `NAME.png` of each; return the page's path.

    The page is what the folder is known by: whatever is left of a diagnosis that was killed can be replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [picture(result) for result in diagnoses]
    chapters = [
        (result, base64.b64encode(png).decode()) for result, png in zip(diagnoses, pictures, strict=True)
    ]
    text = page.html("diagnose/page.html", sides=list(sides), chapters=chapters)
    atomic.write_text(folder / PAGE, text)
    for result, png in zip(diagnoses, pictures, strict=True):
        atomic.write_json(folder / f"{result.name}.json", result.to_dict())
        atomic.write_text(folder / f"{result.name}.md", result.to_markdown())
        if png:
            with atomic.replacing(folder / f"{result.name}.png") as stream:
                stream.write(png)
    return folder / PAGE
