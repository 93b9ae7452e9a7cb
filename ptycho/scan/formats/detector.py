"""What a detector's file holds beside light: no numbers, negative ones, a mask; and what amplitudes are left of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ptycho.base.errors import DataContractError
from ptycho.scan.damage import SHOWN

EVERY = 0.9
"""Share of the frames in which a pixel must have no value for it to be one that never has."""
LOST = 0.5
"""Share of the pixels of a frame without a value from which on the frame is lost."""
MOST_NEGATIVE = 0.1
"""Share of all counts that may be negative; more is no noise about zero."""
CHUNK = 64


@dataclass(frozen=True)
class Patterns:
    """What came of reading a stack of patterns.

    Attributes
    ----------
    amplitudes : (M, N, N) float32
        0 where there is no value.
    bad : (N, N) bool
        Pixels without a value, and those of the mask.
    lines : tuple of str
        What was noticed, for people.
    """

    amplitudes: np.ndarray
    bad: np.ndarray
    lines: tuple[str, ...] = ()


def read(patterns: np.ndarray, intensity: bool, mask: np.ndarray | None) -> Patterns:
    """Return the amplitudes of patterns (M, N, N) of any real type, and the pixels that have no value.

    `mask` (N, N) bool are pixels that are not looked at. NaN, infinities and a negative code in every frame are no
    values: those pixels are bad. A frame that has hardly any values becomes a dark one. Counts that are negative here and
    there, as after a background was subtracted, become 0.

    Raises
    ------
    DataContractError
        Negative amplitudes, too many negative counts, or no pixel is left.
    """
    bad = np.zeros(patterns.shape[1:], bool) if mask is None else mask.copy()
    lines: list[str] = []
    if patterns.dtype.kind == "f" and len(patterns):
        bad, lines = _without_value(patterns, bad)
    if patterns.dtype.kind in "if" and len(patterns):
        below = _tally(patterns, bad, lambda part: part < 0)
        codes = _coded(patterns, below) & ~bad
        if codes.any():
            lines.append(
                f"{int(codes.sum())} pixels hold a negative code for no value in every frame, and are masked"
            )
            bad = bad | codes
            below = _tally(patterns, bad, lambda part: part < 0)
        lines += _negative(patterns, below, bad, intensity)
    if bad.all():
        raise DataContractError(
            "no pixel of diff3d is left: all are masked, or hold no numbers; give another mask or file"
        )
    return Patterns(_amplitudes(patterns, intensity, bad), bad, tuple(lines))


@dataclass(frozen=True)
class _Tally:
    """How often a test holds: in each frame (M,), in each pixel (N, N), both int64."""

    frames: np.ndarray
    pixels: np.ndarray


def _tally(patterns: np.ndarray, bad: np.ndarray, test: Callable[[np.ndarray], np.ndarray]) -> _Tally:
    frames, pixels = np.zeros(len(patterns), np.int64), np.zeros(bad.shape, np.int64)
    for start in range(0, len(patterns), CHUNK):
        part = test(patterns[start : start + CHUNK]) & ~bad
        frames[start : start + CHUNK] = part.sum(axis=(1, 2))
        pixels += part.sum(axis=0)
    return _Tally(frames, pixels)


def _coded(patterns: np.ndarray, below: _Tally) -> np.ndarray:
    """Return the pixels (N, N) bool that hold one and the same negative whole number in every frame.

    None where other pixels are negative here and there: then a background was subtracted, and the dark is negative too.
    """
    always = below.pixels == len(patterns)
    if not always.any() or below.pixels[~always].any():
        return np.zeros(always.shape, bool)
    values = patterns[:, always]
    constant = (values == values[0]).all(axis=0) & (values[0] == np.round(values[0]))
    result = np.zeros(always.shape, bool)
    result[always] = constant
    return result


def _no_number(part: np.ndarray) -> np.ndarray:
    return np.asarray(~np.isfinite(part))


def _without_value(patterns: np.ndarray, bad: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return the bad pixels (N, N) with those that have no value, and what is to be said."""
    what = "NaN or infinite"
    without = _tally(patterns, bad, _no_number)
    if not without.pixels.any():
        return bad, []
    count, lines = len(without.frames), []
    always = without.pixels >= EVERY * count
    lost = without.frames - int(always.sum()) > LOST * (~bad & ~always).sum()
    if lost.all() or (bad | always).all():
        raise DataContractError(
            f"no frame of diff3d has values in half of its pixels: the others are {what}; give another file"
        )
    # A pixel without a value in one frame alone is bad in all: there is one mask.
    pixels = _tally(patterns[~lost], bad, _no_number).pixels > 0
    if pixels.any():
        lines.append(f"{int(pixels.sum())} pixels are {what}, a code for no value, and masked")
    if lost.any():
        lines.append(f"{int(lost.sum())} frames are {what} ({_rows(lost)}), and taken for dark ones")
    return bad | pixels, lines


def _negative(patterns: np.ndarray, below: _Tally, bad: np.ndarray, intensity: bool) -> list[str]:
    """Say how many values are negative; raise DataContractError where they cannot be noise about zero."""
    total = int(below.frames.sum())
    if not total:
        return []
    rows = below.frames > 0
    lowest = min(float(np.nanmin(np.where(bad, 0, frame))) for frame in patterns[rows])
    where = f"{total} negative values in {int(rows.sum())} of {len(rows)} patterns ({_rows(rows)}), the lowest {lowest:.6g}"
    if not intensity:
        raise DataContractError(
            f"diff3d has {where}, and amplitudes are >= 0; give counts with --intensity, set them to 0, or mask those pixels"
        )
    light, dark = 0.0, 0.0
    for frame in patterns:
        counts = np.nan_to_num(np.where(bad, 0, frame).astype(np.float64), posinf=0, neginf=0)
        light += float(counts[counts > 0].sum())
        dark -= float(counts[counts < 0].sum())
    if dark > MOST_NEGATIVE * light:
        raise DataContractError(
            f"diff3d has {where}: {dark / max(light, 1e-300):.0%} of the light, too much for noise about zero; subtract less "
            "background, or mask those pixels"
        )
    return [f"{where}, as after a background was subtracted, are taken for 0"]


def _amplitudes(patterns: np.ndarray, intensity: bool, bad: np.ndarray) -> np.ndarray:
    """Return float32 amplitudes (M, N, N), 0 where there is no value; a whole stack is never held twice in double precision."""
    result = np.empty(patterns.shape, np.float32)
    for start in range(0, len(patterns), CHUNK):
        part = np.where(bad, 0, patterns[start : start + CHUNK]).astype(np.float64)
        part = np.where(np.isfinite(part), part, 0)
        result[start : start + CHUNK] = np.sqrt(np.maximum(part, 0)) if intensity else part
    return result


def _rows(chosen: np.ndarray) -> str:
    rows = np.flatnonzero(chosen)
    return f"row{'s' * (len(rows) > 1)} {', '.join(map(str, rows[:SHOWN]))}{', ...' if len(rows) > SHOWN else ''}"
