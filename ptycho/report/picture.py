"""A drawn picture as an artifact: what is drawn from the same artifacts by the same code is drawn once."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.artifacts.stage import Picture
from ptycho.base import atomic, identity, provenance
from ptycho.report import figures
from ptycho.stages.pipeline import PipelineResult

KIND = bytes
FILE = "picture.png"


def key(picture: Picture, result: PipelineResult) -> str:
    """Return the key of a picture: its name, the code that draws it, and what it draws."""
    drawn = [
        identity.digest(part(name, result)) if "." in name else result.records[name].digest
        for name in picture.of
    ]
    return identity.key_of(picture.name, provenance.code_version(figures.__name__), drawn)


def part(name: str, result: PipelineResult) -> Any:
    """Return an artifact, or ``stage.attribute`` of one."""
    stage, _, attribute = name.partition(".")
    return getattr(result.artifacts[stage], attribute) if attribute else result.artifacts[stage]


@np.errstate(invalid="ignore")  # what is not finite is seen in the picture, and told by its gate
def draw(picture: Picture, result: PipelineResult) -> bytes:
    """Draw a picture as PNG."""
    figure = getattr(figures, picture.name)(*(part(name, result) for name in picture.of))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def telemetry(png: bytes) -> dict[str, float]:
    """Count bytes."""
    return {"bytes": len(png)}


def invariants(png: bytes) -> Iterator[tuple[str, bool]]:
    """Check that it is one."""
    yield "a picture must be a PNG", png.startswith(b"\x89PNG")


def save(png: bytes, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the picture."""
    with atomic.replacing(folder / FILE) as stream:
        stream.write(png)


def load(folder: Path, inputs: Mapping[str, Any]) -> bytes:
    """Read it back."""
    return (folder / FILE).read_bytes()
