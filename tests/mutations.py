"""Damage that knows the structure of a file: bytes, headers, JSON values, arrays, members of an archive; drawn from a generator."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable

import h5py
import numpy as np

HDF5 = b"\x89HDF\r\n\x1a\n"
MARKS = (b"TREE", b"SNOD", b"HEAP", b"OHDR", HDF5, b"GCOL", b"data", b"energy")
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
    if whole[:8] == HDF5:
        return _in_tree(rng, whole) if change is _other_array else _near_signature(rng, whole)
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


def _near_signature(rng: random.Random, whole: bytes) -> bytes:
    """Bytes changed just behind a mark of HDF5's own structures: trees, heaps, symbols, headers of objects."""
    places = [place for mark in MARKS for place in _all_places(whole, mark)]
    if not places:
        return _flipped(rng, whole)
    changed = bytearray(whole)
    for _ in range(rng.choice((1, 2, 8))):
        at = rng.choice(places) + rng.randrange(64)
        if at < len(changed):
            changed[at] = rng.choice((0, 1, 0xFF, rng.randrange(256)))
    return bytes(changed)


def _all_places(whole: bytes, mark: bytes) -> list[int]:
    places, at = [], whole.find(mark)
    while at >= 0:
        places.append(at)
        at = whole.find(mark, at + 1)
    return places


def _in_tree(rng: random.Random, whole: bytes) -> bytes:
    """Something else in the place of a dataset of an HDF5 file."""
    stream = io.BytesIO(whole)
    with h5py.File(stream, "r+") as file:
        keys: list[str] = []
        file.visititems(lambda key, thing: keys.append(key) if isinstance(thing, h5py.Dataset) else None)
        key, other = rng.choice(keys), rng.choice(keys)
        dataset = file[key]
        attributes = {
            "units": lambda: rng.choice(("um", "furlong", "1 m", "", "m" * 500, 3.0, np.zeros(3), b"\xff"))
        }
        changes: dict[str, Callable[[], object]] = {
            "array": lambda: _changed(rng, np.asarray(dataset[()])),
            "none": lambda: None,
            "group": lambda: h5py.SoftLink("/"),
            "itself": lambda: h5py.SoftLink(f"/{key}"),
            "another": lambda: h5py.SoftLink(f"/{other}"),
            "outside": lambda: h5py.ExternalLink(
                rng.choice(("/etc/passwd", "../scan.npz", "scan.npz", "no.h5", "pipe")), "/x"
            ),
            "compound": lambda: np.zeros(3, [("r", "f4"), ("i", "f4")]),
            "text": lambda: "x" * 100,
            "texts": lambda: ["a", "\x1b[2J"],
            "empty": lambda: h5py.Empty("f4"),
        }
        kind = rng.choice((*changes, "array", "array", "units", "huge"))
        if kind == "units":
            dataset.attrs["units"] = attributes["units"]()
        else:
            shape = rng.choice(((10**9, 64, 64), (60, 10**5, 10**5), (10**18,)))
            thing = None if kind == "huge" else changes[kind]()
            del file[key]
            if kind == "huge":
                file.create_dataset(key, shape, "f4", chunks=tuple(min(side, 64) for side in shape))
            elif thing is not None:
                wide = isinstance(thing, np.ndarray) and thing.dtype.kind == "U"  # which HDF5 does not have
                file[key] = thing.astype("S") if wide else thing
    return stream.getvalue()


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
    return _stored(_changed(rng, array))


def _changed(rng: random.Random, array: np.ndarray) -> np.ndarray:
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
            return rng.choice(changes)()
    except (TypeError, ValueError):
        return np.zeros(3)


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
