"""Frames of a scan that do not belong to it: dark, flash, saturated, repeated, shifted ones.

Overlapping patches have similar patterns, so a frame is compared with those of its nearest neighbours in the scan, and the
difference with what is usual in that scan. docs/scan.md shows the distributions that the limits stand between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.spatial import cKDTree

from ptycho.physics import forward
from ptycho.scan.damage import Damage
from ptycho.scan.raw import RawData

FEWEST = 12
"""Patterns of a scan below which nothing is said: neighbours are then the whole scan."""
NEIGHBOURS = 8
BINS = 16
"""Side of the coarse pattern in which shapes are compared."""
UNUSUAL = 6.0
"""Robust standard deviations of a scan from which on a difference is unusual in it."""
DIM, DARK = 0.7, 0.25
"""Light over the least of the neighbours' below which a frame is doubtful, and dark."""
BRIGHT, FLASH = 1.45, 4.0
"""Light over the most of the neighbours' above which a frame is doubtful, and a flash."""
UNSTEADY = "look at the beam's intensity; divide by a monitor's reading, or take them out"
"""What to do with frames that are only doubtful."""
FOREIGN = 0.25
"""Part of a frame's coarse pattern that its neighbours' do not have, above which a bright frame is a flash."""
CEILING_PIXELS, CEILING_COUNTS, PILE = 8, 20, 3
"""A ceiling: at least so many pixels at the largest value, which is so many counts, and so many times those at one just below."""
MANY = 0.25
"""Share of the frames from which on saturation is of pixels, not of frames."""
VACUUM = 0.97
"""Cosine between a pattern and the probe's far field from which on it is one of vacuum."""
SHIFT_PX, SPREADS, STRAIGHTER = 0.7, 3.0, 0.6
"""Shift of a frame's centre, and how many times the spread of its neighbours', that is looked into; it is one where the
difference falls to this share once it is undone."""
FAR_PX, SAMPLE = 3, 64
"""Shift from which on no object does it, and frames that say what differences are usual."""


@dataclass(frozen=True)
class Frames:
    """What is compared of each frame.

    Attributes
    ----------
    light : (M,) float64
        Photons, see :func:`ptycho.scan.counting.in_photons`.
    coarse : (M, K) float32
        Roots of the counts in blocks of pixels.
    centre : (M, 2) float64
        [x, y], px, of the light.
    brightest : (M,) float32
        Largest amplitude.
    prints : (M,) of bytes
        Hashes of the frames.
    neighbours : (M, k) int64
        The nearest frames of each in the scan.
    """

    light: np.ndarray
    coarse: np.ndarray
    centre: np.ndarray
    brightest: np.ndarray
    prints: np.ndarray
    neighbours: np.ndarray


def look(raw: RawData) -> Iterator[Damage]:
    """Yield what is wrong with frames of a scan; of one that is too small to tell only what holds no light at all."""
    frames = measure(raw)
    if len(raw) < FEWEST:
        yield from dark_frames(frames, frames.light == 0, np.zeros(len(raw), bool))
        return
    dark, dim = low(frames)
    yield from dark_frames(frames, dark, dim)
    flash, bright = high(frames, dark)
    yield from flash_frames(frames, flash, bright)
    yield from repeated_frames(raw, frames, dark)
    yield from shifted_frames(raw, frames, dark | flash)
    yield from saturated_frames(raw, frames, flash)


def measure(raw: RawData) -> Frames:
    """Take what is compared from every frame of a scan."""
    count, N = len(raw), raw.N
    block = max(1, N // BINS)
    side = N // block
    light, brightest = np.empty(count), np.empty(count, np.float32)
    coarse, centre = np.empty((count, side**2), np.float32), np.empty((count, 2))
    prints = np.empty(count, "S16")
    axis = np.arange(N) - N // 2
    for row, frame in enumerate(raw.diff3d):
        counts = np.square(raw.photon_scale * frame, dtype=np.float64)
        light[row], brightest[row] = counts.sum(), frame.max()
        coarse[row] = np.sqrt(counts.reshape(side, block, side, block).sum(axis=(1, 3))).reshape(-1)
        total = max(float(light[row]), 1e-300)
        centre[row] = counts.sum(axis=0) @ axis / total, counts.sum(axis=1) @ axis / total
        # A byte 0 at the end of a hash would be cut off by numpy, from both of two equal frames alike.
        prints[row] = hashlib.blake2b(np.ascontiguousarray(frame).data, digest_size=16).digest()
    near = cKDTree(raw.positions).query(raw.positions, k=range(1, min(NEIGHBOURS + 1, count) + 1))[1]
    # A frame is not its own neighbour, wherever the tree puts it among others at its place.
    own = near == np.arange(count)[:, None]
    own[~own.any(axis=1), -1] = True
    return Frames(light, coarse, centre, brightest, prints, near[~own].reshape(count, -1))


def unusual(values: np.ndarray) -> np.ndarray:
    """Return by how many robust standard deviations values (M,) lie off their median, (M,) float64."""
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle))
    return np.asarray((values - middle) / max(float(spread), 1e-3))


def low(frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """Return which frames (M,) bool are dark, and which are dim."""
    usual = np.quantile(frames.light, 0.75)  # of a scan most of whose frames may be dark
    around = np.median(frames.light[frames.neighbours], axis=1)
    # Where a whole region is dark the neighbours are as well; no object takes all but a thousandth of the light away.
    first = (frames.light < DARK * around) | (frames.light < 1e-3 * usual)
    least = _extreme(np.where(first, np.inf, frames.light)[frames.neighbours].min(axis=1), usual)
    ratio = np.maximum(frames.light, 1e-300) / least
    far = unusual(np.log(np.maximum(ratio, 1e-6))) < -UNUSUAL
    few = frames.light + 6 * np.sqrt(frames.light + 1) < DIM * least  # photon noise makes no frame dim
    dark = (far & few & (ratio < DARK)) | (frames.light < 1e-3 * usual)
    return dark, far & few & (ratio < DIM) & ~dark


def high(frames: Frames, dark: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which frames (M,) bool are flashes, and which are only bright; `dark` (M,) bool are known."""
    usual = np.median(frames.light[~dark]) if not dark.all() else 1.0
    around = np.median(frames.light[frames.neighbours], axis=1)
    first = frames.light > 2 * np.maximum(around, usual)  # two flashes side by side must not hide each other
    most = _extreme(np.where(first | dark, -np.inf, frames.light)[frames.neighbours].max(axis=1), usual)
    ratio = frames.light / np.maximum(most, 1e-300)
    far = unusual(np.log(np.maximum(ratio, 1e-6))) > UNUSUAL
    far &= frames.light - 6 * np.sqrt(frames.light + 1) > most
    foreign = 1 - likeness(frames) > FOREIGN
    flash = ~dark & far & ((ratio > FLASH) | ((ratio > BRIGHT) & foreign))
    return flash, ~dark & far & (ratio > BRIGHT) & ~flash


def likeness(frames: Frames) -> np.ndarray:
    """Return the cosine (M,) between each coarse pattern and the median of its neighbours', 1 where they are alike."""
    result = np.empty(len(frames.light))
    for start in range(0, len(result), 1024):
        rows = slice(start, start + 1024)
        others = np.median(frames.coarse[frames.neighbours[rows]], axis=1)
        norms = np.linalg.norm(frames.coarse[rows], axis=1) * np.linalg.norm(others, axis=1)
        result[rows] = np.sum(frames.coarse[rows] * others, axis=1) / np.maximum(norms, 1e-30)
    return result


def _extreme(values: np.ndarray, usual: float) -> np.ndarray:
    """Replace what no ordinary neighbour told by what is usual in the scan."""
    return np.where(np.isfinite(values) & (values > 0), values, max(usual, 1e-300))


def dark_frames(frames: Frames, dark: np.ndarray, dim: np.ndarray) -> Iterator[Damage]:
    """Say which frames (M,) bool hold next to no light."""
    usual = max(float(np.median(frames.light)), 1e-300)
    if dark.any():
        worst = float(frames.light[dark].max()) / usual
        yield Damage(
            "dark frames",
            np.flatnonzero(dark),
            f"at most {worst:.2g} of the scan's usual light",
            "the shutter was closed, or the beam away",
        )
    if dim.any():
        yield Damage(
            "dim frames",
            np.flatnonzero(dim),
            f"less than {DIM:g} of the light of any neighbour",
            UNSTEADY,
            sure=False,
        )


def flash_frames(frames: Frames, flash: np.ndarray, bright: np.ndarray) -> Iterator[Damage]:
    """Say which frames (M,) bool hold far too much light."""
    usual = max(float(np.median(frames.light)), 1e-300)
    if flash.any():
        yield Damage(
            "flash frames",
            np.flatnonzero(flash),
            f"up to {float(frames.light[flash].max()) / usual:.3g} times the scan's usual light",
            "the detector or the beam went mad",
        )
    if bright.any():
        yield Damage(
            "bright frames",
            np.flatnonzero(bright),
            f"more than {BRIGHT:g} times the light of any neighbour",
            UNSTEADY,
            sure=False,
        )


def repeated_frames(raw: RawData, frames: Frames, dark: np.ndarray) -> Iterator[Damage]:
    """Say which frames repeat another one, bit for bit: nobody knows at which of the positions the pattern was taken.

    Frames that are `dark` (M,) bool are all alike, and so is vacuum in a simulation without noise.
    """
    _, which, times = np.unique(frames.prints, return_inverse=True, return_counts=True)
    repeats = (times[which] > 1) & ~dark
    for group in np.unique(which[repeats & (times[which] > 2)]):
        rows = np.flatnonzero(which == group)
        if _of_probe_alone(raw, int(rows[0])):
            repeats[rows] = False
    if repeats.any():
        yield Damage(
            "repeated frames",
            np.flatnonzero(repeats),
            "bit for bit the pattern of another position",
            "the detector was read twice, or missed a trigger",
        )


def _of_probe_alone(raw: RawData, row: int) -> bool:
    """Whether a pattern is the probe's own far field, wherever it lies, but for pixels that are off."""
    own = forward.probe_amplitude(raw.probe)
    frame = raw.diff3d[row].astype(np.float64)
    cross = fft.ifft2(fft.fft2(frame) * np.conj(fft.fft2(own))).real
    own = np.roll(own, np.unravel_index(np.argmax(cross), cross.shape), axis=(0, 1)) * (frame > 0)
    return bool(np.vdot(frame, own) > VACUUM * np.linalg.norm(frame) * np.linalg.norm(own))


def shifted_frames(raw: RawData, frames: Frames, known: np.ndarray) -> Iterator[Damage]:
    """Say which frames lie some pixels off on the detector; those that are `known` (M,) bool to be bad are left alone."""
    others = np.median(frames.centre[frames.neighbours], axis=1)
    off = np.abs(frames.centre - others).max(axis=1)
    # A strong phase deflects the beam, by more here and less there: that differs among the neighbours, too.
    spread = np.median(np.abs(frames.centre[frames.neighbours] - others[:, None]), axis=1).max(axis=1)
    looked_into = (off > SHIFT_PX + SPREADS * spread) & (unusual(off) > UNUSUAL / 2) & ~known
    if not looked_into.any():
        return
    ordinary = np.flatnonzero(~(known | looked_into))
    sample = ordinary[:: max(1, len(ordinary) // SAMPLE)]
    usual = np.quantile([difference(raw, row, frames.neighbours[row]) for row in sample], 0.95)
    shifts = {}
    for row in np.flatnonzero(looked_into).tolist():
        near = np.setdiff1d(frames.neighbours[row], np.flatnonzero(known | looked_into))
        shift = shift_of(raw, row, near, float(usual)) if len(near) >= 2 else (0, 0)
        if shift != (0, 0):
            shifts[row] = shift
    far = {row for row, shift in shifts.items() if max(map(abs, shift)) >= FAR_PX}
    for rows, kind, sure in ((far, "shifted frames", True), (set(shifts) - far, "moved frames", False)):
        if rows:
            x, y = shifts[min(rows)]
            yield Damage(
                kind,
                np.array(sorted(rows)),
                f"the first by ({x}, {y}) px against its neighbours",
                "the read-out lost lines or columns"
                if sure
                else "the read-out lost a line, or the object deflects the beam",
                sure=sure,
            )


def difference(raw: RawData, row: int, neighbours: np.ndarray) -> float:
    """Return how far a frame lies off the mean of its `neighbours` (k,), over its own norm."""
    frame = raw.diff3d[row].astype(np.float64)
    mean = raw.diff3d[neighbours].mean(axis=0, dtype=np.float64)
    return float(np.linalg.norm(frame - mean) / max(float(np.linalg.norm(frame)), 1e-300))


def shift_of(raw: RawData, row: int, neighbours: np.ndarray, usual: float) -> tuple[int, int]:
    """Return [x, y] px by which a frame lies off the mean of its `neighbours` (k,), (0, 0) where undoing it would not help.

    Nor where the frame differs from them by no more than is `usual` in the scan.
    """
    frame = raw.diff3d[row].astype(np.float64)
    mean = raw.diff3d[neighbours].mean(axis=0, dtype=np.float64)
    if difference(raw, row, neighbours) < usual:
        return 0, 0
    cross = fft.ifft2(fft.fft2(frame) * np.conj(fft.fft2(mean))).real
    y, x = (int(at) for at in np.unravel_index(np.argmax(cross), cross.shape))
    y, x = ((at + raw.N // 2) % raw.N - raw.N // 2 for at in (y, x))
    before = np.linalg.norm(frame - mean)
    back = np.roll(frame, (-y, -x), axis=(0, 1))
    seen = raw.good_pixels & np.roll(raw.good_pixels, (-y, -x), axis=(0, 1))
    after = np.linalg.norm((back - mean)[seen])
    return (x, y) if after < STRAIGHTER * before else (0, 0)


def saturated_frames(raw: RawData, frames: Frames, flash: np.ndarray) -> Iterator[Damage]:
    """Say where the largest value is a ceiling that many pixels share: in a few frames, or in the same pixels of most.

    Frames that are a `flash` (M,) bool do not count: theirs is another ceiling.
    """
    ordinary = np.flatnonzero(~flash)
    if not len(ordinary):
        return
    top = float(frames.brightest[ordinary].max())
    near = ordinary[frames.brightest[ordinary] > 0.9 * top]
    stack = raw.diff3d[near]
    at = stack >= top * (1 - 1e-6)
    below = int((stack > 0.9 * top).sum() - at.sum())
    distinct = int(at.any(axis=0).sum())
    counts = (raw.photon_scale * top) ** 2
    # Amplitudes from 0.9 of the largest on are counts from 0.81 of it on.
    usual = below / (0.19 * max(counts, 1.0))
    enough = at.sum() >= max(CEILING_PIXELS, PILE * usual) and distinct >= 2
    if not enough or counts < CEILING_COUNTS:
        return
    rows = near[at.any(axis=(1, 2))]
    evidence = f"{int(at.sum())} pixels share the largest value"
    remedy = "the detector's ceiling: expose for less time, or attenuate the beam"
    # Leaving them out makes the object worse than the cut values do (docs/scan.md), so they stay.
    if len(rows) <= MANY * len(raw):
        yield Damage("saturated frames", rows, evidence, remedy, sure=False)
    else:
        pixels = np.argwhere(at.any(axis=0))
        yield Damage("saturated pixels", pixels, f"{evidence}, in {len(rows)} frames", remedy, sure=False)
