"""A scan with other patterns: a smaller part of the detector, or its pixels together. Positions and probe go along."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ptycho.base.errors import DataContractError
from ptycho.scan import optics as physical
from ptycho.scan.formats import source
from ptycho.scan.formats.source import SIDES, Window
from ptycho.scan.raw import RawData


def cropped(raw: RawData, side: int) -> RawData:
    """Return a scan with the middle `side` x `side` pixels of its patterns: pixels of the object become larger, by N / side.

    The probe's far field is cut alike, and positions count the larger pixels; a truth, which does not, is left out. Raises
    DataContractError for a side that is not smaller, or that the program does not work with.
    """
    if side not in SIDES or side >= raw.N:
        possible = ", ".join(str(each) for each in SIDES if each < raw.N) or "none"
        raise DataContractError(
            f"--crop {side}: must be a side below {raw.N} px that the program works with ({possible})"
        )
    window = Window(side, (raw.N // 2, raw.N // 2))
    smaller = side / raw.N
    return replace(
        raw,
        xcoords=raw.xcoords * smaller,
        ycoords=raw.ycoords * smaller,
        xcoords_start=raw.xcoords_start * smaller,
        ycoords_start=raw.ycoords_start * smaller,
        diff3d=window.cut(raw.diff3d),
        probe=source.in_window(raw.probe, (raw.N, raw.N), window),
        bad_pixels=None if raw.bad_pixels is None else window.cut(raw.bad_pixels, True),
        object_guess=None,
    )


def binned(raw: RawData, factor: int) -> RawData:
    """Return a scan whose detector pixels are `factor` x `factor` of the given ones, their counts together.

    A pattern tells a narrower part of the object then, of the same pixels: what of the probe lies outside is cut off. Raises
    DataContractError where the side that comes out is none that the program works with.
    """
    side = raw.N // max(factor, 1)
    if factor < 2 or side * factor != raw.N or side not in SIDES:
        raise DataContractError(
            f"--bin {factor}: must leave a side of {', '.join(map(str, SIDES))} px of {raw.N}"
        )
    blocks = np.square(raw.diff3d, dtype=np.float64).reshape(len(raw), side, factor, side, factor)
    first = (raw.N - side) // 2
    middle = slice(first, first + side)
    bad = raw.bad_pixels
    known = physical.of_metadata(raw.metadata)
    optics = replace(
        known,
        detector_pixel_m=None if known.detector_pixel_m is None else known.detector_pixel_m * factor,
        window_m=None if known.window_m is None else known.window_m / factor,
    )
    return replace(
        raw,
        diff3d=np.sqrt(blocks.sum(axis=(2, 4))),
        probe=raw.probe[:, middle, middle],
        bad_pixels=None
        if bad is None
        else np.asarray(bad.reshape(side, factor, side, factor).any(axis=(1, 3))),
        metadata={**raw.metadata, physical.KEY: optics.to_dict()} if optics.to_dict() else raw.metadata,
    )
