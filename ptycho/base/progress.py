"""Reports to a listener how far a stage has come. Stages never print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """`done` of `total` steps of a stage, with a few words on how it goes.

    A `milestone` (the end of an epoch) is worth a line of its own where nobody sees progress bars. A `note` is what a person should
    know before more work is done.
    """

    stage: str
    done: int
    total: int
    message: str = ""
    milestone: bool = False
    note: bool = False


Listener = Callable[[Progress], None]


def tell(listener: Listener | None, progress: Progress) -> None:
    """Tell a listener, where there is one."""
    if listener is not None:
        listener(progress)
