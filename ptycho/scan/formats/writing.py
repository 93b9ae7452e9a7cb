"""A scan, or a result, as a file of another format: which one is told by the file's name."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from ptycho.base import atomic
from ptycho.base.errors import ConfigError, DataContractError
from ptycho.scan import optics as physical
from ptycho.scan.formats import cxi, npz, ptychodus
from ptycho.scan.formats.product import Product
from ptycho.scan.raw import RawData

Kind = Literal["npz", "cxi", "ptychodus", "tiff"]
KINDS: Mapping[str, Kind] = {
    ".npz": "npz",
    ".cxi": "cxi",
    ".h5": "ptychodus",
    ".hdf5": "ptychodus",
    ".tif": "tiff",
    ".tiff": "tiff",
}
NEARLY = 0.01
"""How far counts may be from whole numbers that are written as such."""


def kind_of(path: Path) -> Kind:
    """Return the format that a file's name asks for; raise ConfigError for a name that asks for none."""
    if path.suffix.lower() not in KINDS:
        raise ConfigError(f"{path}: expected a name that ends with one of {', '.join(KINDS)}")
    return KINDS[path.suffix.lower()]


def files_of_scan(path: Path) -> tuple[Path, ...]:
    """Return the files that a scan is written to; raise ConfigError for a format that holds no scans."""
    kind = kind_of(path)
    if kind == "tiff":
        raise ConfigError(
            f"{path}: TIFF holds no scan; give a result, or another format ({', '.join(KINDS)})"
        )
    if kind != "ptychodus":
        return (path,)
    product = path.with_name(ptychodus.BESIDE[0])
    if product == path:
        raise ConfigError(
            f"{path}: is the name of the product beside the patterns; give the patterns another one"
        )
    return path, product


def scan(path: Path, raw: RawData) -> tuple[str, ...]:
    """Write a scan, and return what the format does not hold of it, for people.

    Raises ConfigError for a format that holds no scans, DataContractError where it wants metres that are not known.
    """
    kind = kind_of(path)
    files = files_of_scan(path)
    if kind == "npz":
        npz.write_npz(path, raw)
        return ()
    optics = physical.of_metadata(raw.metadata)
    missing = replace(optics, window_m=None).missing  # a window alone is not enough for a file in metres
    if missing:
        raise DataContractError(f"{path}: this format is in metres; add {', '.join(missing)}")
    counts = counts_of(raw)
    if kind == "cxi":
        cxi.write(path, counts, raw, optics)
    else:
        ptychodus.write_patterns(path, counts, raw, optics)
        ptychodus.write_product(files[1], _unsolved(raw, optics))
    lost = [name for name, there in _beyond(raw).items() if there]
    return (f"the format does not hold {', '.join(lost)}",) if lost else ()


def result(path: Path, product: Product) -> None:
    """Write a result as a product of ptychodus, as CXI laid out like one, or as TIFF.

    Raises ConfigError for a format that holds no results.
    """
    kind = kind_of(path)
    if kind == "tiff":
        tiff(path, product.object, product.pixel_m or None)
    elif kind == "cxi":
        cxi.write_product(path, product)
    elif kind == "ptychodus":
        ptychodus.write_product(path, product)
    else:
        raise ConfigError(f"{path}: a result is an NPZ already; give another format")


def tiff(path: Path, obj: np.ndarray, pixel_m: float | None) -> None:
    """Write amplitude and phase of an object (H, W) as two pages of float32, the size of a pixel where programs look for it."""
    import tifffile

    micrometres = None if pixel_m is None else 1e6 * pixel_m
    pages = np.stack([np.abs(obj), np.angle(obj)]).astype(np.float32)
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        pages,
        imagej=True,
        resolution=None if micrometres is None else (1 / micrometres, 1 / micrometres),
        metadata={
            "axes": "CYX",
            "unit": "pixel" if micrometres is None else "um",
            "Labels": ["amplitude", "phase (rad)"],
        },
    )
    with atomic.replacing(path) as stream:
        stream.write(buffer.getbuffer())


def counts_of(raw: RawData) -> np.ndarray:
    """Return the counts (M, N, N) of a scan: uint32 where they are whole numbers, else float32."""
    counts = np.square(raw.photon_scale * raw.diff3d, dtype=np.float64)
    whole = np.round(counts)
    if np.abs(counts - whole).max() < NEARLY and whole.max() < 2**32 - 1:
        return np.asarray(whole, np.uint32)
    return np.asarray(counts, np.float32)


def _beyond(raw: RawData) -> dict[str, bool]:
    """Return what only the contract's NPZ holds, and whether a scan has it."""
    moved = not (
        np.array_equal(raw.xcoords, raw.xcoords_start) and np.array_equal(raw.ycoords, raw.ycoords_start)
    )
    return {
        "the truth (objectGuess)": raw.object_guess is not None,
        "nominal positions": moved,
        "several scans (scan_index)": bool(np.ptp(raw.scan_index)),
    }


def _unsolved(raw: RawData, optics: physical.Optics) -> Product:
    """Return probe and positions of a scan with a flat object that holds all patches."""
    lowest = np.floor(raw.positions.min(axis=0)).astype(int) - raw.N // 2
    highest = np.ceil(raw.positions.max(axis=0)).astype(int) + raw.N // 2
    width, height = highest - lowest
    return Product(
        object=np.ones((height, width), np.complex64),
        origin_xy=(int(lowest[0]), int(lowest[1])),
        probe=raw.probe,
        positions=raw.positions,
        indexes=np.arange(len(raw)),
        pixel_m=float(optics.object_pixel_m(raw.N) or 0),
        optics=optics,
    )
