"""Reads files of text and JSON that anybody may have written: a regular file, of a size that is one, text that is text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ptycho.base import machine
from ptycho.base.errors import DataContractError, PtychoError

MOST_BYTES = 2**28
"""Of a document. A history of a hundred thousand epochs has a tenth of that."""


def read_text(path: Path, kind: type[PtychoError] = DataContractError) -> str:
    """Return the text of a file, UTF-8; raise an error of `kind` where it cannot be read, is too large, or is no text."""
    machine.check_file(path, kind)
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise kind(f"{path}: has {size} bytes, and no such file of ours has more than {MOST_BYTES}")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise kind(f"{path}: is no text in UTF-8") from None
    except OSError as error:
        raise kind(f"{path}: cannot be read: {error.strerror or error}") from None


def read_json(path: Path, kind: type[PtychoError] = DataContractError) -> Any:
    """Return the value of a file of JSON; raise an error of `kind` where it cannot be read or is none."""
    return parsed(read_text(path, kind), str(path), kind)


def read_table(path: Path, kind: type[PtychoError] = DataContractError) -> dict[str, Any]:
    """Return the table of a file of JSON; raise an error of `kind` where it cannot be read or holds something else."""
    value = read_json(path, kind)
    if not isinstance(value, Mapping):
        raise kind(f"{path}: holds {type(value).__name__} where a table is expected")
    return dict(value)


def parsed(text: str, source: str, kind: type[PtychoError] = DataContractError) -> Any:
    """Return the value of a text of JSON; raise an error of `kind`, naming the source, for one that is none.

    Text that UTF-8 does not have (lone surrogates) is none, nor is what nests deeper than anybody writes.
    """
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError, MemoryError):  # a wrong encoding is a ValueError, too
        raise kind(f"{source}: not valid JSON") from None
    return value
