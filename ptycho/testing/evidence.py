"""What a failing test saw: the arrays that it compared, the values that it held, and where they part."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

MOST_BYTES = 2**26
"""Arrays that are larger than this are described and not kept."""
MOST_COMPARED = 6
"""Comparisons that are kept of a test, the last ones: a failure is the last, and a property-based test makes thousands."""
FILE, ARRAYS = "evidence.json", "arrays.npz"


@dataclass(frozen=True)
class Compared:
    """Two arrays that should agree."""

    name: str
    actual: Any
    expected: Any

    def parting(self) -> str:
        """Say where they differ most: place, measured value, expected value."""
        import numpy as np

        actual, expected = np.asarray(self.actual), np.asarray(self.expected)
        try:
            actual, expected = np.broadcast_arrays(actual, expected)
        except ValueError:
            return f"{self.name}: measured shape {np.shape(self.actual)}, expected {np.shape(self.expected)}"
        if actual.dtype.kind not in "biufc" or expected.dtype.kind not in "biufc" or not actual.size:
            return f"{self.name}: measured {self.actual!r}, expected {self.expected!r}"[:300]
        difference = np.abs(actual.astype(complex) - expected.astype(complex))
        difference = np.where(np.isnan(actual) & np.isnan(expected), 0.0, difference)
        where = np.unravel_index(int(np.argmax(np.nan_to_num(difference, nan=np.inf))), difference.shape)
        place = f" at {[int(i) for i in where]}" if where else ""
        return (
            f"{self.name}: measured {actual[where]:.6g}, expected {expected[where]:.6g}{place} "
            f"(difference {difference[where]:.3g}; {int((difference != 0).sum())} of {difference.size} differ)"
        )


@dataclass
class Evidence:
    """What a test shows on request, filled while it runs."""

    compared: list[Compared] = field(default_factory=list)
    arrays: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] | None = None

    def compare(self, name: str, actual: Any, expected: Any) -> None:
        """Keep two arrays that should agree, to be drawn side by side."""
        self.compared.append(Compared(name, actual, expected))
        del self.compared[:-MOST_COMPARED]

    def note(self, **numbers: float | str) -> None:
        """Keep numbers by name."""
        self.numbers.update(numbers)

    def take_frames(self, traceback: TracebackType | None) -> None:
        """Keep what the frames of a failure hold: the two sides of a numpy assertion, the test's arrays, numbers, config."""
        import numpy as np

        while traceback is not None:
            values = traceback.tb_frame.f_locals
            if {"actual", "desired"} <= set(values) and not any(
                c.actual is values["actual"] for c in self.compared
            ):
                self.compare("comparison", values["actual"], values["desired"])
            if traceback.tb_frame.f_code.co_name.startswith("test_"):
                for name, value in values.items():
                    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
                        self.arrays[name] = value
                    elif isinstance(value, (bool, int, float, complex, str, np.generic)):
                        self.numbers[name] = value if isinstance(value, str) else repr(value)
                    elif hasattr(value, "to_dict") and hasattr(type(value), "model_fields"):
                        self.config = value.to_dict()
            traceback = traceback.tb_next


def folder_of(root: Path, nodeid: str) -> Path:
    """Return a test's folder: readable, and no two tests share one."""
    mark = hashlib.sha256(nodeid.encode()).hexdigest()[:6]
    return root / (re.sub(r"[^A-Za-z0-9.]+", "-", nodeid.rpartition("/")[2]).strip("-")[:80] + f"-{mark}")


def write(folder: Path, evidence: Evidence, about: Mapping[str, Any]) -> None:
    """Write `evidence.json`, `arrays.npz` and a picture of every comparison into a test's folder."""
    import numpy as np

    from ptycho.base import atomic
    from ptycho.testing import pictures

    folder.mkdir(parents=True, exist_ok=True)
    arrays = dict(evidence.arrays)
    for number, part in enumerate(evidence.compared, 1):
        arrays |= {
            f"{part.name} {number} actual": part.actual,
            f"{part.name} {number} expected": part.expected,
        }
    kept = {name: np.asarray(value) for name, value in arrays.items()}
    small = {n: v for n, v in kept.items() if v.nbytes <= MOST_BYTES and v.dtype.kind in "biufcU"}
    if small:
        atomic.write_arrays(folder / ARRAYS, {re.sub(r"\W+", "_", n): v for n, v in small.items()})
    drawn = []
    for number, part in enumerate(evidence.compared, 1):
        png = pictures.side_by_side(part)
        if png:
            name = f"comparison_{number}.png"
            with atomic.replacing(folder / name) as stream:
                stream.write(png)
            drawn.append({"file": name, "caption": part.parting()})
    shapes = {name: f"{value.dtype} {value.shape}" for name, value in kept.items()}
    content = {
        **about,
        "pictures": drawn,
        "arrays": shapes,
        "numbers": evidence.numbers,
        "config": evidence.config,
    }
    atomic.write_json(folder / FILE, content)


def measured(compared: Iterable[Compared]) -> list[str]:
    """Return where each comparison parts; nothing for those that agree."""
    return [text for part in compared if "; 0 of " not in (text := part.parting())]
