"""Physical quantities: read from texts as people write them, and written for people."""

from __future__ import annotations

import math
import re

from ptycho.base.errors import ConfigError

PLANCK_J_S = 6.62607015e-34
LIGHT_M_S = 299792458.0
ELECTRON_J = 1.602176634e-19
"""Constants of the SI, exact since 2019."""
ELECTRON_KG = 9.1093837139e-31
"""Its rest mass (CODATA 2022)."""
PREFIXES = ((1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))


def read(text: str, unit: str, what: str, example: str) -> float:
    """Return a quantity that a person wrote, as a number of `unit`.

    Parameters
    ----------
    text : str
        A number and its unit: 8.8keV, 1.92 m, 75um.
    unit : str
        What the result counts: m, J, rad.
    what : str
        What was asked for, in the words of an error.
    example : str
        How it may be written.

    Raises
    ------
    ConfigError
        No number, no unit, a unit of something else, or a value that is not above 0.
    """
    import pint

    wanted = f"{what} = {text}: expected a number above 0 and its unit, as {example}"
    # A unit alone, and no arithmetic: 9**9**9 m would be worked out for ever.
    parts = re.fullmatch(r"\s*(\d+\.?\d*(?:[eE][+-]?\d+)?)\s*([A-Za-zµμÅ]+)\s*", text)
    if parts is None:
        raise ConfigError(wanted)
    try:
        value = float(pint.get_application_registry().Quantity(float(parts[1]), parts[2]).to(unit).magnitude)
    except (pint.PintError, AttributeError, ArithmeticError):
        raise ConfigError(wanted) from None
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(wanted)
    return value


def wavelength_of(energy_j: float) -> float:
    """Return the wavelength in m of a photon of some energy in J: h c / E."""
    return PLANCK_J_S * LIGHT_M_S / energy_j


def energy_of(wavelength_m: float) -> float:
    """Return the energy in eV of a photon of some wavelength in m."""
    return PLANCK_J_S * LIGHT_M_S / wavelength_m / ELECTRON_J


def length(pixels: float, pixel_m: float | None) -> str:
    """Write a length in pixels, and beside it in metres where the size of a pixel is known: 2.5 px (27.7 nm)."""
    metres = "" if pixel_m is None else f" ({written(pixels * pixel_m, 'm')})"
    return f"{pixels:.3g} px{metres}"


def electron_wavelength(volts: float) -> float:
    """Return the wavelength in m of electrons that an accelerating voltage made fast.

    h / sqrt(2 m e V (1 + e V / (2 m c^2))), relativistic (Kirkland, Advanced Computing in Electron Microscopy, 2nd ed., eq. 2.5).
    """
    energy = ELECTRON_J * volts
    rest = ELECTRON_KG * LIGHT_M_S**2
    return PLANCK_J_S / math.sqrt(2 * ELECTRON_KG * energy * (1 + energy / (2 * rest)))


def volts_of(wavelength_m: float) -> float:
    """Return the accelerating voltage of electrons of some wavelength in m."""
    rest, momentum = ELECTRON_KG * LIGHT_M_S**2, PLANCK_J_S * LIGHT_M_S / wavelength_m
    return (math.hypot(rest, momentum) - rest) / ELECTRON_J


def written(value: float, unit: str) -> str:
    """Write a quantity for people, with three digits and the prefix that suits it: 12.3 nm."""
    if not math.isfinite(value):
        return "n/a"
    factor, prefix = next(
        ((size, letter) for size, letter in PREFIXES if abs(value) >= 0.9995 * size), PREFIXES[-1]
    )
    return f"{value / factor:.3g} {prefix}{unit}"
