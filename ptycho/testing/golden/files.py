"""A golden on disk: `NAME.npz` with the arrays and `NAME.json` that says what they are and what they rest on."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from ptycho.base import archive, atomic, identity, provenance
from ptycho.base.errors import GoldenError
from ptycho.testing.golden import compare
from ptycho.testing.golden.compare import Entry

FORMAT = 1
LONGEST_NAME, MOST_BYTES = 150, 100_000
PENDING = ".new"
"""What the name of a proposed golden has before its extensions."""
ANALYTIC, SECOND, FROZEN = "analytic", "second implementation", "frozen behaviour"
CLASSES = (ANALYTIC, SECOND, FROZEN)
"""What a golden's numbers rest on. Only the first two may claim that they are right."""


@dataclass(frozen=True)
class Evidence:
    """What was measured of a golden by ``pytest --calibrate``.

    Attributes
    ----------
    of : str
        SHA-256 of the arrays that it was measured of.
    conditions : dict
        By condition, by array: the largest difference in units of the largest magnitude.
    faults : dict
        By ID of a fault that moves the golden: its effect in units of what is allowed; null where nothing came out.
    still : int
        Faults that were reached and moved nothing.
    """

    of: str
    conditions: dict[str, dict[str, float]]
    faults: dict[str, float | None]
    still: int = 0

    def floor(self, name: str) -> float:
        """Return the noise floor of an array: the largest difference that any condition made."""
        return max((by_name.get(name, 0.0) for by_name in self.conditions.values()), default=0.0)

    @property
    def separation(self) -> float:
        """The smallest effect of a fault in units of what is allowed; infinite where every one breaks the computation."""
        return min((effect for effect in self.faults.values() if effect is not None), default=float("inf"))


@dataclass(frozen=True)
class Record:
    """What the sidecar says."""

    test: str
    rests_on: str
    reason: str
    claims: tuple[str, ...]
    arrays: dict[str, Entry]
    despite: dict[str, str]
    sha256: str
    made: dict[str, str] = field(default_factory=dict)
    evidence: Evidence | None = None

    @property
    def calibrated(self) -> bool:
        """Whether the evidence is of these very numbers."""
        return self.evidence is not None and self.evidence.of == self.sha256


def name_of(nodeid: str) -> str:
    """Return the name of a test's golden: no two tests of a module share one.

    Whatever is no letter, digit or one of ``_ - . = [ ]`` is written as its code point.
    """
    # Colons in a parameter are no path: they are written as code points, like all else.
    test, bracket, parameters = nodeid.partition("::")[2].partition("[")
    own = test.replace("::", ".") + bracket + parameters
    name = re.sub(r"[^A-Za-z0-9_.=\[\]-]", lambda result: f"%{ord(result[0]):X}.", own)
    if len(name) > LONGEST_NAME:
        mark = hashlib.sha256(own.encode()).hexdigest()[:8]
        name = f"{name[: LONGEST_NAME - 9]}~{mark}"
    return name


def sidecar_of(path: Path) -> Path:
    """Return where the record of an NPZ file lies."""
    return path.with_name(path.name.removesuffix(".npz") + ".json")


def pending_of(path: Path) -> Path:
    """Return where what is proposed for an NPZ file lies."""
    return path.with_name(path.name.removesuffix(".npz") + PENDING + ".npz")


def made_now() -> dict[str, str]:
    """Return what ran, without places and names of machines."""
    own = ("package_file", "interpreter", "platform")
    return {name: value for name, value in provenance.provenance().items() if name not in own}


def write(path: Path, arrays: Mapping[str, np.ndarray], record: Record) -> None:
    """Write a golden: the arrays, then their record; raise GoldenError for one that is too large.

    Arrays are of any shape.
    """
    atomic.write_arrays(path, arrays, compress=True)
    size = path.stat().st_size
    if size > MOST_BYTES:
        path.unlink()
        raise GoldenError(
            f"{path.name} would have {size} bytes; a golden has at most {MOST_BYTES}: store an asymmetric crop, block means or "
            "projections (ptycho.testing.golden.pins)"
        )
    write_record(path, replace(record, sha256=identity.file_sha256(path)))


def discard(path: Path) -> None:
    """Take a golden and its record away, where they are."""
    path.unlink(missing_ok=True)
    sidecar_of(path).unlink(missing_ok=True)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a golden while it is written; raise GoldenError where another process does."""
    mark = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    try:
        # Not beside the golden: a lock stays on disk, and would want to be committed.
        with FileLock(Path(tempfile.gettempdir()) / f"ptycho-golden-{mark}.lock", timeout=0):
            yield
    except Timeout:
        raise GoldenError(f"{path}: another process is writing it; wait for it to end") from None


def write_record(path: Path, record: Record) -> None:
    """Write the record of an NPZ file."""
    content = {"format": FORMAT, **asdict(record)}
    atomic.write_json(sidecar_of(path), content)


def read(path: Path) -> tuple[dict[str, np.ndarray], Record]:
    """Read a golden and see that it is whole.

    Arrays are of any shape.

    Raises
    ------
    GoldenError
        It is not there, of another format, or what is stored is not what its record tells of.
    """
    record = read_record(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GoldenError(f"{path}: cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != record.sha256:
        raise GoldenError(
            f"{path}: is not the file that {sidecar_of(path).name} tells of (its SHA-256 differs): one of the two was changed by "
            "hand, or an accept was interrupted. Accept again, or take both from version control"
        )
    try:
        arrays = arrays_in(content)
    except (OSError, ValueError, EOFError) as error:
        raise GoldenError(f"{path}: cannot be read: {error}") from None
    for name in sorted({*arrays, *record.arrays}):
        if name not in arrays or name not in record.arrays:
            raise GoldenError(f"{path}: {name} stands in one of {path.name} and {sidecar_of(path).name} only")
        message = record.arrays[name]
        if (message.dtype, message.shape) != (compare.entry_of(arrays[name]).dtype, arrays[name].shape):
            raise GoldenError(
                f"{path}: {name} is {arrays[name].dtype} {arrays[name].shape}, but {sidecar_of(path).name} says "
                f"{np.dtype(message.dtype)} {message.shape}"
            )
    return arrays, record


def arrays_in(content: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of an NPZ file's bytes; raise OSError, ValueError or EOFError where it is none.

    Arrays are of any shape.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return archive.arrays_of(stored, stored.files)


def read_record(path: Path) -> Record:
    """Read what the sidecar of an NPZ file says; raise GoldenError where it is none of ours."""
    place = sidecar_of(path)
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
    except OSError:
        raise GoldenError(f"{place}: is missing; a golden has its arrays and their record") from None
    except ValueError as error:
        raise GoldenError(f"{place}: no JSON: {error}") from None
    try:
        version = content.pop("format")
        if version != FORMAT:
            raise GoldenError(
                f"{place}: has format {version!r}, this version reads {FORMAT}; regenerate with --force-regen"
            )
        return record_of(content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise GoldenError(f"{place}: is no record of a golden: {type(error).__name__}: {error}") from None


def is_record(place: Path) -> bool:
    """Whether a JSON file is the record of a golden, sound or not."""
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, Mapping) and {"format", "sha256", "arrays"} <= set(content)


def record_of(content: dict[str, Any]) -> Record:
    """Return the record that JSON values tell of; raise ValueError, KeyError or TypeError for what is none."""
    arrays = {
        str(name): Entry(v["dtype"], tuple(v["shape"]), v["layout"], v["unit"])
        for name, v in content.pop("arrays").items()
    }
    evidence = content.pop("evidence")
    record = Record(
        **{**content, "claims": tuple(content["claims"])},
        arrays=arrays,
        evidence=Evidence(**evidence) if evidence is not None else None,
    )
    if record.rests_on not in CLASSES:
        raise ValueError(f"rests_on = {record.rests_on!r}: one of {', '.join(CLASSES)}")
    return record
