"""Options that several commands have, how each is read, and what it means."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from ptycho.base.errors import ConfigError
from ptycho.settings.request import Reading

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
Moved = Literal["fixed", "affine", "refine"] | None
Seed = Annotated[
    int | None, Parameter(help="Seed of noise, initial weights and batch order.", converter=_whole_number)
]
Flag = Annotated[bool, Parameter(negative=())]
Everything = Annotated[
    bool, Parameter(name="--all", help="Take the whole scan, not only its test part.", negative=())
]


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


SplitMethod = Annotated[
    Literal["axis", "scan_index", "none"] | None,
    Parameter(
        name="--split",
        help="Which patterns train and which are held out; none: all train, and nothing is held out.",
    ),
]
KEEPING = ("--keep-frames", "--keep-pixels")
"""Options that mean all where nothing is named."""
Overwrite = Annotated[
    bool,
    Parameter(help="Replace what --out names, where it is of this kind.", negative=()),
]

ReadingOptions = Annotated[Reading, Parameter(name="*", negative=())]
"""How a scan's file is to be read, as options of a command."""


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """Return the words of a command line with `all` behind options of :data:`KEEPING` that name nothing.

    Raises ConfigError for an empty word: no option has an empty value, and an unset variable leaves one. Also for one that no
    system could hand over.
    """
    result: list[str] = []
    for number, word in enumerate(arguments):
        try:
            os.fsencode(word)
        except UnicodeEncodeError:
            raise ConfigError(f"{word!a}: holds half a letter (a lone surrogate); write it anew") from None
        if not word or re.fullmatch(r"--[a-z-]+=", word):
            name = word.rstrip("=") or (arguments[number - 1] if number else "the command")
            raise ConfigError(f"{name}: is empty; is a variable of the shell not set? leave the option out")
        result.append(word)
        following = arguments[number + 1 : number + 2]
        if word in KEEPING and (not following or following[0].startswith("--")):
            result.append("all")
    return result
