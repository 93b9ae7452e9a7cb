"""What was asked for."""

from __future__ import annotations

from dataclasses import dataclass

SOLVE = "solve"
"""In place of the file of a solution: solve the scan first."""


@dataclass(frozen=True)
class Reading:
    """How a scan's file is to be read."""

    intensity: bool = False
    """The file holds intensities (counts), not amplitudes."""
    geometry: tuple[str, ...] = ()
    """A correction of the scan, as the geometry gate names it: swap_axes, flip_x, scale_positions=20 ... May be repeated."""
    probe_from: str | None = None
    """A `reconstruction.npz` of `ptycho solve`: its probe and positions stand for the scan's. `solve` (in run): solve it now."""

    @property
    def rows(self) -> tuple[str, ...]:
        """Rows of the stage table that run before the scan is what was asked for."""
        return ("solve",) if self.probe_from == SOLVE else ()
