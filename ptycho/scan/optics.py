"""What makes metres of pixels: the wavelength, where the detector stands, and how large its pixels are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ptycho.base import units
from ptycho.base.errors import DataContractError

KEY = "optics"
"""Under this name a scan's metadata hold it."""
ELECTRONS = 1e-11
"""Wavelengths below this are those of electrons (over 15 kV): photons of more than 124 keV are not seen by ptychography."""


@dataclass(frozen=True)
class Optics:
    """What makes metres of pixels, all in m; None where not known.

    Attributes
    ----------
    wavelength_m, distance_m, detector_pixel_m : float or None
        Wavelength, distance from the sample to the detector, side of a detector pixel.
    window_m : float or None
        Wavelength x distance / detector pixel, where a file has that alone (as the side of an object pixel times the pixels of a
        pattern); where the three are known they count.
    """

    wavelength_m: float | None = None
    distance_m: float | None = None
    detector_pixel_m: float | None = None
    window_m: float | None = None

    @property
    def window(self) -> float | None:
        """Width of the object that one pattern sees, m: wavelength x distance / detector pixel; None where it is not known."""
        if self.wavelength_m is None or self.distance_m is None or self.detector_pixel_m is None:
            return self.window_m
        return self.wavelength_m * self.distance_m / self.detector_pixel_m

    @property
    def missing(self) -> tuple[str, ...]:
        """What is not known of what a pixel's size takes, by the options that supply it."""
        if self.window is not None:
            return ()
        names = ("--energy", "--distance", "--detector-pixel")
        values = (self.wavelength_m, self.distance_m, self.detector_pixel_m)
        return tuple(name for name, value in zip(names, values, strict=True) if value is None)

    def object_pixel_m(self, N: int) -> float | None:
        """Return the side of an object pixel, m, for patterns of N x N px; None where something is not known.

        Far field (Goodman, Introduction to Fourier Optics, 4th ed., section 4.3): wavelength x distance / width of the detector.
        """
        return None if self.window is None else self.window / N

    def fresnel_number(self, width_m: float) -> float | None:
        """Return width^2 / (wavelength x distance) of a beam of some width, m (Goodman, section 4.2)."""
        if self.wavelength_m is None or self.distance_m is None:
            return None
        return width_m**2 / (self.wavelength_m * self.distance_m)

    def supplied(self, other: Optics) -> Optics:
        """Return this with what it lacks taken from another."""
        mine = {name: value for name, value in asdict(self).items() if value is not None}
        both = replace(other, **mine)
        known = None not in (both.wavelength_m, both.distance_m, both.detector_pixel_m)
        return replace(both, window_m=None) if known else both

    def to_dict(self) -> dict[str, float]:
        """Return what is known, as JSON values."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def of_metadata(metadata: Mapping[str, Any]) -> Optics:
    """Return what a scan's metadata hold.

    Raises DataContractError for something that is no number above 0.
    """
    stored = metadata.get(KEY, {})
    names = [part.name for part in fields(Optics)]
    if not isinstance(stored, Mapping) or set(stored) - set(names):
        raise DataContractError(f"{KEY} in the metadata must hold some of {', '.join(names)}; got {stored!r}")
    for name, value in stored.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            raise DataContractError(
                f"{KEY}.{name} in the metadata must be a number of metres above 0; got {value!r}"
            )
    return Optics(**{name: float(value) for name, value in stored.items()})


def pixel_of(metadata: Mapping[str, Any], N: int) -> float | None:
    """Return the side of an object pixel, m, of a scan by its metadata, for patterns of N x N px; None where it is not known.

    Raises DataContractError for metadata that hold no lengths.
    """
    return of_metadata(metadata).object_pixel_m(N)


def lines(optics: Optics, N: int) -> tuple[tuple[str, str], ...]:
    """Return (what, value) for people: what is known, and the object's pixel."""
    rows = []
    if optics.wavelength_m is not None:
        fast = optics.wavelength_m < ELECTRONS
        particle = "electrons" if fast else "a photon"
        energy = units.volts_of(optics.wavelength_m) if fast else units.energy_of(optics.wavelength_m)
        words = f"{particle} of {units.written(energy, 'V' if fast else 'eV')}"
        rows.append(("wavelength", f"{units.written(optics.wavelength_m, 'm')} ({words})"))
    if optics.distance_m is not None:
        rows.append(("distance of the detector", units.written(optics.distance_m, "m")))
    if optics.detector_pixel_m is not None:
        rows.append(("detector pixel", units.written(optics.detector_pixel_m, "m")))
    pixel = optics.object_pixel_m(N)
    if pixel is not None:
        rows.append(("object pixel", units.written(pixel, "m")))
    return tuple(rows)
