"""What can be wrong with a scan's frames and pixels, as values: which, how it shows, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHOWN = 6
"""Rows or pixels that a line names."""


@dataclass(frozen=True)
class Damage:
    """One kind of damage.

    Attributes
    ----------
    kind : str
        In the plural, for example ``dark frames``.
    where : (m,) int64 or (m, 2) int64
        Rows of the scan that was given, or pixels [y, x]; empty where the scan as a whole is meant.
    evidence : str
        What was measured.
    remedy : str
        The likely cause, or what to do.
    sure : bool
        Plainly bad: it is left out. Else it is named, and stays.
    wrong : bool
        The scan as a whole was read the wrong way: nothing that comes of it can be believed.
    """

    kind: str
    where: np.ndarray
    evidence: str
    remedy: str
    sure: bool = True
    wrong: bool = False

    @property
    def of_frames(self) -> bool:
        """Whether `where` holds rows."""
        return self.where.ndim == 1 and len(self.where) > 0

    @property
    def of_pixels(self) -> bool:
        """Whether `where` holds pixels."""
        return self.where.ndim == 2 and len(self.where) > 0

    @property
    def places(self) -> str:
        """The first rows or pixels, for people."""
        names = [f"{y}x{x}" for y, x in self.where] if self.of_pixels else [str(row) for row in self.where]
        text = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        word = "pixel" if self.of_pixels else "row"
        return f"{word}{'s' * (len(names) > 1)} {text}" if names else ""

    @property
    def many(self) -> str:
        """How many of what: ``5 dark frames``, ``1 dark frame``; the kind alone where the scan as a whole is meant."""
        if not len(self.where):
            return self.kind
        return f"{len(self.where)} {self.kind.removesuffix('s') if len(self.where) == 1 else self.kind}"

    def line(self, done: str = "") -> str:
        """Return one line: how many, where, the evidence, the remedy, and what was `done`."""
        places = f" ({self.places})" if self.places else ""
        end = f"; {done}" if done else ""
        return f"{self.many}{places}: {self.evidence}; {self.remedy}{end}"


NOWHERE = np.empty(0, np.int64)
"""For damage of the scan as a whole."""
