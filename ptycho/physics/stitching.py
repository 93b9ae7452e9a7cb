"""Predicted patches -> one object on a canvas that is sized from the positions.

Patches are read and added one chunk at a time, so that memory stays bounded by the canvas and one chunk
whatever the number of patches. Placement is bilinear. Each patch brings its own
weights (its illumination): the object is ``sum w O / sum w``, numerator and denominator over the same
support, and zero where nothing was placed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import fft

from ptycho.base.errors import CanvasError
from ptycho.physics import coords

CHUNK = 256
"""Patches placed at once; bounds the memory, not the result."""
BLOCK = 16
"""Patches prepared at once: as many as stay in a processor's cache."""
DARK = 1e-9
"""Coverage below this, in peaks of the probe, is the rounding of an FFT."""
FIT_TOLERANCE = 1e-6
"""Share of the placed weight that may be missing through rounding."""


@dataclass(frozen=True)
class PatchChunk:
    """Some predicted patches.

    Attributes
    ----------
    patches : (b, M, M) complex64
        Object, in the units of the scan's object.
    weights : (b, M, M) float32
        How much each pixel is to count, >= 0.
    positions : (b, 2) float64
        [x, y] of the patches' centres, object px.
    """

    patches: np.ndarray
    weights: np.ndarray
    positions: np.ndarray

    def __post_init__(self) -> None:
        if self.patches.ndim != 3 or self.patches.shape[1] != self.patches.shape[2]:
            raise CanvasError(f"patches must have shape (b, M, M); got {self.patches.shape}")
        if self.weights.shape != self.patches.shape:
            raise CanvasError(f"weights {self.weights.shape} do not match patches {self.patches.shape}")
        if self.positions.shape != (len(self.patches), 2):
            raise CanvasError(
                f"{len(self.patches)} patches need positions ({len(self.patches)}, 2); got {self.positions.shape}"
            )


@dataclass(frozen=True)
class Prediction:
    """All predicted patches of a scan, in memory or on disk: anything that slices like an array.

    Attributes
    ----------
    patches : (B, M, M) complex64
        Object, in the units of the scan's object.
    weights : (B, M, M) float32
        How much each pixel is to count, >= 0.
    positions : (B, 2) float64
        Centres [x, y], object px.
    residual, energy : (B,) float64
        Sum over each group's patterns of (A_pred - A)^2 and of A^2, where the predictor knows them.
    """

    patches: np.ndarray
    weights: np.ndarray
    positions: np.ndarray
    residual: np.ndarray
    energy: np.ndarray

    def __post_init__(self) -> None:
        for name in ("weights", "positions", "residual", "energy"):
            result = len(getattr(self, name))
            if result != len(self.patches):
                raise CanvasError(f"{len(self.patches)} patches need as many {name}; got {result}")

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def size(self) -> int:
        """Side M of the patches, px."""
        return int(self.patches.shape[-1])

    def chunks(self, count: int = CHUNK) -> Iterator[PatchChunk]:
        """Yield the patches `count` at a time, the last chunk partial."""
        for start in range(0, len(self.patches), count):
            rows = slice(start, start + count)
            yield PatchChunk(self.patches[rows], self.weights[rows], self.positions[rows])


@dataclass(frozen=True)
class Reconstruction:
    """A stitched object with its frame and its coverage.

    Attributes
    ----------
    object : (H, W) complex64
        In the units of the scan's object; 0 where nothing was placed.
    coverage : (H, W) float32
        Summed illumination of the scan positions, in units of one probe's peak intensity.
    origin_xy : (int, int)
        Object-frame pixel coordinates of ``object[0, 0]``.
    kept_fraction : float
        Share of the patches' weight that reached the canvas.
    n_patches : int
    n_outside : int
        Patches that did not lie on the canvas whole.
    n_nonfinite : int
        Patches that held a NaN or an infinity.
    network_error : float
        sum (A_pred - A)^2 / sum A^2 of the network's patches, before stitching; NaN where it is not known.
    prediction_scale : float
        Factor of the diagnostic rescaling; 1 unless one was asked for.
    made_from : mapping of str to str
        Digests of the scan's patterns and positions and of the model; empty where they are not known.
    pixel_m : float or None
        Side of a pixel of the object, m; None where it is not known.
    """

    object: np.ndarray
    coverage: np.ndarray
    origin_xy: tuple[int, int]
    kept_fraction: float
    n_patches: int
    n_outside: int = 0
    n_nonfinite: int = 0
    network_error: float = math.nan
    prediction_scale: float = 1.0
    made_from: Mapping[str, str] = field(default_factory=dict)
    pixel_m: float | None = None

    @property
    def fits_canvas(self) -> bool:
        """Whether every patch was placed whole."""
        return self.n_outside == 0 and abs(self.kept_fraction - 1) <= FIT_TOLERANCE

    def to_canvas(self, positions: np.ndarray) -> np.ndarray:
        """Turn object-frame positions (M, 2) [x, y] into positions on this canvas."""
        return np.asarray(np.asarray(positions, float) - np.asarray(self.origin_xy, float))


class Canvas:
    """Accumulates weighted patches; `shape` (H, W) px, `origin_xy` the object-frame place of its [0, 0]."""

    def __init__(self, origin_xy: tuple[int, int], shape: tuple[int, int]) -> None:
        self.origin_xy = origin_xy
        self.shape = shape
        # Planes of sum w Re v, sum w Im v and sum w. One row and column more: a bilinear placement touches one
        # pixel beyond the patch, with weight 0 for whole-pixel positions.
        self._sums = np.zeros((3, shape[0] + 1, shape[1] + 1))
        self.offered = 0.0
        self.outside = 0

    def add(self, values: np.ndarray, weights: np.ndarray, positions: np.ndarray) -> None:
        """Add patches (b, M, M) with weights (b, M, M) centred at positions (b, 2) [x, y], object frame.

        What leaves the canvas is lost: `outside` counts such patches and `kept_fraction` the weight.
        """
        size = weights.shape[-1]
        top_left = np.asarray(positions, float) - size // 2 - np.asarray(self.origin_xy)
        reach = np.ceil(top_left).astype(int) + size
        whole = (np.floor(top_left) >= 0) & (reach <= np.array(self.shape)[::-1])
        self.outside += int((~whole).any(axis=1).sum())
        self.offered += float(weights.sum(dtype=np.float64))
        for start in range(0, len(weights), BLOCK):
            some = slice(start, start + BLOCK)
            self._add_block(values[some], weights[some], top_left[some])

    def _add_block(self, values: np.ndarray, weights: np.ndarray, top_left: np.ndarray) -> None:
        with np.errstate(invalid="ignore"):  # a patch that is not finite is counted by the caller
            windows = np.stack([values.real * weights, values.imag * weights, weights], axis=1)
            corners = top_left.astype(int)
            if (corners != top_left).any():  # predicted patches lie on whole pixels
                windows, corners = coords.spread_windows(windows, top_left)
        side = windows.shape[-1]
        _, height, width = self._sums.shape
        for (x, y), window in zip(corners.tolist(), windows, strict=True):
            rows = slice(max(0, -y), max(0, min(side, height - y)))
            columns = slice(max(0, -x), max(0, min(side, width - x)))
            if rows.start < rows.stop and columns.start < columns.stop:
                here = self._sums[:, rows.start + y : rows.stop + y, columns.start + x : columns.stop + x]
                here += window[:, rows, columns]

    def merged(self) -> np.ndarray:
        """Return ``sum w v / sum w`` (H, W) complex128, 0 where no weight lies."""
        real, imaginary, total = self._sums[:, : self.shape[0], : self.shape[1]]
        values = real + 1j * imaginary
        with np.errstate(invalid="ignore"):  # as in _add_block
            return np.asarray(np.divide(values, total, out=np.zeros_like(values), where=total > 0))

    @property
    def weight(self) -> np.ndarray:
        """Summed weights (H, W)."""
        return self._sums[2, : self.shape[0], : self.shape[1]]

    @property
    def kept_fraction(self) -> float:
        """Share of the offered weight that lies on the canvas."""
        return float(self.weight.sum()) / self.offered if self.offered > 0 else 1.0


def stitch(
    prediction: Prediction,
    scan_positions: np.ndarray,
    probe: np.ndarray,
    progress: Callable[[int], None] | None = None,
    chunk: int = CHUNK,
) -> Reconstruction:
    """Stitch predicted patches.

    Parameters
    ----------
    prediction : Prediction
    scan_positions : (M, 2) float
        Positions [x, y] of the patterns that were used, for the coverage.
    probe : (P, N, N) complex
    progress : callable, optional
        Called with the number of patches of each chunk.
    chunk : int
        Patches placed at once; bounds the memory, not the result.
    """
    every = np.concatenate(
        [
            _padded_extent(prediction.positions, prediction.size),
            _padded_extent(scan_positions, probe.shape[-1]),
        ]
    )
    origin, shape = coords.canvas_frame(every, 2)
    canvas = Canvas(origin, shape)
    placed = nonfinite = 0
    for some in prediction.chunks(chunk):
        bad = ~np.isfinite(some.patches).all(axis=(1, 2))
        nonfinite += int(bad.sum())
        canvas.add(some.patches, some.weights, some.positions)
        placed += len(some.patches)
        if progress is not None:
            progress(len(some.patches))
    kept, energy = canvas.kept_fraction, float(prediction.energy.sum())
    return Reconstruction(
        object=canvas.merged().astype(np.complex64),
        coverage=coverage_map(scan_positions, probe, origin, shape),
        origin_xy=origin,
        kept_fraction=kept,
        n_patches=placed,
        n_outside=canvas.outside,
        n_nonfinite=nonfinite,
        network_error=float(prediction.residual.sum()) / energy if energy > 0 else math.nan,
    )


def coverage_map(
    scan_positions: np.ndarray, probe: np.ndarray, origin_xy: tuple[int, int], shape: tuple[int, int]
) -> np.ndarray:
    """Return ``sum_j sum_p |P_p(r - r_j)|^2 / peak`` (H, W) float32: how often each pixel was fully lit.

    The positions as points, each shared between four pixels, convolved with the illumination: one FFT of the canvas, however
    many positions there are.
    """
    lit = illumination(probe).astype(np.float64)
    size, (height, width) = len(lit), shape
    # Footprints that reach onto the canvas begin up to `size` px before it.
    begin = np.asarray(scan_positions, float) - size // 2 - np.asarray(origin_xy) + size
    shares, corners = coords.spread_windows(np.ones((len(begin), 1, 1)), begin)
    points = np.zeros((height + size, width + size))
    for step_y in (0, 1):
        for step_x in (0, 1):
            x, y = corners[:, 0] + step_x, corners[:, 1] + step_y
            some = (x >= 0) & (y >= 0) & (x < points.shape[1]) & (y < points.shape[0])
            np.add.at(points, (y[some], x[some]), shares[some, step_y, step_x])
    # What wraps around ends up in the `size` rows and columns before the canvas.
    sides = [fft.next_fast_len(side, real=True) for side in points.shape]
    spectrum = fft.rfft2(points, sides, workers=-1) * fft.rfft2(lit, sides, workers=-1)
    lit_there = fft.irfft2(spectrum, sides, workers=-1)[size : size + height, size : size + width]
    return np.where(lit_there > DARK, lit_there, 0).astype(np.float32)


def illumination(probe: np.ndarray) -> np.ndarray:
    """Return ``sum_p |P_p|^2 / max`` (N, N) float32."""
    intensity = np.sum(np.abs(probe) ** 2, axis=0)
    return np.asarray((intensity / intensity.max()).astype(np.float32))


def from_arrays(patches: np.ndarray, weights: np.ndarray, positions: np.ndarray) -> Prediction:
    """Wrap patches whose patterns are not known as a :class:`Prediction`.

    `patches` (B, M, M) complex64, `weights` (B, M, M) float32, `positions` (B, 2) [x, y] px.
    """
    unknown = np.zeros(len(patches))
    return Prediction(patches, weights, np.asarray(positions, float), unknown, unknown)


def _padded_extent(positions: np.ndarray, size: int) -> np.ndarray:
    """Return two points whose 2-px patches span the patches of side `size` at all `positions`."""
    before, after = size // 2 - 1, size - size // 2 - 1
    return np.array([positions.min(axis=0) - before, positions.max(axis=0) + after])


def in_frame(obj: np.ndarray, reconstruction: Reconstruction) -> np.ndarray:
    """Return what a reconstruction's canvas (h, w) shows of an object (H, W): complex64, NaN beyond the object's edge."""
    x, y = reconstruction.origin_xy
    height, width = reconstruction.object.shape
    placed = np.full((height, width), np.nan, np.complex64)
    top, left = max(0, y), max(0, x)
    bottom, right = min(obj.shape[0], y + height), min(obj.shape[1], x + width)
    placed[top - y : bottom - y, left - x : right - x] = obj[top:bottom, left:right]
    return placed
