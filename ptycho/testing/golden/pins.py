"""A few numbers of a large array that any change of it moves: what is too large for a golden is stored as these."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

WHOLE = 256
"""Arrays of at most so many entries are pinned as they are."""
SEED = 20_260_101


def crop(array: np.ndarray, size: tuple[int, int] = (12, 9)) -> np.ndarray:
    """Return a piece of the last two axes of an array (..., H, W), off its centre, of unequal sides."""
    height, width = array.shape[-2:]
    top, left = height // 3, width // 4
    return array[..., top : top + size[0], left : left + size[1]]


def blocks(image: np.ndarray, size: int = 16) -> np.ndarray:
    """Return the means (ceil(H/size), ceil(W/size)) of the blocks of an image (H, W); those at the end may be smaller."""
    starts = [np.arange(0, side, size) for side in image.shape]
    sums = np.add.reduceat(np.add.reduceat(image, starts[0], axis=0), starts[1], axis=1)
    counts = [np.diff([*start, side]) for start, side in zip(starts, image.shape, strict=True)]
    return np.asarray(sums / np.outer(*counts))


def projection(array: np.ndarray) -> np.ndarray:
    """Return for each entry (M,) of the first axis the mean of the others, weighted by fixed random numbers.

    The weights (seeded, standard normal) differ from pixel to pixel, so that no flip, transpose, shift or exchange of
    pixels leaves the number as it is; and the entry says which pattern it was. Double precision.
    """
    flat = np.asarray(array).reshape(len(array), -1)
    weights = np.random.default_rng(SEED).normal(size=flat.shape[1])
    kind = complex if flat.dtype.kind == "c" else float
    return np.asarray(flat.astype(kind) @ weights / max(flat.shape[1], 1))


def pins_of(artifact: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield names and values that pin an artifact: numbers, small arrays whole, large ones projected.

    Dataclasses are walked through by their fields, mappings by their keys; texts and functions are left out.
    """
    if isinstance(artifact, np.ndarray):
        if artifact.dtype.kind not in "biufc" or not artifact.size:
            return
        whole = artifact.size <= WHOLE or artifact.ndim < 2
        yield name, artifact if whole and artifact.size <= 16 * WHOLE else projection(np.atleast_2d(artifact))
    elif isinstance(artifact, (bool, np.bool_)):
        yield name, int(artifact)
    elif isinstance(artifact, (int, float, complex, np.number)):
        yield name, artifact
    elif dataclasses.is_dataclass(artifact) and not isinstance(artifact, type):
        for part in dataclasses.fields(artifact):
            yield from pins_of(getattr(artifact, part.name), f"{name}.{part.name}")
    elif isinstance(artifact, Mapping):
        for key, value in artifact.items():
            yield from pins_of(value, f"{name}.{key}")
    elif isinstance(artifact, (list, tuple)):
        for index, value in enumerate(artifact):
            yield from pins_of(value, f"{name}.{index}")
