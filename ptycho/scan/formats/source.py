"""What a file of a beamline holds, and the scan that is made of it: cut about the beam's centre, in pixels of the object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import fft, ndimage, spatial

from ptycho.base import machine
from ptycho.base.errors import DataContractError
from ptycho.scan import inspection
from ptycho.scan import optics as physical
from ptycho.scan.formats import detector, frames
from ptycho.scan.optics import Optics
from ptycho.scan.raw import RawData

SIDES = (32, 64, 128, 256)
"""Sides of a pattern that the program works with, px."""
LIGHT = 0.995
"""Share of the light that the pixels which are kept hold, where no side is asked for."""
NEAR = 0.15
"""Share of the pixels that are kept, by which the light may lie off the zero frequency that a file states."""
SAMPLE = 64
"""Patterns from which the beam's centre is found."""
CHUNK = 64
NOT_KNOWN = Optics()
FIRST_PROBE = "first_probe"
"""Under this name a scan's metadata say that its probe is a first one, made from the mean pattern."""


@dataclass(frozen=True)
class Source:
    """What a file holds, or several that belong together; patterns are read when they are asked for.

    Attributes
    ----------
    patterns : array-like (M, h, w), real; None where the file has none
        Counts (intensities), as the file has them: anything that can be sliced.
    positions : (K, 2) float64; None where the file has none
        Where the beam's centre is on the sample, [x, y] along the detector's columns and rows, m.
    pixels_of : int or None
        Where positions are no metres: they are pixels of the object as patterns of so many pixels have it.
    optics : Optics
    object_pixel_m : float or None
        Side of a pixel of the object as whole patterns have it, where the optics do not tell.
    bad : (h, w) bool or None
        Detector pixels that are not to be believed.
    centre : (int, int) or None
        Row and column of the zero frequency, where the file says it.
    probe : (P, N, N) complex64 or None
    amplitudes : bool
        The patterns are amplitudes, and no counts.
    pattern_indexes, position_indexes : (M,), (K,) int64 or None
        Numbers by which patterns and positions belong together, where the file has them.
    beside : tuple of Path
        Files in which what is missing here may lie.
    lines : tuple of str
        Where everything was taken from, and which signs were applied, for people.
    """

    patterns: Any = None
    positions: np.ndarray | None = None
    optics: Optics = NOT_KNOWN
    pixels_of: int | None = None
    object_pixel_m: float | None = None
    bad: np.ndarray | None = None
    centre: tuple[int, int] | None = None
    probe: np.ndarray | None = None
    amplitudes: bool = False
    pattern_indexes: np.ndarray | None = None
    position_indexes: np.ndarray | None = None
    beside: tuple[Path, ...] = ()
    lines: tuple[str, ...] = ()

    def with_places(self, other: Source) -> Source:
        """Return this with the positions of another, and with its optics and its probe where there are none here."""
        return replace(
            self,
            positions=other.positions,
            pixels_of=other.pixels_of,
            object_pixel_m=other.object_pixel_m if self.object_pixel_m is None else self.object_pixel_m,
            position_indexes=other.position_indexes,
            optics=self.optics.supplied(other.optics),
            probe=other.probe if self.probe is None else self.probe,
            lines=self.lines + other.lines,
        )


@dataclass(frozen=True)
class Window:
    """The part of a detector that is kept: N x N pixels about a centre (row, column); what lies outside is masked."""

    N: int
    centre: tuple[int, int]

    def cut(self, stack: np.ndarray, fill: float = 0) -> np.ndarray:
        """Return frames (..., h, w) cut to (..., N, N), with `fill` where the detector has no pixel."""
        rows, columns = (
            np.arange(middle - self.N // 2, middle - self.N // 2 + self.N) for middle in self.centre
        )
        h, w = stack.shape[-2:]
        inside = ((rows >= 0) & (rows < h))[:, None] & ((columns >= 0) & (columns < w))
        part = stack[..., rows.clip(0, h - 1)[:, None], columns.clip(0, w - 1)]
        return np.where(inside, part, np.asarray(fill, stack.dtype))


def scan_of(source: Source, supplied: Optics, N: int | None = None, most: int | None = None) -> RawData:
    """Return the scan of a source, with a first probe where it has none; see :func:`first_probe`.

    Parameters
    ----------
    source : Source
    supplied : Optics
        What a person says; it counts more than what the file says.
    N : int, optional
        Side of the patterns, px. By default that of the probe, or the smallest that holds 99.5 % of the light.
    most : int, optional
        Of a scan of more patterns, so many about its middle are read.

    Raises
    ------
    DataContractError
        Wavelength, distance or pixel are not known; or patterns, positions or probe are not of one scan.
    """
    patterns, positions, shape = source.patterns, source.positions, source.patterns.shape[1:]
    if positions is None or len(positions) != len(patterns):
        raise DataContractError(
            f"{len(patterns)} patterns but {0 if positions is None else len(positions)} positions; add --pair leading to take "
            "the first of both, or give those that belong together"
        )
    optics = supplied.supplied(source.optics)
    if source.object_pixel_m is not None and optics.window is None:
        optics = replace(optics, window_m=source.object_pixel_m * max(shape))
    if source.pixels_of is None and optics.missing:
        raise DataContractError(
            f"the file does not say how large a pixel of the object is; add {', '.join(optics.missing)}"
        )
    if not np.isfinite(positions).all():
        raise DataContractError("positions hold values that are no numbers; leave those patterns out")
    if source.bad is not None and source.bad.shape != shape:
        raise DataContractError(
            f"the mask is {source.bad.shape} and the frames are {shape}; give one of that detector"
        )
    mean, bad, lost = _light(source)
    if most is not None and len(patterns) > most:
        rows = middle(positions, most)
        lost += (f"the {most} patterns about the middle are taken of {len(patterns)}",)
        patterns, positions = frames.chosen(patterns, rows), positions[rows]
    mean = mean**2 if source.amplitudes else mean
    light = without_hot_pixels(mean)
    window = _stated(source, shape, window_of(light, N or _side_of_probe(source.probe)))
    read = detector.read(_cut(patterns, window), not source.amplitudes, window.cut(bad, True))
    pixel = source.pixels_of / window.N if source.pixels_of else float(optics.object_pixel_m(window.N) or 0)
    positions = positions / pixel
    positions = positions - positions.min(axis=0) + window.N // 2
    metadata: dict[str, Any] = {physical.KEY: optics.to_dict()} if optics.to_dict() else {}
    if source.probe is None:
        probe = first_probe(window.cut(mean), positions, 2.0)
        metadata[FIRST_PROBE] = True
    else:
        probe = in_window(source.probe, shape, window)
    lines = (*source.lines, *lost, *_taken(window, light, optics), *read.lines)
    return RawData(
        xcoords=positions[:, 0],
        ycoords=positions[:, 1],
        diff3d=read.amplitudes,
        probe=probe,
        metadata={**metadata, inspection.READ: list(lines)},
        bad_pixels=read.bad,
    )


def window_of(mean: np.ndarray, N: int | None = None) -> Window:
    """Return the part of a detector that is kept, by its mean pattern (h, w) of intensity.

    The centre is where the light's weight is, found again within the window until it stays. Raises DataContractError for a
    detector without light, or for a side that the program does not work with.
    """
    if N is not None and N not in SIDES:
        raise DataContractError(f"--pixels {N}: must be one of {', '.join(map(str, SIDES))}")
    total = float(mean.sum())
    if not total > 0:
        raise DataContractError("the patterns hold no light; give another file or mask")
    centre = _centre(mean)
    if N is not None:
        return Window(N, _settled(mean, Window(N, centre)))
    largest = next((side for side in SIDES if side >= max(mean.shape)), SIDES[-1])
    for side in (side for side in SIDES if side < largest):
        window = Window(side, _settled(mean, Window(side, centre)))
        if window.cut(mean).sum() >= LIGHT * total:
            return window
    return Window(largest, _settled(mean, Window(largest, centre)))


def without_hot_pixels(mean: np.ndarray) -> np.ndarray:
    """Return a mean pattern (h, w) in which single pixels do not stand out; as it is, where that leaves nothing."""
    smooth = ndimage.median_filter(mean, 3)
    return np.asarray(smooth if smooth.any() else mean)


def first_probe(mean: np.ndarray, positions: np.ndarray, spread: float) -> np.ndarray:
    """Return a probe (1, N, N) complex64 whose far field has the mean pattern's amplitude, and that is defocused.

    Parameters
    ----------
    mean : (N, N) float
        Of the intensities, zero frequency at [N/2, N/2].
    positions : (M, 2) float, px
    spread : float
        Radius of the light on the sample, in distances of neighbouring positions; less than 0: over the focus, not under it.

    A quadratic phase of pi c q^2 / N moves the light of the frequency q by c q px (stationary phase; Goodman, Introduction to
    Fourier Optics, 4th ed., section 5.1): c is what makes that radius of the mean pattern's.
    """
    N = mean.shape[-1]
    width, apart = _widths(mean, positions)
    far = np.sqrt(mean) * np.exp(1j * np.pi * spread * apart / width * _squared(N) / N)
    # The transform of the forward model (orthonormal), undone.
    probe = fft.fftshift(fft.ifft2(fft.ifftshift(far), norm="ortho"))
    return np.asarray(probe, np.complex64)[None]


def spread_of(defocus_m: float, mean: np.ndarray, positions: np.ndarray, optics: Optics) -> float:
    """Return the spread of :func:`first_probe` that a defocus makes, m; `mean` is (N, N), positions (M, 2).

    A wave that goes on by z has the phase pi wavelength z f^2 at the frequency f, which is q / window here (Goodman, section 3.10).
    """
    width, apart = _widths(mean, positions)
    wavelength, window = optics.wavelength_m or np.nan, optics.window or np.nan
    curvature = mean.shape[-1] * wavelength * defocus_m / window**2
    return float(curvature * width / max(apart, 1e-9))


def _squared(N: int) -> np.ndarray:
    q = np.arange(N) - N // 2
    return q[:, None] ** 2 + q[None, :] ** 2


def _widths(mean: np.ndarray, positions: np.ndarray) -> tuple[float, float]:
    """Return the radius of the mean pattern's light, at least 1 px, and the distance of neighbouring positions, px."""
    width = float(np.sqrt((mean * _squared(mean.shape[-1])).sum() / mean.sum()))
    near = spatial.cKDTree(positions).query(positions, k=2)[0][:, 1] if len(positions) > 1 else np.zeros(1)
    return max(width, 1.0), float(np.median(near))


def _stated(source: Source, shape: tuple[int, ...], window: Window) -> Window:
    """Return a window about the zero frequency that a file states, where its light lies about there.

    A probe for whole frames states the middle. What a file says is left aside where the light is far from it: many say nothing
    true.
    """
    centre, middle = source.centre, (shape[0] // 2, shape[1] // 2)
    if centre is None and source.probe is not None and source.probe.shape[1:] == tuple(shape):
        centre = middle
    if (
        centre is None
        or max(abs(a - b) for a, b in zip(centre, window.centre, strict=True)) > NEAR * window.N
    ):
        return window
    return Window(window.N, centre)


def _side_of_probe(probe: np.ndarray | None) -> int | None:
    """Return the side that a probe asks for: its own, where the program works with it."""
    side = None if probe is None else int(probe.shape[-1])
    return side if side in SIDES else None


def in_window(probe: np.ndarray, shape: tuple[int, ...], window: Window) -> np.ndarray:
    """Return a probe (P, side, side) as (P, N, N): for whole frames its far field is cut as they are.

    Raises DataContractError where it is neither for the frames nor for what is cut out of them.
    """
    side = probe.shape[-1]
    if (side, side) == tuple(shape):
        far = fft.fftshift(fft.fft2(probe, norm="ortho"), axes=(-2, -1))
        near = fft.ifft2(fft.ifftshift(window.cut(far), axes=(-2, -1)), norm="ortho")
        return probe if window == Window(side, (side // 2, side // 2)) else np.asarray(near, np.complex64)
    if side != window.N:
        raise DataContractError(
            f"the probe is {side} x {side}, for frames of {shape[0]} x {shape[1]} of which {window.N} x {window.N} are kept; "
            "give one for the frames, or leave the probe out"
        )
    return probe


def middle(positions: np.ndarray, most: int) -> np.ndarray:
    """Return the rows (K,) of those that lie nearest to the middle of all positions (M, 2), in their order."""
    away = np.hypot(*(positions - np.median(positions, axis=0)).T)
    return np.sort(np.argsort(away, kind="stable")[:most])


def _light(source: Source) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return the mean (h, w) of patterns of the whole scan, the pixels (h, w) bool without a value, and what is to be said of them.

    One whole frame is in memory at a time. In counts without a sign the largest number that there is, in every frame, stands for
    no value (Dectris detectors).
    """
    patterns = source.patterns
    rows = np.unique(np.linspace(0, len(patterns) - 1, min(SAMPLE, len(patterns))).astype(int))
    total, lost = np.zeros(patterns.shape[1:]), np.ones(patterns.shape[1:], bool)
    most = np.iinfo(patterns.dtype).max if patterns.dtype.kind == "u" else np.inf
    for row in rows:
        frame = np.asarray(patterns[int(row)]).astype(np.float64)
        total += np.where(frame < most, np.maximum(frame, 0), 0)
        lost &= frame == most
    lost &= patterns.dtype.kind == "u"
    bad = lost if source.bad is None else lost | source.bad
    line = f"{int(lost.sum())} pixels hold {most}, which stands for no value, and are masked"
    return np.where(bad, 0.0, total / len(rows)), bad, (line,) if lost.any() else ()


def _cut(patterns: Any, window: Window) -> np.ndarray:
    """Return all patterns, cut: (M, N, N); never more than a part of the whole frames in memory."""
    machine.check_memory(
        8.0 * len(patterns) * window.N**2, "the patterns", "take a part of the scan", DataContractError
    )
    starts = range(0, len(patterns), CHUNK)
    return np.concatenate([window.cut(np.asarray(patterns[start : start + CHUNK])) for start in starts])


def _centre(mean: np.ndarray) -> tuple[int, int]:
    """Return the pixel (row, column) of the light's weight."""
    total = mean.sum()
    row = (mean.sum(axis=1) * np.arange(mean.shape[0])).sum() / total
    column = (mean.sum(axis=0) * np.arange(mean.shape[1])).sum() / total
    return round(float(row)), round(float(column))


def _settled(mean: np.ndarray, window: Window) -> tuple[int, int]:
    """Return the light's weight within a window that is centred on it."""
    for _ in range(10):
        part = window.cut(mean)
        if not part.sum() > 0:
            break
        moved = tuple(
            middle + place - window.N // 2 for middle, place in zip(window.centre, _centre(part), strict=True)
        )
        if moved == window.centre:
            break
        window = Window(window.N, moved)  # type: ignore[arg-type]
    return window.centre


def _taken(window: Window, mean: np.ndarray, optics: Optics) -> tuple[str, ...]:
    """Say what was cut, and how large a pixel is."""
    h, w = mean.shape
    row, column = window.centre
    share = float(window.cut(mean).sum() / mean.sum())
    cut = f"{window.N} x {window.N} of {h} x {w} detector pixels about row {row}, column {column} ({share:.1%} of the light)"
    known = ", ".join(f"{name} {value}" for name, value in physical.lines(optics, window.N))
    return (cut, known) if known else (cut,)
