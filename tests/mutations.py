"""Damage that knows the structure of a file: bytes, headers, JSON values, arrays, members of an archive; drawn from a generator."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable

import numpy as np

VALUES = (None, True, False, 0, -1, 5, 2**70, 1e308, "", "x", "\x1b[2J", [], {}, [[]], {"a": 1}, "9" * 300)
"""In the place of any value of a document."""


# Damage: name -> what becomes of the bytes of a file.
def _cut(rng: random.Random, whole: bytes) -> bytes:
    return whole[: rng.randrange(len(whole) + 1)]


def _flipped(rng: random.Random, whole: bytes) -> bytes:
    changed = bytearray(whole)
    for _ in range(rng.choice((1, 1, 3, 30))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _inserted(rng: random.Random, whole: bytes) -> bytes:
    at = rng.randrange(len(whole) + 1)
    return (
        whole[:at] + rng.choice((b"\0" * 50, b"[" * 30_000, b"\xff\xfe", b"\x1b[2J", b"{" * 500)) + whole[at:]
    )


def _in_json(rng: random.Random, whole: bytes) -> bytes:
    """Another value somewhere in a document; in an archive in the text of one of its arrays."""
    if whole[:2] == b"PK":
        return _in_archive(rng, whole, _text_of_array)
    try:
        return json.dumps(_other_value(rng, json.loads(whole))).encode("utf-8", "surrogatepass")
    except ValueError:
        return _flipped(rng, whole)


def _other_value(rng: random.Random, value: object) -> object:
    inner = (
        list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    )
    if not inner or rng.random() < 0.2:
        return rng.choice(VALUES)
    key = rng.choice(inner)
    if isinstance(value, dict) and rng.random() < 0.15:
        return {name: each for name, each in value.items() if name != key}
    changed = dict(value) if isinstance(value, dict) else list(value)  # type: ignore[call-overload]
    changed[key] = _other_value(rng, changed[key])
    return changed


def _in_archive(rng: random.Random, whole: bytes, change: Callable[[random.Random, bytes], bytes]) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, ValueError):
        return _flipped(rng, whole)
    if not members:
        return _flipped(rng, whole)
    name = rng.choice(list(members))
    inner = members[name][:2] == b"PK"
    members[name] = _in_archive(rng, members[name], change) if inner else change(rng, members[name])
    return packed(members, rng)


def packed(members: dict[str, bytes], rng: random.Random) -> bytes:
    stream = io.BytesIO()
    kind = rng.choice(
        (zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    )
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _text_of_array(rng: random.Random, content: bytes) -> bytes:
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
        if array.dtype.kind != "U" or array.ndim:
            return _other_array(rng, content)
        text = json.dumps(_other_value(rng, json.loads(str(array))))
    except (ValueError, EOFError):
        return _flipped(rng, content)
    return _stored(np.array(text))


def _other_array(rng: random.Random, content: bytes) -> bytes:
    """Another shape, dtype or value of an array."""
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError):
        return _flipped(rng, content)
    changes: list[Callable[[], np.ndarray]] = [
        lambda: array[:0] if array.ndim else array.reshape(1),
        lambda: array[:-1] if array.ndim else array,
        lambda: array[None],
        lambda: array.T,
        lambda: array.astype(rng.choice(["f2", "f8", "i8", "u1", "c8", "c16", "U20", "?"])),
        lambda: array * np.array(rng.choice((np.nan, np.inf, -1, 0, 1e30))),
        lambda: np.zeros((3, 0, 2)),
        lambda: np.array("x" * 100),
        lambda: np.broadcast_to(array, (2, *array.shape)).copy(),
    ]
    try:
        with np.errstate(all="ignore"):
            return _stored(rng.choice(changes)())
    except (TypeError, ValueError):
        return _stored(np.zeros(3))


def _stored(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _other_header(rng: random.Random, content: bytes) -> bytes:
    """A header that nobody wrote, before the array's bytes."""
    if content[:6] != b"\x93NUMPY":
        return _flipped(rng, content)
    descr = rng.choice(("'<f4'", "5", "('<f4',)", "[('a',)]", "'O'", "'|V0'", "None"))
    order = rng.choice(("False", "False", "1", "None", "[]"))
    shape = rng.choice(
        ("(3,)", "(-1,)", "(10**6,)", "(9999999999999999999999,)", "3", "(1e9,)", "(True,)", "((3,),)", "'x'")
    )
    usual = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"
    texts = (usual, usual, usual, "[" * 3000, "{1: 2}", "__import__('os')")
    text = rng.choice(texts).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content[128:]


ALL: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "cut": _cut,
    "flipped": _flipped,
    "inserted": _inserted,
    "json": _in_json,
    "array": lambda rng, whole: _in_archive(rng, whole, _other_array),
    "header": lambda rng, whole: _in_archive(rng, whole, _other_header),
    "member": lambda rng, whole: _in_archive(rng, whole, _flipped),
    "empty": lambda rng, whole: b"",
    "another": lambda rng, whole: rng.randbytes(500),
}
