"""What differs between arrays as they were stored and as they come out now: everything but what noise explains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ptycho.testing.golden import difference, gauge
from ptycho.testing.golden.difference import Difference

LEAST_FLOOR = 8.0
"""Roundings of one number that are taken for noise even where none was measured: another machine rounds otherwise."""


@dataclass(frozen=True)
class Band:
    """How far values may lie from those that were stored.

    Attributes
    ----------
    relative : float
        In units of the largest finite magnitude that was stored: what is small beside it is not asked for digits that
        nobody computes. No absolute tolerance comes to it.
    origin : str
        Where it comes from, for people.
    """

    relative: float
    origin: str


@dataclass(frozen=True)
class Entry:
    """What is stored of an array beside its values."""

    dtype: str
    shape: tuple[int, ...]
    layout: str
    unit: str = ""


def entry_of(array: np.ndarray, unit: str = "") -> Entry:
    """Return what is stored of an array beside its values.

    The array is of any shape.
    """
    return Entry(array.dtype.str, array.shape, layout_of(array), unit)


def layout_of(array: np.ndarray) -> str:
    """Return in which order the axes run through memory: "C", or the axes from slow to fast.

    The array is of any shape.

    A slice runs as what it was cut from; axes of one entry count for nothing.
    """
    axes = [axis for axis in range(array.ndim) if array.shape[axis] > 1]
    order = sorted(axes, key=lambda axis: -abs(array.strides[axis]))
    return "C" if order == axes else ",".join(map(str, order))


def eps_of(dtype: np.dtype) -> float:
    """Return the rounding of a type: 0 for what is not rounded."""
    return float(np.finfo(dtype).eps) if dtype.kind in "fc" else 0.0


def least_band(dtype: np.dtype, times: float) -> Band:
    """Return the band of what was not calibrated: `times` what is noise on any machine."""
    return Band(times * LEAST_FLOOR * eps_of(dtype), f"{times:g} x {LEAST_FLOOR:g} roundings of {dtype}")


def compare(
    obtained: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    entries: Mapping[str, Entry],
    units: Mapping[str, str],
    bands: Mapping[str, Band],
    fields: Mapping[str, np.ndarray] | None = None,
) -> list[Difference]:
    """Return what differs, in the order in which the arrays are given: what was obtained first, then what is missing.

    Arrays are of any shape.

    Parameters
    ----------
    obtained, expected : mappings of arrays
    entries : mapping
        What was stored of the expected ones beside their values.
    units : mapping
        Unit tags of what was obtained; none is "".
    bands : mapping
        How far each may lie; of a field also the parts of its gauge, as ``NAME.phase``.
    fields : mapping, optional
        Complex fields whose gauge is taken out, with the weights of their pixels.
    """
    result: list[Difference] = []
    for name, array in obtained.items():
        if name not in expected:
            result.append(Difference(name, "missing", f"{name}: nothing is stored under this name"))
            continue
        result += _form(name, entry_of(array, units.get(name, "")), entries[name])
        if array.shape != expected[name].shape:
            continue
        if fields is not None and name in fields:
            allowed = {part: bands[f"{name}.{part}"].relative for part in gauge.UNITS}
            allowed["residual"] = bands[name].relative
            result += gauge.differences(name, array, expected[name], fields[name], allowed)
        else:
            result += _values(name, array, expected[name], bands[name])
    unused = [name for name in expected if name not in obtained]
    return result + [Difference(n, "unused", f"{n}: stored, but the test does not check it") for n in unused]


def noise(
    obtained: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Return how far apart the arrays are, by name; of fields what is left without a gauge, and the parts of the gauge.

    Arrays are of any shape.
    """
    result = {}
    for name, array in expected.items():
        there = obtained.get(name)
        if there is None or there.shape != array.shape:
            result[name] = float("inf")
        elif name in weights:
            fitted = gauge.fit(there, array, weights[name])
            turned = fitted.orientation != "as it is"
            result[name] = float("inf") if turned else fitted.residual
            result |= {f"{name}.{part}": value for part, value in fitted.numbers().items()}
        else:
            result[name] = distance(there, array)
    return result


def distance(obtained: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference in units of the largest finite magnitude expected.

    Both are of any shape.

    Infinite for another shape and for what is finite in one only; 0 or infinite for what is no floating number.
    """
    if obtained.shape != expected.shape:
        return float("inf")
    if expected.dtype.kind not in "fc" or obtained.dtype.kind not in "fc":
        return 0.0 if np.array_equal(obtained, expected) else float("inf")
    if (_kinds(obtained) != _kinds(expected)).any():
        return float("inf")
    apart = _apart(obtained, expected)
    largest = float(apart.max(initial=0))
    return largest / (difference.scale_of(expected) or 1.0) if largest else 0.0


def _form(name: str, now: Entry, stored: Entry) -> Iterator[Difference]:
    for what in ("dtype", "shape", "layout", "unit"):
        was, has = getattr(stored, what), getattr(now, what)
        if was != has:
            yield Difference(name, what, f"{name}: {what} {has!r}, stored {was!r}")


def _values(name: str, obtained: np.ndarray, expected: np.ndarray, band: Band) -> Iterator[Difference]:
    if expected.dtype.kind not in "fc" or obtained.dtype.kind not in "fc":
        yield from _exactly(name, obtained, expected)
        return
    unlike = _kinds(obtained) != _kinds(expected)
    if unlike.any():
        worst = _first(unlike)
        text = f"{name}{_place(worst)}: {obtained[worst]}, stored {expected[worst]}; {int(unlike.sum())} such places"
        yield Difference(name, "not finite", text, worst)
    apart = np.where(unlike, 0, _apart(obtained, expected))
    allowed = band.relative * difference.scale_of(expected)
    if (apart > allowed).any():
        worst = tuple(int(i) for i in np.unravel_index(int(apart.argmax()), apart.shape))
        excess = float(apart[worst] / allowed) if allowed else float("inf")
        text = (
            f"{name}{_place(worst)}: {obtained[worst]:.9g}, stored {expected[worst]:.9g}; apart by {apart[worst]:.3g}, "
            f"allowed {allowed:.3g} ({band.origin}); {int((apart > allowed).sum())} of {apart.size} lie outside, "
            f"mean {apart.mean():.3g}, 99th percentile {np.percentile(apart, 99):.3g}"
        )
        yield Difference(name, "values", text, worst, excess)


def _exactly(name: str, obtained: np.ndarray, expected: np.ndarray) -> Iterator[Difference]:
    unlike = np.asarray(obtained != expected)
    if unlike.any():
        worst = _first(unlike)
        text = (
            f"{name}{_place(worst)}: {obtained[worst]!r}, stored {expected[worst]!r}; "
            f"{int(unlike.sum())} of {unlike.size} differ, none may"
        )
        yield Difference(name, "values", text, worst)


def _kinds(array: np.ndarray) -> np.ndarray:
    """Return for each number what kind it is: finite, NaN, an infinity of either sign (of either part)."""
    parts = (array.real, array.imag) if array.dtype.kind == "c" else (array,)
    kinds = np.zeros(array.shape, int)
    for part in parts:
        kinds = 4 * kinds + np.where(np.isnan(part), 1, np.where(np.isposinf(part), 2, 3 * np.isneginf(part)))
    return kinds


def _apart(obtained: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return |obtained - expected|, 0 where either is not finite."""
    finite = np.isfinite(obtained) & np.isfinite(expected)
    wide = complex if "c" in (obtained.dtype.kind, expected.dtype.kind) else float
    return np.asarray(
        np.abs(np.where(finite, obtained, 0).astype(wide) - np.where(finite, expected, 0).astype(wide))
    )


def _first(places: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(places)[0]) if places.ndim else ()


def _place(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]" if index else ""
