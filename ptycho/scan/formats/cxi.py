"""CXI files (Maia, Nature Methods 9, 854 (2012); cxidb.org), and NXptycho, which is laid out alike with units of its own."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from ptycho.base import units
from ptycho.base.errors import DataContractError
from ptycho.scan.formats import frames, hdf5
from ptycho.scan.formats.product import Product
from ptycho.scan.formats.source import Source
from ptycho.scan.formats.tree import Tree
from ptycho.scan.optics import Optics
from ptycho.scan.raw import RawData

ENTRY = "/entry_1"
DETECTOR, SOURCE, BEAM = (f"{ENTRY}/instrument_1/{name}" for name in ("detector_1", "source_1", "beam_1"))
DATA = (f"{ENTRY}/data_1/data", f"{DETECTOR}/data")
TRANSLATION = (
    f"{ENTRY}/data_1/translation",
    f"{ENTRY}/sample_1/geometry_1/translation",
    f"{DETECTOR}/translation",
)
PROBE = (f"{SOURCE}/illumination", f"{DETECTOR}/illumination")
DEFINITION, PROGRAM = f"{ENTRY}/definition", f"{ENTRY}/process_1/program"
OF_BEAM = "ptychodus"
"""This program writes positions of the beam as translations, x along columns and y along rows."""


def fits(tree: Tree) -> bool:
    """Whether a file is laid out like this."""
    return tree.first(*DATA, *TRANSLATION) is not None


def read(tree: Tree) -> Source:
    """Return what a file holds.

    Translations are those of the sample: the beam moves against them. They are projected on the detector's axes
    (`basis_vectors`; by default the rows run against y and the columns against x, as the format says).

    Raises DataContractError, naming file and path, for what is not as the format says.
    """
    patterns, probe, mask = tree.first(*DATA), tree.first(*PROBE), tree.first(f"{DETECTOR}/mask")
    content = Source(optics=_optics(tree), probe=None if probe is None else frames.probe(tree, probe))
    if tree.first(*TRANSLATION) is not None:
        content = content.with_places(_places(tree, str(tree.first(*TRANSLATION))))
    if patterns is None:
        return content
    lines = [f"patterns are counts from {patterns}"]
    if mask is not None:
        lines.append(f"bad pixels are those of {mask} that are not 0")
    return replace(
        content,
        patterns=frames.stack(tree, patterns),
        bad=None if mask is None else frames.bad_pixels(tree, mask),
        centre=_centre(tree),
        lines=(lines[0], *content.lines, *lines[1:]),
    )


def _places(tree: Tree, key: str) -> Source:
    """Return the positions of translations at a path."""
    values = tree.reals(key)
    if values.ndim != 2 or values.shape[1] not in (2, 3):
        raise DataContractError(f"{tree.path}: {key} must have shape (M, 3); got {values.shape}")
    metres = values[:, :2] * tree.factor(key, "m", "m")
    if tree.has(PROGRAM) and OF_BEAM in str(tree.array(PROGRAM)).lower():
        return Source(
            positions=metres,
            lines=(
                f"positions are {key} as {OF_BEAM} writes it, as they are: x along columns, y along rows",
            ),
        )
    axes, by = _axes(tree)
    positions = of_beam(metres) @ axes[:2]
    return Source(positions=positions[:, ::-1], lines=(f"positions are {key}, negated, {by}",))


def of_beam(translations: np.ndarray) -> np.ndarray:
    """Return where the beam is on a sample that was moved by translations (M, 2)."""
    return -translations


def _centre(tree: Tree) -> tuple[int, int] | None:
    """Return row and column of the zero frequency, None where the file does not state them in pixels."""
    keys = (f"{DETECTOR}/beam_center_y", f"{DETECTOR}/beam_center_x")
    if not tree.has(*keys):
        return None
    row, column = (tree.reals(key).reshape(-1) for key in keys)
    if row.size != 1 or column.size != 1 or not np.isfinite([row[0], column[0]]).all():
        return None
    return (round(float(row[0])), round(float(column[0]))) if max(abs(row[0]), abs(column[0])) < 1e5 else None


def _axes(tree: Tree) -> tuple[np.ndarray, str]:
    """Return the unit vectors (3, 2) along which rows and columns of the detector are counted, and where they are from."""
    key = f"{DETECTOR}/basis_vectors"
    if tree.first(key) is None:
        return np.array(
            [[0.0, -1], [-1, 0], [0, 0]]
        ), "along the detector axes that the format says (rows -y, columns -x)"
    vectors = tree.reals(key)
    vectors = vectors.T if vectors.shape == (2, 3) else vectors
    lengths = np.linalg.norm(vectors, axis=0) if vectors.shape == (3, 2) else np.zeros(2)
    if not (lengths > 0).all():
        raise DataContractError(
            f"{tree.path}: {key} must be two vectors (3, 2) of some length; got {vectors.tolist()}"
        )
    return vectors / lengths, f"along {key}"


def _optics(tree: Tree) -> Optics:
    sides = [
        tree.number(key, "m", "m") for name in "xy" if (key := tree.first(f"{DETECTOR}/{name}_pixel_size"))
    ]
    if len(sides) == 2 and abs(sides[0] - sides[1]) > 1e-3 * sides[0]:
        raise DataContractError(
            f"{tree.path}: detector pixels are {sides[0]:g} m x {sides[1]:g} m; only square ones can be worked with"
        )
    return Optics(
        wavelength(tree), tree.optional(f"{DETECTOR}/distance", "m", "m"), sides[0] if sides else None
    )


def wavelength(tree: Tree) -> float | None:
    """Return the wavelength, m: in CXI of the source, in NXptycho of the beam, since there the source is the ring.

    Raises DataContractError for what is no wavelength or energy.
    """
    length = tree.first(f"{SOURCE}/wavelength", f"{BEAM}/wavelength", f"{BEAM}/incident_wavelength")
    if length is not None:
        return tree.number(length, "m", "m")
    nexus = tree.first(DEFINITION) is not None and "ptycho" in str(tree.array(DEFINITION)).lower()
    places = (f"{BEAM}/energy", f"{BEAM}/incident_beam_energy", f"{BEAM}/incident_energy")
    energy = tree.first(*places) if nexus else tree.first(f"{SOURCE}/energy", *places)
    return None if energy is None else units.wavelength_of(tree.number(energy, "J", "J"))


def write(path: Path, counts: np.ndarray, scan: RawData, optics: Optics) -> None:
    """Write a scan as the format says: translations of the sample, which moves against the beam, and joules.

    Parameters
    ----------
    path : Path
    counts : (M, N, N)
    scan : RawData
        Its positions, probe and bad pixels.
    optics : Optics
        All of it is known.
    """
    pixel_m = float(optics.object_pixel_m(scan.N) or 0)
    x, y = scan.positions.T * pixel_m
    with hdf5.created(path) as file:
        file["cxi_version"], file["number_of_entries"] = 160, 1
        chunk = (1, *counts.shape[1:])
        file.create_dataset(
            f"{DETECTOR}/data", data=counts, chunks=chunk, compression="gzip", compression_opts=1
        )
        for key, value in (
            (f"{DETECTOR}/distance", optics.distance_m),
            (f"{DETECTOR}/x_pixel_size", optics.detector_pixel_m),
            (f"{DETECTOR}/y_pixel_size", optics.detector_pixel_m),
            (f"{SOURCE}/wavelength", optics.wavelength_m),
            (f"{SOURCE}/energy", units.ELECTRON_J * units.energy_of(float(optics.wavelength_m or math.nan))),
            (f"{DETECTOR}/beam_center_x", scan.N // 2),
            (f"{DETECTOR}/beam_center_y", scan.N // 2),
        ):
            file[key] = value
        # Rows run against y and columns against x, and so does the sample against the beam.
        file[TRANSLATION[1]] = np.stack([x, y, 0 * x], axis=1)
        file[f"{SOURCE}/illumination"] = scan.probe
        if scan.bad_pixels is not None:
            file[f"{DETECTOR}/mask"] = scan.bad_pixels.astype(np.uint32)
        file[DATA[0]], file[TRANSLATION[0]] = h5py.SoftLink(DATA[1]), h5py.SoftLink(TRANSLATION[1])
        file[PROGRAM] = "ptycho"


def write_product(path: Path, product: Product) -> None:
    """Write a result as ptychodus 1.7 lays it out and reads it: positions of the beam, x along columns and y along rows."""
    pixel = product.pixel_m
    with hdf5.created(path) as file:
        file["cxi_version"], file["number_of_entries"] = 160, 1
        for number, array, kind, axes in (
            (1, product.probe[None], "amplitude", "coherent:incoherent:y:x"),
            (2, product.object[None], "electron density", "layer:y:x"),
        ):
            image = f"{ENTRY}/image_{number}"
            file[f"{image}/data"] = array
            file[f"{image}/data"].attrs["axes"] = axes
            file[f"{image}/data_type"], file[f"{image}/data_space"] = kind, "real"
            file[f"{image}/image_size"] = [array.shape[-1] * pixel, array.shape[-2] * pixel, 0.0]
        file[f"{SOURCE}/energy"] = units.ELECTRON_J * product.energy_ev
        file[f"{SOURCE}/illumination"] = h5py.SoftLink(f"{ENTRY}/image_1/data")
        file[f"{DETECTOR}/distance"] = product.optics.distance_m or 0.0
        x, y = product.positions.T * pixel
        file[TRANSLATION[1]] = np.stack([x, y, 0 * x], axis=1)
        file[TRANSLATION[0]] = h5py.SoftLink(TRANSLATION[1])
        more = f"{ENTRY}/{OF_BEAM}"
        file[f"{more}/probe_position_indexes"] = product.indexes
        for what in ("probe", "object"):
            file[f"{more}/{what}_pixel_width_m"] = file[f"{more}/{what}_pixel_height_m"] = pixel
        file[f"{more}/object_center_x_m"], file[f"{more}/object_center_y_m"] = product.centre_m
        file[PROGRAM] = f"ptycho, as {OF_BEAM} 1.7"
