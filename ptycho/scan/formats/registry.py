"""Any file of a scan: which format it has is looked for in the file, and not in its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Protocol

import numpy as np

from ptycho.base import archive, machine, units
from ptycho.base.errors import ConfigError, DataContractError, PtychoError
from ptycho.scan import inspection
from ptycho.scan import optics as physical
from ptycho.scan.formats import (
    cxi,
    electrons,
    hdf5,
    keyed,
    layouts,
    matlab,
    npz,
    pairing,
    ptychodus,
    ptypy,
    shelves,
    source,
    table,
    tike,
    velociprobe,
)
from ptycho.scan.formats.source import Source
from ptycho.scan.formats.tree import Arrays, Tree
from ptycho.scan.optics import Optics
from ptycho.scan.raw import RawData
from ptycho.settings.request import DATA, Reading

GROUP = "ptycho.scan.formats"
"""Entry points of this group are formats of other packages; see :class:`Foreign`."""
ZIP = b"PK"


class Format(Protocol):
    """A module that knows a layout."""

    def fits(self, tree: Tree) -> bool:
        """Whether a file is laid out like this."""

    def read(self, tree: Tree) -> Source:
        """Return what a file holds."""


class Foreign(Protocol):
    """What an entry point of another package is: a format of files of any kind."""

    def fits(self, path: Path) -> bool:
        """Whether a file is of this format."""

    def read(self, path: Path) -> Source:
        """Return what a file holds; its patterns may be anything that has a shape and a dtype and can be sliced."""


FORMATS: tuple[Format, ...] = (cxi, ptypy, ptychodus, velociprobe, layouts, shelves, tike)
"""The first that fits is taken."""


def supplied(reading: Reading) -> Optics:
    """Return what a person says of wavelength, distance and detector pixel.

    Raises ConfigError for what is no such quantity.
    """
    if reading.energy is not None and reading.voltage is not None:
        raise ConfigError("--energy is that of photons and --voltage that of electrons; give one of both")
    wavelength = None
    if reading.energy is not None:
        wavelength = units.wavelength_of(units.read(reading.energy, "J", "--energy", "8.8keV"))
    if reading.voltage is not None:
        wavelength = units.electron_wavelength(units.read(reading.voltage, "V", "--voltage", "300kV"))
    distance, pixel = reading.distance, reading.detector_pixel
    metres = None if distance is None else units.read(distance, "m", "--distance", "1.92m")
    if pixel is None or not pixel.strip().endswith("rad"):
        side = None if pixel is None else units.read(pixel, "m", "--detector-pixel", "75um")
        return Optics(wavelength, metres, side)
    angle = units.read(pixel, "rad", "--detector-pixel", "0.8mrad")
    if wavelength is None:
        raise ConfigError(
            f"--detector-pixel {pixel}: an angle takes a wavelength; add --voltage 300kV or --energy 8.8keV"
        )
    return Optics(wavelength, metres, window_m=wavelength / angle)


def read(path: Path, reading: Reading = Reading(), most: int | None = None) -> RawData:
    """Read a scan from a file, and from a second one where positions lie apart; where it has more than `most` patterns, a part.

    Raises
    ------
    ConfigError
        What was said of the file contradicts itself.
    DataContractError
        Naming the file, what was found, what was expected and the remedy.
    """
    optics, keys = supplied(reading), keyed.parsed(reading.key)
    pairing.check(reading.pair)
    if not keys and _head(path).startswith(ZIP) and archive.names(path) & npz.OWN:
        return _in_contract(path, reading, optics, most)
    # What is not finite is named by what looks at it, and not by numpy.
    with opened(path) as tree, np.errstate(all="ignore"):
        content = _content(path, tree, keys, reading)
        try:
            scan = source.scan_of(pairing.paired(content, reading.pair), optics, reading.pixels, most)
        except DataContractError as error:
            raise DataContractError(f"{path}: {error}") from None
        except MemoryError:
            raise DataContractError(f"{path}: does not go into memory; take a part of the scan") from None
    return scan if reading.mask is None else _masked(scan, Path(reading.mask))


def lacks_probe(scan: RawData) -> bool:
    """Whether the file of a scan had no probe, and the scan has one that stands for it."""
    return bool(scan.metadata.get(source.FIRST_PROBE))


@contextmanager
def opened(path: Path) -> Iterator[Tree | None]:
    """Open a file that holds arrays by their names; None for one of another kind.

    Raises DataContractError for a file that is missing, no regular one, or damaged wherever it is read.
    """
    head = _head(path)
    if head.startswith((hdf5.MAGIC, hdf5.MATLAB)):
        with hdf5.opened(path) as tree:
            yield tree
    elif head.startswith(matlab.MAGIC):
        yield matlab.opened(path)
    elif head.startswith(ZIP):
        yield Arrays(path, archive.read_arrays(path))
    else:
        yield None


def companions(path: Path) -> tuple[Path, ...]:
    """Return the files beside a scan's that may be read with it, by their names."""
    return tuple(other for other in (*ptychodus.beside(path), *shelves.beside(path)) if other.is_file())


def layout_of(tree: Tree | None) -> Format | None:
    """Return the format that a file is laid out in, None where it is in none of those that are known."""
    return None if tree is None else next((each for each in FORMATS if each.fits(tree)), None)


def _in_contract(path: Path, reading: Reading, optics: Optics, most: int | None) -> RawData:
    """Return the scan of an NPZ in the contract of the README."""
    if reading.pair or reading.positions_unit or reading.pixels or reading.positions_file:
        raise ConfigError(
            f"{path}: is an NPZ of the data contract; leave --pair, --positions-unit, --positions-file and --pixels out"
        )
    mask = None if reading.mask is None else Path(reading.mask)
    scan = npz.read_npz(path, intensity=reading.intensity, mask=mask, first_probe=reading.probe_from == DATA)
    if most is not None and len(scan) > most:
        line = f"the {most} patterns about the middle are taken of {len(scan)}"
        scan = inspection.with_line(scan.take(source.middle(scan.positions, most)), line)
    known = optics.supplied(physical.of_metadata(scan.metadata)).to_dict()
    return scan.derived(metadata={**scan.metadata, physical.KEY: known}) if known else scan


def _content(path: Path, tree: Tree | None, keys: Mapping[str, str], reading: Reading) -> Source:
    """Return what a file holds, with positions of a second one; raise DataContractError where it lacks one of both."""
    apart = reading.positions_file is not None
    known = layout_of(tree)
    if known is not None and tree is not None:
        content = known.read(tree)
    elif tree is not None and keys:
        content = Source()
    elif electrons.fits(path):
        step = None if reading.step is None else units.read(reading.step, "m", "--step", "0.4nm")
        content = electrons.read(path, supplied(reading), step)
    elif (foreign := _foreign(path)) is not None:
        content = foreign
    else:
        raise DataContractError(_unknown(path, tree))
    mine = keyed.of_patterns(keys) if apart else keys
    if mine and tree is not None:
        content = keyed.read(tree, mine, reading.positions_unit, content)
    beside = next((other for other in content.beside if other.is_file()), None)
    if apart:
        content = content.with_places(
            _places(Path(str(reading.positions_file)), keyed.of_places(keys), reading)
        )
    elif content.positions is None and beside is not None:
        content = content.with_places(_places(beside, {}, reading))
    if content.patterns is None and known is None:
        raise DataContractError(_unknown(path, tree))
    if content.patterns is None:
        raise DataContractError(
            f"{path}: holds no patterns; give the file that does as --data, and this one as --positions-file"
        )
    if content.positions is None:
        raise DataContractError(
            f"{path}: holds no positions that are known; add --positions-file FILE, or --key x=PATH --key y=PATH"
        )
    return content


def _places(path: Path, keys: Mapping[str, str], reading: Reading) -> Source:
    """Return the positions of a file of their own; raise DataContractError where it has none."""
    with opened(path) as tree:
        if tree is None:
            return table.read(path, keys, reading.positions_unit)
        known = layout_of(tree)
        content = Source() if known is None else known.read(tree)
        content = keyed.read(tree, keys, reading.positions_unit, content) if keys else content
        if content.positions is None:
            raise DataContractError(
                f"{path}: holds no positions that are known; say where: --key x=PATH --key y=PATH"
            )
        return content


def _foreign(path: Path) -> Source | None:
    """Return what a format of another package reads, None where there is none for a file."""
    for entry in metadata.entry_points(group=GROUP):
        try:
            format: Foreign = entry.load()
            if format.fits(path):
                return format.read(path)
        except PtychoError:
            raise
        except Exception as error:  # a package of other people, which may raise anything
            raise DataContractError(
                f"{path}: the format {entry.name} of another package failed ({type(error).__name__}: {error})"
            ) from error
    return None


def _unknown(path: Path, tree: Tree | None) -> str:
    if tree is None:
        return f"{path}: is neither NPZ, HDF5 (CXI, NeXus, ptychodus, PtyPy and others) nor MATLAB; see docs/formats.md"
    return f"{path}: has no layout that is known; name its parts: {keyed.proposal(tree)}"


def _masked(scan: RawData, mask: Path) -> RawData:
    """Return a scan with the bad pixels of a file masked, too."""
    other = npz.read_bad_pixels(mask, scan.N)
    line = f"{int(other.sum())} bad pixels are those of {mask}"
    return inspection.with_line(scan.derived(bad_pixels=other | ~scan.good_pixels), line)


def _head(path: Path) -> bytes:
    """Return how a file begins; raise DataContractError for what is no regular file."""
    machine.check_file(path, DataContractError)
    try:
        with path.open("rb") as stream:
            return stream.read(64)
    except OSError as error:
        raise DataContractError(f"{path}: cannot be read: {error.strerror or error}") from None
