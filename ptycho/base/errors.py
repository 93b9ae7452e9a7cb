"""The errors of this package: each says what was found, what was expected and what to do about it.

Every error that a user can cause derives from :class:`PtychoError`; the command line turns those into one
line and exit code 2. Anything else that escapes is a bug of ours, as is an :class:`InvariantError`: exit code 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def hint(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return what a message about an unknown `name` adds where a known one is near: "; did you mean ...?"."""
    near = get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"; did you mean {near[0]}?" if near else ""


class PtychoError(Exception):
    """Base of all errors of this package. A message is always one line, even where it quotes input with line breaks."""

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())


class ConfigError(PtychoError):
    """A scenario, option or override is unknown, out of range or contradictory."""


class DataContractError(PtychoError):
    """A data file or an array breaks the data contract (keys, shapes, dtypes, units)."""


class GroupingError(PtychoError):
    """Scan positions cannot be grouped as asked."""


class CanvasError(PtychoError):
    """A patch does not fit the canvas it is to be placed on, or an extraction leaves the object."""


class ScaleError(PtychoError):
    """A scale factor is missing, not finite, or does not belong to the array it would multiply."""


class TrainingDiverged(PtychoError):
    """A NaN or an infinity appeared while training; the message names epoch, step and tensor."""


class SolverDiverged(PtychoError):
    """A NaN or an infinity appeared while solving a scan directly; the message names the pass."""


class BundleError(PtychoError):
    """A saved model is damaged, incomplete, or made for another architecture."""


class RunDirectoryError(PtychoError):
    """An output directory cannot be written, or holds a run that this one may not replace."""


class LedgerError(PtychoError):
    """The ledger of findings is malformed, or a finding is unknown."""


class FaultError(PtychoError):
    """A fault is unknown, or what it replaces is not there."""


class InvariantError(PtychoError):
    """A stage computed a result that breaks an invariant. That is a bug in this package."""


class StageError(PtychoError):
    """A stage is unknown, reads what it does not declare, or is given an artifact that does not fit the run."""


class GoldenError(PtychoError):
    """A golden file is damaged, vacuous, too large, or may not be written now."""
