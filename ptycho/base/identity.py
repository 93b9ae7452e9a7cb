"""What a value *is*, as a short hash of its content: never where it lies, when or by whom it was made."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from ptycho.base import machine
from ptycho.base.errors import DataContractError

LENGTH = 24
"""Hexadecimal digits of a hash: 96 bits."""


def digest(value: Any) -> str:
    """Return the hash of a frozen value: arrays (dtype, shape, bytes), dataclasses by their fields, plain types.

    A dataclass with a `digest` of its own is asked for it, so that a large one is hashed once.

    Raises TypeError for anything else: what cannot be identified cannot be stored or swapped.
    """
    state = hashlib.sha256()
    _feed(state, value)
    return state.hexdigest()[:LENGTH]


def digest_of_fields(value: Any) -> str:
    """Return the hash of a dataclass's fields; for its own `digest` property."""
    state = hashlib.sha256()
    _feed_fields(state, value)
    return state.hexdigest()[:LENGTH]


def key_of(*parts: Any) -> str:
    """Return a short, stable hash of JSON values."""
    text = json.dumps(parts, sort_keys=True, allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes; raise DataContractError where it cannot be read."""
    machine.check_file(path, DataContractError)
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataContractError(f"{path}: cannot be read: {error.strerror or error}") from None


def _feed(state: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        _feed_array(state, value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        own = getattr(value, "digest", None)
        if own is not None:
            state.update(f"<{type(value).__name__} {own}>".encode())
        else:
            _feed_fields(state, value)
    elif isinstance(value, bytes):
        state.update(b"<bytes " + value + b">")
    elif isinstance(value, BaseModel):
        state.update(f"<{type(value).__name__} {json.dumps(value.model_dump(mode='json'))}>".encode())
    elif isinstance(value, Mapping):
        state.update(b"{")
        for key in sorted(value):
            _feed(state, key)
            _feed(state, value[key])
        state.update(b"}")
    elif isinstance(value, (list, tuple)):
        state.update(b"[")
        for item in value:
            _feed(state, item)
        state.update(b"]")
    elif value is None or isinstance(value, (bool, int, float, str, np.generic)):
        plain = value.item() if isinstance(value, np.generic) else value
        state.update(f"<{type(plain).__name__} {plain!r}>".encode())
    else:
        raise TypeError(f"a {type(value).__name__} has no identity: artifacts are arrays and frozen values")


def _feed_fields(state: Any, value: Any) -> None:
    state.update(f"<{type(value).__name__}".encode())
    for field in dataclasses.fields(value):
        state.update(f" {field.name}=".encode())
        _feed(state, getattr(value, field.name))
    state.update(b">")


def _feed_array(state: Any, array: np.ndarray) -> None:
    if array.dtype.hasobject:
        raise TypeError("an array of objects has no identity")
    state.update(f"<array {array.dtype.str} {array.shape}".encode())
    state.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    state.update(b">")
