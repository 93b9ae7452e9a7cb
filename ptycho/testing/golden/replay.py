"""What a golden test that fails leaves: one file that shows the comparison again without running anything."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.base import archive, atomic, documents, machine
from ptycho.base.errors import DataContractError, GoldenError
from ptycho.testing.golden import files
from ptycho.testing.golden.files import Record

FORMAT = 1
OBTAINED, EXPECTED, WEIGHTS, ABOUT = "obtained.npz", "expected.npz", "weights.npz", "about.json"


@dataclass(frozen=True)
class FailedCheck:
    """A comparison that failed."""

    obtained: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]
    record: Record
    stored: Record
    about: dict[str, Any]


def write(
    path: Path,
    nodeid: str,
    obtained: Mapping[str, np.ndarray],
    stored: tuple[Mapping[str, np.ndarray], Record],
    record: Record,
    weights: Mapping[str, np.ndarray],
    config: Mapping[str, Any] | None = None,
) -> None:
    """Write a comparison that failed: obtained, expected, what both records say, what ran.

    Arrays are of any shape.
    """
    about = {
        "format": FORMAT,
        "test": nodeid,
        "record": asdict(record),
        "told": asdict(stored[1]),
        "environment": files.made_now(),
        "config": config,
    }
    with atomic.replacing(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, arrays in ((OBTAINED, obtained), (EXPECTED, stored[0]), (WEIGHTS, weights)):
            buffer = io.BytesIO()
            np.savez(buffer, **arrays)  # type: ignore[arg-type]
            bundle.writestr(name, buffer.getvalue())
        bundle.writestr(ABOUT, json.dumps(atomic.plain(about), indent=1))


def read(path: Path) -> FailedCheck:
    """Read a comparison that failed; raise GoldenError for what is none."""
    machine.check_file(path, GoldenError)
    try:
        with zipfile.ZipFile(path) as bundle:
            archive.check_size(path, bundle.infolist())
            about = documents.parsed(bundle.read(ABOUT).decode("utf-8"), str(path), GoldenError)
            arrays = {name: files.arrays_in(bundle.read(name)) for name in (OBTAINED, EXPECTED, WEIGHTS)}
        version = about["format"]
        if version != FORMAT:
            raise GoldenError(f"{path}: has format {version!r}, this version reads {FORMAT}")
        record, stored = (files.record_of(about[name]) for name in ("record", "told"))
    except OSError as error:
        raise GoldenError(f"{path}: cannot be read: {error.strerror or error}") from None
    except DataContractError as error:
        raise GoldenError(str(error)) from None
    except archive.BROKEN as error:
        raise GoldenError(f"{path}: is no bundle of a failed comparison: {error}") from None
    return FailedCheck(arrays[OBTAINED], arrays[EXPECTED], arrays[WEIGHTS], record, stored, about)
