"""Detector pixels that do not belong to a scan: hot, dead, and gaps between modules.

Looked for in the counts summed over all frames, where light is smooth and a pixel that counts by itself is not. What the probe's
own far field shows too (a bright direct beam, the dark rings of a disk) is light. docs/scan.md shows the distributions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from scipy import ndimage

from ptycho.physics import forward
from ptycho.scan.damage import Damage
from ptycho.scan.raw import RawData

HOT, WARM = 4.0, 2.5
"""Counts over those of the brightest neighbours (but two) from which on a pixel is hot, and doubtful."""
DEAD, WEAK = 0.1, 0.25
"""Counts over those of the darkest neighbours (but two) below which a pixel is dead, and doubtful."""
SIGNIFICANT = 8.0
"""Standard deviations of photon noise by which it must differ."""
LIGHT = 20.0
"""Counts, over all frames, that a dark pixel's surroundings must have for it to be dead or in a gap."""
EXPECTED = 3.0
"""A pixel is light where the probe's far field makes its excess at least this share, one over it, of what is measured."""
FAINTEST = 1e-12
"""Of the probe's far field: what is fainter is rounding."""
STEADY = 3.0
"""Variance over mean of a hot pixel's counts below which it counts by itself, whatever the beam does."""
CODES = (2**16 - 1, 2**31 - 1, 2**32 - 1)
"""Counts with which a detector says that it counted too many, or nothing at all: the largest numbers of a type."""
GAP_PX, LIT = 16, 0.3
"""Widest gap that is bridged, and fewest pixels of one; share of them that the probe must light."""


def look(raw: RawData) -> Iterator[Damage]:
    """Yield what is wrong with pixels of the detector."""
    total = np.zeros((raw.N, raw.N))
    for frame in raw.diff3d:
        total += np.square(raw.photon_scale * frame, dtype=np.float64)
    good = raw.good_pixels
    light = forward.probe_amplitude(raw.probe) ** 2
    light = np.maximum(light, FAINTEST * light.max())
    gap = gaps(total, light, good)
    yield from _named(gap, raw.N)
    seen = good & ~gap
    # What is hot makes its neighbours look dead, and the other way about: each is looked for without the other.
    dead = list(dead_pixels(total, light, _without(seen, hot_pixels(raw, total, light, seen))))
    yield from dead
    yield from hot_pixels(raw, total, light, _without(seen, dead))


def _without(seen: np.ndarray, damages: Iterable[Damage]) -> np.ndarray:
    """Return the pixels (N, N) bool that are seen and have no damage."""
    result = seen.copy()
    for damage in damages:
        result[tuple(damage.where.T)] = False
    return result


def overflowing(raw: RawData) -> Iterator[Damage]:
    """Say which pixels hold the largest number of a type in any frame, where nothing else comes near it.

    And which frames hold hardly anything else.
    """
    pixels = {code: np.zeros((raw.N, raw.N), bool) for code in CODES}
    frames: dict[int, list[int]] = {code: [] for code in CODES}
    full: list[int] = []
    largest = 0.0
    for row, frame in enumerate(raw.diff3d):
        counts = np.square(raw.photon_scale * frame, dtype=np.float64)
        coded = {code: np.abs(counts - code) < 1e-6 * code for code in CODES}
        ordinary = ~np.any(list(coded.values()), axis=0)
        largest = max(largest, float(counts.max(where=ordinary, initial=0)))
        if 2 * ordinary.sum() < ordinary.size:
            full.append(row)
            continue
        for code, there in coded.items():
            if there.any():
                pixels[code] |= there
                frames[code].append(row)
    if full:
        yield Damage(
            "overflowing frames",
            np.array(full),
            "the largest number of their type in most pixels",
            "the detector's code for no value",
        )
    # Near a ceiling other pixels come near it, too: that is saturation, and looked for elsewhere. Or it is a count like others.
    codes = [code for code in CODES if frames[code] and largest < code / 2]
    if codes:
        yield Damage(
            "overflowing pixels",
            np.argwhere(np.any([pixels[code] for code in codes], axis=0)),
            f"the largest number of their type in {max(len(frames[code]) for code in codes)} frames, where others hold at most "
            f"{largest:.6g} counts",
            "the detector's code for no value",
        )


def _neighbours(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the 8 neighbours (8, N, N) of every pixel in rising order; those not seen (N, N) bool are NaN, and last.

    A far field goes on beyond an edge where it begins at the other: what lies there is as dark.
    """
    padded = np.pad(np.where(seen, values, np.nan), 1, mode="wrap")
    N = len(values)
    parts = [
        padded[1 + dy : 1 + dy + N, 1 + dx : 1 + dx + N]
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
        if (dy, dx) != (0, 0)
    ]
    return np.sort(np.stack(parts), axis=0)


def upper(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the third largest of each pixel's neighbours (N, N), so that two hot ones side by side hide none.

    Beside a gap it is the largest, since bright ones may be missing; NaN of fewer than three.
    """
    ordered = _neighbours(values, seen)
    count = np.isfinite(ordered).sum(axis=0)
    at = np.clip(np.where(count == 8, 5, count - 1), 0, 7)
    result = np.take_along_axis(ordered, at[None], axis=0)[0]
    return np.where(count >= 3, result, np.nan)


def lower(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the third smallest of each pixel's neighbours (N, N), beside a gap the smallest; NaN of fewer than three."""
    ordered = _neighbours(values, seen)
    count = np.isfinite(ordered).sum(axis=0)
    return np.where(count >= 3, np.where(count == 8, ordered[2], ordered[0]), np.nan)


def hot_pixels(raw: RawData, total: np.ndarray, light: np.ndarray, seen: np.ndarray) -> Iterator[Damage]:
    """Say which pixels count far more than their neighbours, where the probe's far field does not.

    `total`, `light` and `seen` are (N, N): counts over all frames, the probe's far field, pixels that are looked at.
    """
    around = upper(total, seen)
    excess = total / np.maximum(around, 1.0)
    expected = light / upper(light, seen)
    differs = total - around > SIGNIFICANT * np.sqrt(total + around + 1)
    candidates = seen & differs & (excess > WARM)
    # A peak of the direct beam moves and changes with the object in the beam; what counts by itself does not.
    for y, x in np.argwhere(candidates & (expected > excess / EXPECTED)):
        counts = np.square(raw.photon_scale * raw.diff3d[:, y, x], dtype=np.float64)
        candidates[y, x] = counts.var() < STEADY * counts.mean() and raw.photon_scale > 0 and len(raw) > 1
    for limit, most, kind, sure in ((HOT, np.inf, "hot pixels", True), (WARM, HOT, "warm pixels", False)):
        chosen = candidates & (excess > limit) & (excess <= most)
        if chosen.any():
            yield Damage(
                kind,
                np.argwhere(chosen),
                f"up to {float(excess[chosen].max()):.3g} times the counts of their neighbours",
                "they count by themselves"
                if sure
                else "mask them with --mask FILE if they count by themselves",
                sure=sure,
            )


def dead_pixels(total: np.ndarray, light: np.ndarray, seen: np.ndarray) -> Iterator[Damage]:
    """Say which pixels count far less than their neighbours, where the probe's far field does not.

    `total`, `light` and `seen` are (N, N): counts over all frames, the probe's far field, pixels that are looked at.
    """
    around = lower(total, seen)
    share = total / np.maximum(around, 1.0)
    expected = light / lower(light, seen)
    differs = (around > LIGHT) & (around - total > SIGNIFICANT * np.sqrt(total + 1))
    candidates = seen & differs & (share < WEAK) & (expected > EXPECTED * share)
    for least, limit, kind, sure in ((-1.0, DEAD, "dead pixels", True), (DEAD, WEAK, "weak pixels", False)):
        chosen = candidates & (share > least) & (share <= limit)
        if chosen.any():
            yield Damage(
                kind,
                np.argwhere(chosen),
                f"at most {float(share[chosen].max()):.2g} of the counts of their neighbours",
                "they do not see the light"
                if sure
                else "mask them with --mask FILE if they see less than others",
                sure=sure,
            )


def gaps(total: np.ndarray, light: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Return the pixels (N, N) bool that never count although there is light on either side, in a row or a column.

    `total`, `light` and `good` are (N, N): counts over all frames, the probe's far field, pixels that are looked at.
    """
    dark = good & (total == 0)
    sides = [_between(*parts) for parts in ((total, light, dark, good), (total.T, light.T, dark.T, good.T))]
    between, expected = sides[0][0] | sides[1][0].T, sides[0][1] | sides[1][1].T
    # One that stands alone is a dead pixel; and where the probe sends no light there is none to miss.
    labels, count = ndimage.label(between, np.ones((3, 3)))
    sizes = np.bincount(labels.reshape(-1), minlength=count + 1)
    lit = np.bincount(labels.reshape(-1), expected.reshape(-1), minlength=count + 1)
    gap = between & ((sizes >= GAP_PX) & (lit >= LIT * sizes))[labels]
    # With few photons a whole line tells more than its pixels.
    lines = _lines(total, light, dark, good) | _lines(total.T, light.T, dark.T, good.T).T
    return np.asarray(gap | (dark & lines))


def _lines(total: np.ndarray, light: np.ndarray, dark: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Return the columns of the detector, as (1, N) bool, that are dark between columns with light."""
    some = np.asarray(good.any(axis=0))[None]
    whole = np.asarray((dark | ~good).all(axis=0))[None] & some
    sums = [np.where(good, values, 0.0).sum(axis=0)[None] for values in (total, light)]
    return np.asarray(_between(sums[0], sums[1], whole, some)[1])


def _between(
    total: np.ndarray, light: np.ndarray, dark: np.ndarray, good: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (n, N) bool in a dark stretch of a row with counts at both ends, and which of them the probe lights."""
    N = total.shape[1]
    column = np.arange(N)
    lit = good & ~dark
    left = np.maximum.accumulate(np.where(lit, column, -N), axis=1)
    right = np.minimum.accumulate(np.where(lit, column, 2 * N)[:, ::-1], axis=1)[:, ::-1]
    inside = (left >= 0) & (right < N) & (right - left <= GAP_PX + 1)
    a, b = np.clip(left, 0, N - 1), np.clip(right, 0, N - 1)
    ends = np.minimum(np.take_along_axis(total, a, 1), np.take_along_axis(total, b, 1))
    lights = np.minimum(np.take_along_axis(light, a, 1), np.take_along_axis(light, b, 1))
    between = np.asarray(dark & inside & (ends > LIGHT))
    return between, np.asarray(between & (light > lights / EXPECTED**2))


def _named(gap: np.ndarray, N: int) -> Iterator[Damage]:
    if gap.any():
        yield Damage(
            "gap pixels",
            np.argwhere(gap),
            "no counts in any frame, and light on either side",
            "a gap between modules, or a masked region, that the file holds as zeros",
        )
