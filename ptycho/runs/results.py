"""What other programs take of a result: object, probe and positions of a run, or of its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ptycho.base import archive, layout
from ptycho.base.errors import DataContractError
from ptycho.scan.formats import registry
from ptycho.scan.formats.product import Product
from ptycho.settings.request import Reading
from ptycho.stages import solutions, stitch


def is_result(path: Path) -> bool:
    """Whether a path is a run directory, or the file of a reconstruction; raise DataContractError for a damaged NPZ."""
    if path.is_dir():
        return True
    return path.suffix == ".npz" and path.is_file() and stitch.DESCRIPTION in archive.names(path)


def product(path: Path, reading: Reading, *, metres: bool) -> Product:
    """Return what a result holds.

    Parameters
    ----------
    path : Path
        A run directory, or a reconstruction.
    reading : Reading
        Its optics count more than what the file says.
    metres : bool
        The size of a pixel must be known, and probe and positions with it.

    Raises
    ------
    DataContractError
        The file is none, or does not say what is needed.
    """
    file = path / layout.RECONSTRUCTION if path.is_dir() else path
    optics = registry.supplied(reading)
    if not metres:
        reconstruction = stitch.read(file)
        probe, positions = np.zeros((1, 0, 0), np.complex64), np.zeros((0, 2))
    else:
        solution = solutions.read(file)
        reconstruction, probe, positions = solution.reconstruction, solution.probe, solution.positions
    given = optics.object_pixel_m(probe.shape[-1]) if metres else None
    pixel = reconstruction.pixel_m if given is None else given
    if pixel is None and metres:
        raise DataContractError(
            f"{file}: does not say how large a pixel of the object is; add --energy, --distance and --detector-pixel"
        )
    return Product(
        object=reconstruction.object,
        origin_xy=reconstruction.origin_xy,
        probe=probe,
        positions=positions,
        indexes=np.arange(len(positions)),
        pixel_m=float(pixel or 0),
        optics=optics,
    )
