"""Options that several commands have, how each is read, and what it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from ptycho.errors import ConfigError

Overrides = Annotated[
    tuple[str, ...],
    Parameter(name="--set", help="Override a parameter: path=value. May be repeated.", negative=()),
]
Swaps = Annotated[
    tuple[str, ...],
    Parameter(name="--swap", help="STAGE=RUN_DIR: use that run's artifact. May be repeated.", negative=()),
]
Profile = Annotated[
    str | None, Parameter(help="A profile of the scenario, for example stable, or several: stable+fast.")
]


def _whole_number(_: Any, tokens: Sequence[Any]) -> int:
    """Read a number that has no fraction; an option is not rounded silently."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ConfigError(f"{tokens[0].keyword} = {tokens[0].value}: must be a whole number") from None


WholeNumber = Annotated[int, Parameter(converter=_whole_number)]
Engine = Literal["own", "keras", "ptychi"] | None
Refined = Literal["fixed", "refine"] | None
Seed = Annotated[
    int | None, Parameter(help="Seed of noise, initial weights and batch order.", converter=_whole_number)
]
Flag = Annotated[bool, Parameter(negative=())]
Everything = Annotated[
    bool, Parameter(name="--all", help="Take the whole scan, not only its test part.", negative=())
]


SOLVE = "solve"
"""In place of the file of a solution: solve the scan first."""


@Parameter(name="*")
@dataclass(frozen=True)
class How:
    """How a command is executed; nothing in here changes a result."""

    cache: str | None = None
    """Folder of artifacts kept from run to run; `none` keeps none. [default: the user's cache folder]"""
    fresh: Flag = False
    """Compute everything anew."""
    batch_size: WholeNumber = 32
    """Groups that inference computes at once."""


@Parameter(name="*")
@dataclass(frozen=True)
class Reading:
    """How a scan's file is to be understood."""

    intensity: Flag = False
    """The file holds intensities (counts), not amplitudes."""
    geometry: Annotated[tuple[str, ...], Parameter(negative=())] = ()
    """A correction of the scan, as the geometry gate names it: swap_axes, flip_x, scale_positions=20 ... May be repeated."""
    probe_from: str | None = None
    """A `reconstruction.npz` of `ptycho solve`: its probe and positions stand for the scan's. `solve` (in run): solve it now."""

    @property
    def rows(self) -> tuple[str, ...]:
        """Rows of the stage table that run before the scan is what was asked for."""
        return ("solve",) if self.probe_from == SOLVE else ()
