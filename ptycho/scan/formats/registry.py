"""Any file of a scan: which format it has is looked for in the file, and not in its name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ptycho.base import machine, units
from ptycho.base.errors import ConfigError, DataContractError
from ptycho.scan import inspection
from ptycho.scan import optics as physical
from ptycho.scan.formats import cxi, frames, hdf5, keyed, npz, source
from ptycho.scan.formats.source import Source
from ptycho.scan.optics import Optics
from ptycho.scan.raw import RawData

LEADING = "leading"


@dataclass(frozen=True)
class How:
    """What a person says of a file; see :class:`ptycho.settings.request.Reading`."""

    intensity: bool = False
    mask: Path | None = None
    keys: tuple[str, ...] = ()
    positions_unit: str | None = None
    pair: str | None = None
    pixels: int | None = None
    energy: str | None = None
    distance: str | None = None
    detector_pixel: str | None = None
    first_probe: bool = False

    @property
    def optics(self) -> Optics:
        """What was said of wavelength, distance and detector pixel.

        Raises ConfigError for what is no such quantity.
        """
        energy = None if self.energy is None else units.read(self.energy, "J", "--energy", "8.8keV")
        lengths = {
            name: None if text is None else units.read(text, "m", f"--{name.replace('_', '-')}", example)
            for name, text, example in (
                ("distance", self.distance, "1.92m"),
                ("detector_pixel", self.detector_pixel, "75um"),
            )
        }
        wavelength = None if energy is None else units.wavelength_of(energy)
        return Optics(wavelength, lengths["distance"], lengths["detector_pixel"])


def read(path: Path, how: How = How()) -> RawData:
    """Read a scan from an NPZ or HDF5 file.

    Raises
    ------
    ConfigError
        What was said of the file contradicts itself.
    DataContractError
        Naming the file, what was content, what was expected and the remedy.
    """
    supplied = how.optics
    if not _is_hdf5(path):
        if how.keys or how.pair or how.positions_unit or how.pixels:
            raise ConfigError(
                f"{path}: is no HDF5 file; leave --key, --pair, --positions-unit and --pixels out"
            )
        scan = npz.read_npz(path, intensity=how.intensity, mask=how.mask, first_probe=how.first_probe)
        known = supplied.supplied(physical.of_metadata(scan.metadata)).to_dict()
        return scan.derived(metadata={**scan.metadata, physical.KEY: known}) if known else scan
    keys = keyed.parsed(how.keys) if how.keys else None
    # What is not finite is named by what looks at it, and not by numpy.
    with hdf5.opened(path) as tree, np.errstate(all="ignore"):
        if keys is not None:
            content = keyed.read(tree, keys, how.positions_unit)
        elif cxi.fits(tree):
            content = cxi.read(tree)
        else:
            raise DataContractError(
                f"{path}: has no layout that is known; name its parts: {keyed.proposal(tree)}"
            )
        try:
            scan = source.scan_of(_paired(content, how.pair), supplied, how.pixels)
        except DataContractError as error:
            raise DataContractError(f"{path}: {error}") from None
    return scan if how.mask is None else _masked(scan, how.mask)


def lacks_probe(scan: RawData) -> bool:
    """Whether the file of a scan had no probe, and the scan has one that stands for it."""
    return bool(scan.metadata.get(source.FIRST_PROBE))


def _paired(content: Source, pair: str | None) -> Source:
    """Return patterns and positions of one number, where a person says how."""
    if pair != LEADING or len(content.patterns) == len(content.positions_m):
        return content
    count = min(len(content.patterns), len(content.positions_m))
    line = f"the first {count} are taken of {len(content.patterns)} patterns and {len(content.positions_m)} positions"
    return replace(
        content,
        patterns=frames.First(content.patterns, count),
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
