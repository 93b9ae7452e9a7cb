"""Checks a user's scan before any work: shapes, values, positions.

Each message names the array, what it holds, what is expected and the remedy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptycho.base import machine
from ptycho.base.errors import DataContractError
from ptycho.physics import coords
from ptycho.settings.config import SUPPORTED_N

if TYPE_CHECKING:
    from ptycho.scan.raw import RawData

CANVAS_BYTES = 60
"""Memory that stitching and evaluation take for each pixel of the canvas: sums, coverage, comparisons."""
FARTHEST = 1e8
"""Largest coordinate, px, whose double has room for a millionth of a pixel in sums of several."""
MOST_AMPLITUDE = 1e15
"""Largest square root of a count that single precision can still square and sum; its inverse is the smallest."""


def check_scan(raw: RawData) -> None:
    """Raise DataContractError where a scan cannot be worked with."""
    check_shapes(raw)
    check_values(raw)
    check_positions(raw)


def whole_numbers(index: np.ndarray) -> np.ndarray:
    """Return a scan index as int64; raise DataContractError where it holds anything else.

    The index is (M,).
    """
    if index.dtype.kind in "iub":
        return index.astype(np.int64)
    whole = np.isfinite(index) & (np.abs(index) < 2**53) & (index == np.floor(index))
    if not whole.all():
        row = int(np.argmin(whole))
        raise DataContractError(f"scan_index must hold whole numbers; row {row} is {index[row]!r}")
    return index.astype(np.int64)


def check_shapes(raw: RawData) -> None:
    """Raise DataContractError where arrays are not of one scan: as many positions as patterns, all N x N."""
    if raw.xcoords.ndim != 1:
        raise DataContractError(f"xcoords must have shape (M,); got {raw.xcoords.shape}")
    count = len(raw.xcoords)
    if count == 0:
        raise DataContractError("xcoords is empty: a scan needs at least one position")
    if raw.diff3d.ndim != 3 or raw.diff3d.shape[1] != raw.diff3d.shape[2]:
        raise DataContractError(f"diff3d must have shape (M, N, N); got {raw.diff3d.shape}")
    for name in ("ycoords", "diff3d", "scan_index", "xcoords_start", "ycoords_start"):
        array = getattr(raw, name)
        if array.shape[:1] != (count,) or (name != "diff3d" and array.ndim != 1):
            raise DataContractError(f"{name} has shape {array.shape} but xcoords has {count} entries")
    if raw.N not in SUPPORTED_N:
        raise DataContractError(
            f"diff3d holds patterns of {raw.N} x {raw.N}; N must be one of "
            f"{', '.join(map(str, SUPPORTED_N))}: crop or pad the patterns"
        )
    if raw.probe.ndim != 3 or raw.probe.shape[1:] != raw.diff3d.shape[1:]:
        raise DataContractError(
            f"probeGuess must have shape ({raw.N}, {raw.N}) or (modes, {raw.N}, {raw.N}); got {raw.probe.shape}"
        )
    if raw.bad_pixels is not None and raw.bad_pixels.shape != raw.diff3d.shape[1:]:
        raise DataContractError(
            f"bad_pixels must have shape ({raw.N}, {raw.N}), that of a pattern; got {raw.bad_pixels.shape}"
        )
    if raw.bad_pixels is not None and raw.bad_pixels.all():
        raise DataContractError("bad_pixels leaves no pixel; 1 is a bad one, 0 a good one")
    if raw.object_guess is not None and raw.object_guess.ndim != 2:
        raise DataContractError(f"objectGuess must have shape (H, W); got {raw.object_guess.shape}")


def check_values(raw: RawData) -> None:
    """Raise DataContractError where a value is no number, or none that a pattern or a probe can have."""
    for name in ("xcoords", "ycoords", "diff3d", "probe", "xcoords_start", "ycoords_start", "object_guess"):
        array = getattr(raw, name)
        if array is None:
            continue
        # A sum is not finite as soon as one element is not, and needs no temporary of the array's size.
        with np.errstate(invalid="ignore", over="ignore"):
            total = array.sum(dtype=np.result_type(array, np.float64))
        if not np.isfinite(total):
            bad = int(np.size(array) - np.isfinite(array).sum())
            raise DataContractError(f"{name} has {bad} values that are NaN or infinite; remove or mask them")
    lowest = raw.diff3d.min()
    if lowest < 0:
        raise DataContractError(f"diff3d must hold amplitudes >= 0; found {lowest:.6g}")
    if not raw.diff3d.any():
        where = "everywhere" if raw.bad_pixels is None else "in all pixels that bad_pixels leaves"
        raise DataContractError(f"diff3d is zero {where}: there is nothing to reconstruct")
    if not raw.probe.any():
        raise DataContractError("probeGuess is zero everywhere: give the illumination of the scan")
    if not (np.isfinite(raw.photon_scale) and raw.photon_scale > 0):
        raise DataContractError(f"photon_scale must be finite and > 0; got {raw.photon_scale!r}")
    brightest = raw.photon_scale * float(raw.diff3d.max())
    if not 1 / MOST_AMPLITUDE < brightest < MOST_AMPLITUDE:
        raise DataContractError(
            f"photon_scale = {raw.photon_scale:.6g} makes {brightest:.3g} the square root of the brightest pixel's counts; "
            f"it must lie between {1 / MOST_AMPLITUDE:g} and {MOST_AMPLITUDE:g}"
        )


def check_positions(raw: RawData) -> None:
    """Positions must be pixels, and must lie in the object where one is given.

    Raises DataContractError where they are not.
    """
    reach = np.ptp(raw.positions, axis=0).max()
    if len(raw) > 1 and reach == 0:
        raise DataContractError(
            f"all {len(raw)} positions are ({raw.xcoords[0]:.6g}, {raw.ycoords[0]:.6g}): patterns of one place do not "
            "overlap with others; give the scan's positions"
        )
    if len(raw) > 1 and reach < 1:
        raise DataContractError(
            f"positions span only {reach:.3g} px: xcoords and ycoords look like metres; "
            "divide them by the object pixel size"
        )
    check_canvas(raw)
    farthest = int(np.argmax(np.abs(raw.positions).max(axis=1)))
    if np.abs(raw.positions[farthest]).max() > FARTHEST:
        raise DataContractError(
            f"position (x, y) = ({raw.xcoords[farthest]:.6g}, {raw.ycoords[farthest]:.6g}) in row {farthest} is more than "
            f"{FARTHEST:g} px from the origin, too far for fractions of a pixel; subtract an offset from all positions"
        )
    if raw.object_guess is not None:
        inside = coords.inside_object(raw.positions, raw.object_guess.shape)
        if not inside.all():
            row = int(np.argmin(inside))
            height, width = raw.object_guess.shape
            raise DataContractError(
                f"{int((~inside).sum())} of {len(raw)} positions lie outside of the {height} x {width} object, "
                f"first (x, y) = ({raw.xcoords[row]:.6g}, {raw.ycoords[row]:.6g}); "
                "positions are patch centres in pixels of objectGuess"
            )


def check_canvas(raw: RawData) -> None:
    """Raise DataContractError where the canvas of the positions exceeds the memory; the message names the farthest position."""
    width, height = (float(span) + raw.N for span in np.ptp(raw.positions, axis=0))
    row = int(np.argmax(np.abs(raw.positions - np.median(raw.positions, axis=0)).max(axis=1)))
    machine.check_memory(
        width * height * CANVAS_BYTES,
        f"a canvas of {height:.4g} x {width:.4g} px for positions up to (x, y) = ({raw.xcoords[row]:.6g}, "
        f"{raw.ycoords[row]:.6g}) in row {row}",
        "take that pattern out, or give positions in object pixels",
        DataContractError,
    )
