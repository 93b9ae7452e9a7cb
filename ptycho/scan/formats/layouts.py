"""Files that differ in nothing but their paths, units and signs: beamlines and programs, a row each.

From the readers of ptychodus 1.7, the loaders of PtyPy 0.9 and PtyLab.py (see docs/formats.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptycho.base import units
from ptycho.base.errors import DataContractError
from ptycho.scan.formats import frames, keyed
from ptycho.scan.formats.source import Source
from ptycho.scan.formats.tree import Tree
from ptycho.scan.optics import Optics

LOWEST_EV, HIGHEST_EV = 0.5, 5e5
"""Photons of other energies are those of a unit that was mistaken."""


@dataclass(frozen=True)
class Layout:
    """Where a kind of file has what.

    Attributes
    ----------
    name : str
        For people.
    patterns : tuple of str
        Paths; the first that is there is taken.
    points : tuple of str
        Paths of positions: of x and y, or of one table of both. Without any they lie in another file.
    unit : str
        What positions count where they have no `units`.
    signs : (float, float)
        Of x and y.
    rows_first : bool
        A table has y (along the detector's rows) before x.
    amplitudes : bool
    energy, wavelength, distance, pixel : (path, unit) or None
        The unit counts where a path has no `units`.
    mask : str
    marks : tuple of str
        Paths that must be there, too.
    """

    name: str
    patterns: tuple[str, ...]
    points: tuple[str, ...] = ()
    unit: str = "m"
    signs: tuple[float, float] = (1.0, 1.0)
    rows_first: bool = False
    amplitudes: bool = False
    energy: tuple[str, str] | None = None
    wavelength: tuple[str, str] | None = None
    distance: tuple[str, str] | None = None
    pixel: tuple[str, str] | None = None
    mask: str = ""
    marks: tuple[str, ...] = ()

    def fits(self, tree: Tree) -> bool:
        """Whether a file is laid out like this."""
        return tree.first(*self.patterns) is not None and tree.has(*self.points, *self.marks)

    def read(self, tree: Tree) -> Source:
        """Return what a file holds; raise DataContractError, naming file and path, for what is of another kind there."""
        patterns = str(tree.first(*self.patterns))
        lines = [f"{self.name}: patterns are {'amplitudes' if self.amplitudes else 'counts'} from {patterns}"]
        if self.points:
            lines.append(f"positions are {' and '.join(self.points)}, {self._turned()}")
        return Source(
            patterns=frames.stack(tree, patterns),
            positions=self._positions(tree) if self.points else None,
            optics=self._optics(tree),
            bad=frames.bad_pixels(tree, self.mask) if self.mask and tree.has(self.mask) else None,
            amplitudes=self.amplitudes,
            lines=tuple(lines),
        )

    def _positions(self, tree: Tree) -> np.ndarray:
        if len(self.points) == 1:
            (key,) = self.points
            values = keyed.table(tree, key) * tree.factor(key, self.unit, "m")
            values = values[:, ::-1] if self.rows_first else values
        else:
            x, y = (tree.reals(key).reshape(-1) * tree.factor(key, self.unit, "m") for key in self.points)
            values = keyed.together(tree, self.points[0], x, self.points[1], y)
        return np.asarray(values * np.array(self.signs))

    def _optics(self, tree: Tree) -> Optics:
        length = self._number(tree, self.wavelength, "m")
        energy = self._number(tree, self.energy, "J")
        if length is None and energy is not None:
            length = units.wavelength_of(energy)
            if not LOWEST_EV <= units.energy_of(length) <= HIGHEST_EV:
                raise DataContractError(
                    f"{tree.path}: {self.energy and self.energy[0]} is a photon of {units.written(units.energy_of(length), 'eV')}, "
                    "which cannot be; add --energy 8.8keV"
                )
        return Optics(length, self._number(tree, self.distance, "m"), self._number(tree, self.pixel, "m"))

    def _number(self, tree: Tree, place: tuple[str, str] | None, unit: str) -> float | None:
        return None if place is None else tree.optional(*place, unit)

    def _turned(self) -> str:
        """Say which signs and order of axes are applied."""
        signs = {
            (1.0, 1.0): "as they are",
            (-1.0, -1.0): "both negated",
            (-1.0, 1.0): "x negated",
            (1.0, -1.0): "y negated",
        }
        order = "y before x" if self.rows_first else "x along columns, y along rows"
        return f"{signs[self.signs]}: {order}"


EIGER = "/entry/instrument/detector"
LAYOUTS = (
    Layout(
        "PtyLab",
        ("/ptychogram",),
        ("/encoder",),
        rows_first=True,
        wavelength=("/wavelength", "m"),
        distance=("/zo", "m"),
        pixel=("/dxd", "m"),
    ),
    Layout(
        "NSLS-II HXN, prepared",
        ("/diffamp",),
        ("/points",),
        unit="um",
        amplitudes=True,
        wavelength=("/lambda_nm", "nm"),
        distance=("/z_m", "m"),
        pixel=("/ccd_pixel_um", "um"),
    ),
    Layout("NSLS-II HXN, ptychoml", ("/dp",), ("/points",), unit="um"),
    Layout(
        "NSLS-II HXN",
        ("/diff_data/merlin1/det_images", "/entry/data/data"),
        ("/scan/scan_positions",),
        unit="um",
        energy=("/scan/energy", "eV"),
    ),
    Layout(
        "MAX IV NanoMAX",
        (
            "/entry/measurement/eiger1m/frames",
            "/entry/instrument/Eiger/data",
            "/entry/measurement/Eiger/data",
        ),
        ("/entry/measurement/pseudo/x", "/entry/measurement/pseudo/y"),
        unit="um",
        energy=("/entry/snapshot/energy", "eV"),
    ),
    Layout(
        "NXptycho of Diamond",
        ("/entry_1/data/data",),
        ("/entry_1/data/x", "/entry_1/data/y"),
        energy=("/entry_1/instrument_1/beam_1/energy", "J"),
        distance=("/entry_1/instrument_1/detector_1/distance", "m"),
        pixel=("/entry_1/instrument_1/detector_1/x_pixel_size", "m"),
        mask="/entry_1/instrument_1/detector_1/mask",
    ),
    Layout(
        "APS 4-ID Polar",
        ("/entry/externals/eiger", "/entry/data/data"),
        ("/entry/instrument/NDAttributes/Xpos", "/entry/instrument/NDAttributes/Ypos"),
        unit="um",
        signs=(-1.0, -1.0),
    ),
    Layout("APS 9-ID CSSI", ("/exchange/data",), ("/exchange/motor_pos",), unit="mm"),
    Layout(
        "APS 31-ID LynX",
        ("/entry/data/data", "/entry/data/eiger_4"),
        distance=(f"{EIGER}/detector_distance", "mm"),
        pixel=(f"{EIGER}/x_pixel_size", "um"),
        energy=("/entry/instrument/monochromator/energy", "keV"),
        marks=("/entry/metadata_units/Distance_EGU",),
    ),
    Layout(
        "SLS cSAXS",
        ("/entry/data/data",),
        distance=("/entry/instrument/monochromator/distance", "mm"),
        pixel=("/entry/instrument/eiger_4/x_pixel_size", "um"),
        energy=("/entry/instrument/monochromator/energy", "keV"),
        marks=("/entry/instrument/eiger_4/x_pixel_size",),
    ),
)


def fits(tree: Tree) -> bool:
    """Whether a file has one of these layouts."""
    return any(layout.fits(tree) for layout in LAYOUTS)


def read(tree: Tree) -> Source:
    """Return what a file holds; raise DataContractError, naming file and path, for what is of another kind there."""
    return next(layout for layout in LAYOUTS if layout.fits(tree)).read(tree)
