"""Writing the figures and the page."""

from __future__ import annotations

import base64
import io
import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from ptycho.io import atomic
from ptycho.pipeline import PipelineResult
from ptycho.provenance import provenance

logger = logging.getLogger(__name__)

PAGE = "report.html"


@dataclass(frozen=True)
class WrittenFigure:
    """A figure's name, its file in the folder, its caption, its bytes, and why it could not be drawn."""

    name: str
    file: str | None
    caption: str = ""
    data: bytes = b""
    error: str | None = None


def write_report(folder: Path, result: PipelineResult) -> tuple[WrittenFigure, ...]:
    """Write all figures and `report.html`; what fails is logged and returned, never raised."""
    from ptycho.report import figures

    written = [
        _attempt(
            name, lambda draw=draw, name=name: _figure(folder, name, draw(result), figures.CAPTIONS[name])
        )
        for name, draw in figures.FIGURES.items()
    ]
    written.append(_attempt("report", lambda: _page(folder, result, written)))
    return tuple(written)


def _attempt(name: str, make: Callable[[], WrittenFigure]) -> WrittenFigure:
    try:
        return make()
    except Exception as error:  # noqa: BLE001  a picture must never cost a finished run
        logger.warning("the figure %s could not be made: %s: %s", name, type(error).__name__, error)
        return WrittenFigure(name, None, error=f"{type(error).__name__}: {error}")


def _figure(folder: Path, name: str, figure: Any, caption: str) -> WrittenFigure:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    file = f"{name}.png"
    with atomic.replacing(folder / file) as stream:
        stream.write(buffer.getvalue())
    return WrittenFigure(name, file, caption, buffer.getvalue())


def _page(folder: Path, result: PipelineResult, figures: list[WrittenFigure]) -> WrittenFigure:
    atomic.write_text(folder / PAGE, render_html(result, figures))
    return WrittenFigure("report", PAGE)


def render_html(result: PipelineResult, figures: list[WrittenFigure]) -> str:
    """Return one self-contained page: verdict, gates, pictures, numbers, config, provenance."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["number"] = _number
    source = (resources.files("ptycho.report") / "template.html").read_text(encoding="utf-8")
    measured = result.artifacts["evaluate"].to_dict()
    return environment.from_string(source).render(
        name=result.config.name,
        description=result.config.description,
        passed=result.passed,
        verdicts=result.artifacts["gate"],
        notes=result.notes,
        direct=measured.get("direct", {}),
        registered=measured.get("registered", {}),
        others={
            part: measured[part] for part in ("data", "coverage", "structure", "twin") if part in measured
        },
        pictures=[(f, base64.b64encode(f.data).decode()) for f in figures if f.data],
        failed=[f for f in figures if f.error],
        stopped=result.artifacts["train"].stopped,
        seconds=result.seconds,
        config=json.dumps(result.config.to_dict(), indent=2),
        provenance=provenance(),
    )


def _number(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "n/a"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
