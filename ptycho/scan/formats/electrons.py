"""Scans of electron microscopes (EMPAD, MIB, DM3, DM4, EMD, BLO and others), by RosettaSciIO where it is installed."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.base import units
from ptycho.base.errors import ConfigError, DataContractError
from ptycho.scan.formats.source import Source
from ptycho.scan.optics import Optics

NAME = "RosettaSciIO"
PLUGINS: Mapping[str, str] = {
    ".xml": "empad",
    ".mib": "quantumdetector",
    ".dm3": "digitalmicrograph",
    ".dm4": "digitalmicrograph",
    ".emd": "emd",
    ".blo": "blockfile",
    ".tvips": "tvips",
    ".mrc": "mrc",
    ".ser": "tia",
    ".emi": "tia",
    ".hspy": "hspy",
}
"""Which of its plugins reads files of a name."""
RAW = re.compile(rb"filename\s*=\s*[\"']([^\"']*)[\"']")
"""In the XML of an EMPAD: the file that has the patterns."""
KEV = 1e3


def fits(path: Path) -> bool:
    """Whether a file's name is that of a microscope's."""
    return path.suffix.lower() in PLUGINS


def read(path: Path, supplied: Optics, step_m: float | None) -> Source:
    """Return what a file holds: a raster of patterns, row by row; positions by its step, or by the one that a person says.

    Parameters
    ----------
    path : Path
    supplied : Optics
        What a person says: the wavelength that makes lengths of angles.
    step_m : float or None
        Distance of positions, where the file has none.

    Raises
    ------
    DataContractError
        RosettaSciIO is not there, or cannot read the file; no raster of patterns; no step.
    """
    signal = _signal(path)
    axes, patterns = signal["axes"], signal["data"]
    *raster, h, w = patterns.shape
    if len(raster) not in (1, 2):
        raise DataContractError(
            f"{path}: holds {patterns.shape}; expected a raster of patterns (rows, columns, h, w)"
        )
    rows, columns = raster if len(raster) == 2 else (1, raster[0])
    down, right = (_step(path, axis, step_m) for axis in (axes[0], axes[len(raster) - 1]))
    y, x = np.mgrid[:rows, :columns].reshape(2, -1)
    wavelength = supplied.wavelength_m or _wavelength(signal.get("metadata", {}))
    window, words = _window(axes[-1], wavelength)
    return Source(
        patterns=patterns.reshape(rows * columns, h, w),
        positions=np.stack([x * right, y * down], axis=1),
        optics=Optics(wavelength, window_m=window),
        lines=(
            f"{NAME}: patterns are counts of a raster of {rows} x {columns}",
            f"positions are the raster's, {units.written(right, 'm')} and {units.written(down, 'm')} apart: x along columns, y "
            f"along rows{words}",
        ),
    )


def _signal(path: Path) -> Mapping[str, Any]:
    """Return the largest signal of a file that has patterns; nothing of it is read yet."""
    plugin = PLUGINS[path.suffix.lower()]
    try:
        module = importlib.import_module(f"rsciio.{plugin}")
    except ImportError:
        raise DataContractError(
            f"{path}: is read by {NAME}, which is not installed; pip install 'ptycho[electrons]'"
        ) from None
    if plugin == "empad":
        _check_raw(path)
    try:
        signals = module.file_reader(str(path), lazy=True)
    except Exception as error:  # a package of other people, which may raise anything over a damaged file
        raise DataContractError(f"{path}: {NAME} cannot read it ({type(error).__name__}: {error})") from error
    stacks = [
        each
        for each in signals
        if getattr(each.get("data"), "ndim", 0) in (3, 4) and 0 not in each["data"].shape
    ]
    stacks = [each for each in stacks if each["data"].dtype.kind in "iuf"]
    if not stacks:
        raise DataContractError(f"{path}: holds no patterns (rows, columns, h, w) of real numbers")
    return max(stacks, key=lambda each: each["data"].size)


def _check_raw(path: Path) -> None:
    """Raise DataContractError for an EMPAD whose patterns are said to lie outside of its folder."""
    try:
        names = [match.decode("utf-8", "replace") for match in RAW.findall(path.read_bytes())]
    except OSError as error:
        raise DataContractError(f"{path}: cannot be read: {error.strerror or error}") from None
    home = path.resolve().parent
    outside = [name for name in names if not (home / name).resolve().is_relative_to(home)]
    if outside:
        raise DataContractError(
            f"{path}: names {outside[0]}, outside of its folder; copy that file beside this one"
        )


def _step(path: Path, axis: Mapping[str, Any], step_m: float | None) -> float:
    """Return the distance of positions along an axis, m: what a person says counts more than what the file says."""
    if step_m is not None:
        return step_m
    metres = _quantity(axis, "m")
    if metres is None:
        raise DataContractError(f"{path}: does not say how far apart positions are; add --step 0.4nm")
    return metres


def _window(axis: Mapping[str, Any], wavelength: float | None) -> tuple[float | None, str]:
    """Return the width that one pattern sees, m, by its scale in 1/length or in radians, and words for where it is from."""
    angle = _quantity(axis, "rad")
    if angle is not None and wavelength is not None:
        return wavelength / angle, f"; a detector pixel is {units.written(angle, 'rad')}"
    unit = str(axis.get("units") or "")
    length = unit.removeprefix("1/") if unit.startswith("1/") else ""
    inverse = _quantity({"scale": 1.0, "units": length}, "m") if length else None
    scale = axis.get("scale")
    if inverse is None or not isinstance(scale, (int, float)) or not 0 < abs(scale) < np.inf:
        return None, ""
    return inverse / abs(scale), f"; a detector pixel is {abs(scale):.3g} {unit}"


def _quantity(axis: Mapping[str, Any], unit: str) -> float | None:
    """Return the scale of an axis in a unit, None where it has none of that kind."""
    scale, named = axis.get("scale"), axis.get("units")
    if not isinstance(scale, (int, float)) or not named or not 0 < abs(scale) < np.inf:
        return None
    try:
        return abs(float(scale)) * units.read(f"1 {named}", unit, "scale", unit)
    except ConfigError:
        return None


def _wavelength(metadata: Mapping[str, Any]) -> float | None:
    """Return the wavelength of the electrons, m, by the beam's energy in a file's metadata; None where it has none."""
    here: Any = metadata
    for name in ("Acquisition_instrument", "TEM", "beam_energy"):
        here = here.get(name) if isinstance(here, Mapping) else None
    return (
        units.electron_wavelength(KEV * float(here))
        if isinstance(here, (int, float)) and 0 < here < 1e5
        else None
    )
