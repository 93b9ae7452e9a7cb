"""The scan, looked at: frames and pixels that are plainly bad are left out of all that follows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.artifacts.stage import Execution, Table
from ptycho.base import archive, atomic, documents, layout
from ptycho.base.errors import DataContractError
from ptycho.scan import inspection
from ptycho.scan.damage import Damage
from ptycho.scan.inspection import Inspection
from ptycho.settings import selection
from ptycho.settings.params import Params

KIND = Inspection
FILE, LEFT_OUT = layout.INSPECTION, layout.LEFT_OUT


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Inspection:
    """Look at the scan.

    Raises DataContractError where frames or pixels are to be kept that are not there, and where too little would be left.
    """
    settings = params.inspection
    return inspection.inspect(inputs["scan"], settings.keep_frames, settings.keep_pixels)


def telemetry(result: Inspection) -> dict[str, float]:
    """Count what is left out, and what was noticed of each kind."""
    numbers: dict[str, float] = {
        "frames": len(result.kept),
        "bad_pixels": int((~result.scan.good_pixels).sum()),
        "given_bad_pixels": result.given_pixels,
    }
    return numbers | {damage.kind: max(1, len(damage.where)) for damage in result.damages}


def invariants(result: Inspection) -> Iterator[tuple[str, bool]]:
    """Check that something is left, and that nothing is under the mask."""
    bad = result.scan.bad_pixels
    yield "frames must be left", len(result.kept) == len(result.scan) > 0
    yield "bad pixels must hold nothing", bad is None or not result.scan.diff3d[:, bad].any()


def notes(result: Inspection, params: Params) -> Iterator[str]:
    """Say a line for each kind of damage, and what the reader of the scan's file had to say."""
    for line in result.scan.metadata.get(inspection.READ, ()):
        yield f"Scan: {line}."
    if result.given_pixels:
        yield f"Scan: {result.given_pixels} pixels are masked as the scan's file or --mask says."
    for damage in result.damages:
        yield f"Scan: {damage.line(done(damage, params))}."


def done(damage: Damage, params: Params) -> str:
    """Return what became of the frames or pixels of a kind of damage; nothing where there was nothing to do."""
    if not (damage.sure and len(damage.where)):
        return ""
    text = params.inspection.keep_frames if damage.of_frames else params.inspection.keep_pixels
    kept = selection.frames(text) if damage.of_frames else selection.pixels(text)
    count = len(inspection.leave_out(damage, kept))
    word, option = ("left out", "--keep-frames") if damage.of_frames else ("masked", "--keep-pixels")
    if count == len(damage.where):
        return f"{word} ({option} keeps them)"
    return f"{count} of them {word}, the others kept as asked" if count else "kept as asked"


def tables(result: Inspection) -> Iterator[Table]:
    """Show what was noticed."""
    if result.damages:
        rows = tuple((d.kind, len(d.where) or "", d.places, d.evidence, d.remedy) for d in result.damages)
        yield Table("The scan, looked at", ("what", "how many", "where", "how it shows", "remedy"), rows)


def save(result: Inspection, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the rows that are kept, the mask, and what was noticed."""
    bad = ~result.scan.good_pixels
    atomic.write_arrays(folder / LEFT_OUT, {"kept": result.kept, "bad_pixels": bad.astype(np.uint8)})
    damages = [{**vars(damage), "where": damage.where.tolist()} for damage in result.damages]
    atomic.write_json(folder / FILE, {"damages": damages, "given_pixels": result.given_pixels})


def load(folder: Path, inputs: Mapping[str, Any]) -> Inspection:
    """Read them back and put them on the scan; raise DataContractError where they are another scan's."""
    arrays = archive.read_arrays(folder / LEFT_OUT)
    values = documents.read_json(folder / FILE)
    damages = tuple(
        Damage(**{**each, "where": np.array(each["where"], np.int64)}) for each in values["damages"]
    )
    scan, bad = inputs["scan"], arrays["bad_pixels"].astype(bool)
    if bad.shape != (scan.N, scan.N) or arrays["kept"].max(initial=0) >= len(scan):
        raise DataContractError(f"{folder / LEFT_OUT}: is of another scan; give the inspection of this one")
    stored = Inspection(scan, arrays["kept"], damages, int(values["given_pixels"]))
    return inspection.with_scan(stored, scan, bad if bad.any() else None)
