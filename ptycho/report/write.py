"""Writing the figures and the page."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ptycho.artifacts.stage import Picture, Stage, Table
from ptycho.artifacts.store import Store
from ptycho.base import atomic, identity, layout, page, provenance
from ptycho.report import picture as pictures
from ptycho.settings.request import Request
from ptycho.stages import pipeline
from ptycho.stages.pipeline import PipelineResult

logger = logging.getLogger(__name__)

PAGE = layout.PAGE


@dataclass(frozen=True)
class WrittenFigure:
    """A figure's name, its file in the folder, its caption, its bytes, and why it could not be drawn."""

    name: str
    file: str | None
    caption: str = ""
    data: bytes = b""
    error: str | None = None


def write_report(
    folder: Path, result: PipelineResult, cache: Store | None = None, request: Request = Request()
) -> tuple[WrittenFigure, ...]:
    """Write all figures and `report.html`; what fails is logged and returned, never raised."""
    # The last rows come first: a reader wants the result before the way to it.
    pictures = [p for name in reversed(list(result.records)) for p in pipeline.stage_named(name).pictures]
    drawn = [p for p in pictures if _says_something(p, result)]
    written = [attempt(picture.name, partial(_figure, folder, picture, result, cache)) for picture in drawn]
    written.append(attempt("report", lambda: _page(folder, result, written, request)))
    return tuple(written)


def _says_something(picture: Picture, result: PipelineResult) -> bool:
    """Whether there is what a picture draws, and not the same thing twice."""
    there = {name.partition(".")[0] for name in picture.of} <= set(result.artifacts)
    return there and (not picture.unless or len({result.records[name].digest for name in picture.unless}) > 1)


def attempt(name: str, make: Callable[[], WrittenFigure]) -> WrittenFigure:
    """Make a figure; one that fails is logged, and comes back with its error."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001  a picture must never cost a finished run
        logger.warning("the figure %s could not be made: %s: %s", name, type(error).__name__, error)
        return WrittenFigure(name, None, error=f"{type(error).__name__}: {error}")


def _figure(folder: Path, picture: Picture, result: PipelineResult, cache: Store | None) -> WrittenFigure:
    png = _drawn(picture, result, cache)
    file = f"{picture.name}.png"
    with atomic.replacing(folder / file) as stream:
        stream.write(png)
    return WrittenFigure(picture.name, file, picture.caption, png)


def _drawn(picture: Picture, result: PipelineResult, cache: Store | None) -> bytes:
    """Take a picture from the cache or draw it; matplotlib is imported only to draw."""
    if cache is None:
        return pictures.draw(picture, result)
    row = Stage("picture", pictures)
    key = pictures.key(picture, result)
    with cache.lock(key, waiting=lambda: logger.info("another process draws %s", picture.name)):
        entry = cache.find(row, key)
        if entry is not None:
            with suppress(OSError):  # the cache may have been cleared since it was found
                return bytes(entry.load(row, {}))
        png = pictures.draw(picture, result)
        known = {"digest": identity.digest(png), "telemetry": row.telemetry(png), "notes": (), "passed": None}
        cache.put(row, key, png, known, {})
    return png


def _page(
    folder: Path, result: PipelineResult, figures: list[WrittenFigure], request: Request
) -> WrittenFigure:
    atomic.write_text(folder / PAGE, render_html(result, figures, request))
    return WrittenFigure("report", PAGE)


def render_html(result: PipelineResult, figures: list[WrittenFigure], request: Request = Request()) -> str:
    """Return one self-contained page: verdict, pictures, a chapter for every row, config, provenance."""
    tables = [
        table
        for name in reversed(list(result.records))
        for table in pipeline.stage_named(name).tables(result.artifacts[name])
    ]
    return page.html(
        "report/page.html",
        name=result.config.name,
        description=result.config.description,
        verdict=verdict(result),
        outcome="" if not result.judged else "pass" if result.passed else "fail",
        fault=result.fault,
        notes=result.notes,
        headlines=[table for table in tables if table.headline],
        tables=[table for table in tables if not table.headline],
        pictures=[(f, base64.b64encode(f.data).decode()) for f in figures if f.data],
        failed=[f for f in figures if f.error],
        records=result.records.values(),
        asked=list(request.lines()),
        config=json.dumps(result.config.to_dict(), indent=2),
        provenance=provenance.provenance(),
    )


def verdict(result: PipelineResult) -> str:
    """Return PASS or FAIL and what it rests on, or that the run ended before anything was judged."""
    judging = [record for record in result.records.values() if record.passed is not None]
    if not judging:
        return f"NOT JUDGED (ends with {list(result.records)[-1]})"
    words = [record for record in judging if not record.passed] or judging
    return "; ".join(pipeline.stage_named(r.stage).heading(result.artifacts[r.stage]) for r in words)


def markdown(table: Table) -> str:
    """Return a table as Markdown, its title above it."""
    lines = [" | ".join(map(str, table.columns)), " | ".join("---" for _ in table.columns)]
    lines += [" | ".join(page.number(cell) for cell in row) for row in table.rows]
    return f"**{table.title}**\n\n" + "\n".join(f"| {line} |" for line in lines)
