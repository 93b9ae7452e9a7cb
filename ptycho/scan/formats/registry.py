"""Any file of a scan: which format it has is looked for in the file, and not in its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ptycho.base import machine, units
from ptycho.base.errors import ConfigError, DataContractError
from ptycho.scan import inspection
from ptycho.scan import optics as physical
from ptycho.scan.formats import cxi, hdf5, keyed, npz, source
from ptycho.scan.formats.source import Source
from ptycho.scan.optics import Optics
from ptycho.scan.raw import RawData
from ptycho.settings.request import DATA, Reading

LEADING = "leading"


def supplied(reading: Reading) -> Optics:
    """Return what a person says of wavelength, distance and detector pixel.

    Raises ConfigError for what is no such quantity.
    """
    energy = None if reading.energy is None else units.read(reading.energy, "J", "--energy", "8.8keV")
    distance, pixel = reading.distance, reading.detector_pixel
    return Optics(
        None if energy is None else units.wavelength_of(energy),
        None if distance is None else units.read(distance, "m", "--distance", "1.92m"),
        None if pixel is None else units.read(pixel, "m", "--detector-pixel", "75um"),
    )


def read(path: Path, reading: Reading = Reading()) -> RawData:
    """Read a scan from an NPZ or HDF5 file.

    Raises
    ------
    ConfigError
        What was said of the file contradicts itself.
    DataContractError
        Naming the file, what was found, what was expected and the remedy.
    """
    optics = supplied(reading)
    mask = None if reading.mask is None else Path(reading.mask)
    if not _is_hdf5(path):
        if reading.key or reading.pair or reading.positions_unit or reading.pixels:
            raise ConfigError(
                f"{path}: is no HDF5 file; leave --key, --pair, --positions-unit and --pixels out"
            )
        scan = npz.read_npz(
            path, intensity=reading.intensity, mask=mask, first_probe=reading.probe_from == DATA
        )
        known = optics.supplied(physical.of_metadata(scan.metadata)).to_dict()
        return scan.derived(metadata={**scan.metadata, physical.KEY: known}) if known else scan
    keys = keyed.parsed(reading.key) if reading.key else None
    # What is not finite is named by what looks at it, and not by numpy.
    with hdf5.opened(path) as tree, np.errstate(all="ignore"):
        if keys is not None:
            content = keyed.read(tree, keys, reading.positions_unit)
        elif cxi.fits(tree):
            content = cxi.read(tree)
        else:
            raise DataContractError(
                f"{path}: has no layout that is known; name its parts: {keyed.proposal(tree)}"
            )
        try:
            scan = source.scan_of(_paired(content, reading.pair), optics, reading.pixels)
        except DataContractError as error:
            raise DataContractError(f"{path}: {error}") from None
    return scan if mask is None else _masked(scan, mask)


def lacks_probe(scan: RawData) -> bool:
    """Whether the file of a scan had no probe, and the scan has one that stands for it."""
    return bool(scan.metadata.get(source.FIRST_PROBE))


def _paired(content: Source, pair: str | None) -> Source:
    """Return patterns and positions of one number, where a person says reading."""
    if pair != LEADING or len(content.patterns) == len(content.positions_m):
        return content
    count = min(len(content.patterns), len(content.positions_m))
    line = f"the first {count} are taken of {len(content.patterns)} patterns and {len(content.positions_m)} positions"
    return replace(
        content,
        patterns=content.patterns.first(count),
        positions_m=content.positions_m[:count],
        lines=(*content.lines, line),
    )


def _masked(scan: RawData, mask: Path) -> RawData:
    """Return a scan with the bad pixels of a file masked, too."""
    other = npz.read_bad_pixels(mask, scan.N)
    line = f"{int(other.sum())} bad pixels are those of {mask}"
    return inspection.with_line(scan.derived(bad_pixels=other | ~scan.good_pixels), line)


def _is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does; raise DataContractError for what is no regular file."""
    machine.check_file(path, DataContractError)
    try:
        with path.open("rb") as stream:
            return stream.read(len(hdf5.MAGIC)) == hdf5.MAGIC
    except OSError as error:
        raise DataContractError(f"{path}: cannot be read: {error.strerror or error}") from None
