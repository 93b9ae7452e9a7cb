"""Files of ptychodus: a product (positions, probe, object), and the patterns that lie beside it.

Names of version 1.7, and those before it that its reader still takes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ptycho.base import units
from ptycho.scan.formats import frames, hdf5, keyed
from ptycho.scan.formats.product import Product
from ptycho.scan.formats.source import Source
from ptycho.scan.formats.tree import Tree
from ptycho.scan.optics import Optics
from ptycho.scan.raw import RawData

NAME = "ptychodus"
PATTERNS, NUMBERS, BAD = "/patterns", "/indexes", "/bad_pixels"
X, Y, INDEX, PROBE = "/probe_position_x_m", "/probe_position_y_m", "/probe_position_indexes", "/probe"
ENERGIES = ("photon_energy_eV", "probe_energy_eV")
UNKNOWN = (
    *("probe_photon_count", "exposure_time_s", "mass_attenuation_m2_per_kg", "tomography_angle_deg"),
    *("focus_object_distance_m", "tilt_angle_deg"),
)
"""Numbers of a product that nobody here knows: 0."""
BESIDE = ("product.h5", "product.hdf5")


def fits(tree: Tree) -> bool:
    """Whether a file is a product, or patterns."""
    return tree.has(X, Y) or tree.has(PATTERNS)


def read(tree: Tree) -> Source:
    """Return what a product or a file of patterns holds; positions are those of the probe on the object, as they are.

    Raises DataContractError, naming file and path, for what is of another kind there.
    """
    return _product(tree) if tree.has(X, Y) else _patterns(tree)


def beside(path: Path) -> tuple[Path, ...]:
    """Return where the product of a file of patterns may lie."""
    return tuple(path.with_name(name) for name in BESIDE)


def _patterns(tree: Tree) -> Source:
    stack = frames.stack(tree, PATTERNS, transposed=False)
    pixel = _attribute(tree, PATTERNS, "detector_pixel_width_m")
    return Source(
        patterns=stack,
        optics=Optics(detector_pixel_m=pixel),
        bad=frames.bad_pixels(tree, BAD) if tree.has(BAD) else None,
        pattern_indexes=keyed.indexes(tree, NUMBERS) if tree.has(NUMBERS) else None,
        beside=beside(tree.path),
        lines=(f"{NAME}: patterns are counts from {PATTERNS}",),
    )


def _product(tree: Tree) -> Source:
    x, y = (tree.reals(key).reshape(-1) for key in (X, Y))
    probe = _probe(tree)
    energy = next((value for name in ENERGIES if (value := _attribute(tree, "/", name))), None)
    side = None if probe is None else probe.shape[-1]
    pixel = _attribute(tree, "/object", "pixel_width_m") or _attribute(tree, PROBE, "pixel_width_m")
    return Source(
        positions=keyed.together(tree, X, x, Y, y),
        position_indexes=keyed.indexes(tree, INDEX) if tree.has(INDEX) else None,
        optics=Optics(
            units.wavelength_of(energy * units.ELECTRON_J) if energy else None,
            _attribute(tree, "/", "detector_object_distance_m"),
            window_m=pixel * side if pixel and side else None,
        ),
        probe=probe,
        lines=(
            f"{NAME}: positions are {X} and {Y} of {tree.path.name}, as they are: x along columns, y along rows",
        ),
    )


def _probe(tree: Tree) -> np.ndarray | None:
    """Return the modes of the probe (P, N, N), of several at each place those of the first; None where there is none."""
    if not tree.has(PROBE) or 0 in tree.dataset(PROBE).shape:
        return None
    dataset = tree.dataset(PROBE)
    if dataset.ndim != 4:
        return frames.probe(tree, PROBE)
    return frames.of_modes(tree, PROBE, tree.array(PROBE)[0])


def _attribute(tree: Tree, key: str, name: str) -> float | None:
    """Return an attribute above 0 of a path (of a product in an NPZ: the array of that name), None where there is none."""
    value = tree.attribute(key, name)
    prefix = "" if key in ("/", PATTERNS) else f"{key.strip('/')}_"
    if value is None and tree.has(f"/{prefix}{name}"):
        value = tree.array(f"/{prefix}{name}")
    if value is None or np.ndim(value) > 1 or np.size(value) != 1:
        return None
    number = np.asarray(value).reshape(-1)[0]
    return (
        float(number) if isinstance(number, np.number) and np.isreal(number) and 0 < number < np.inf else None
    )


def write_patterns(path: Path, counts: np.ndarray, scan: RawData, optics: Optics) -> None:
    """Write the patterns (M, N, N) of a scan, numbered by their rows."""
    with hdf5.created(path) as file:
        file[NUMBERS] = np.arange(len(scan))
        stored = file.create_dataset(PATTERNS, data=counts, chunks=(1, *counts.shape[1:]), compression="lzf")
        for side in ("width", "height"):
            stored.attrs[f"detector_pixel_{side}_m"] = optics.detector_pixel_m or 0.0
        file[BAD] = ~scan.good_pixels


def write_product(path: Path, product: Product) -> None:
    """Write a product with the names of 1.7."""
    attributes = {
        "name": "ptycho",
        "comments": "",
        "detector_object_distance_m": product.optics.distance_m or 0.0,
        ENERGIES[0]: product.energy_ev,
        **dict.fromkeys(UNKNOWN, 0.0),
        "far_field": True,
    }
    with hdf5.created(path) as file:
        file.attrs.update(attributes)
        file[INDEX] = product.indexes
        file[X], file[Y] = product.positions.T * product.pixel_m
        for key, array in ((PROBE, product.probe[None]), ("/object", product.object[None])):
            file[key] = array
            file[key].attrs["pixel_width_m"] = file[key].attrs["pixel_height_m"] = product.pixel_m
        file["/object"].attrs["center_x_m"], file["/object"].attrs["center_y_m"] = product.centre_m
        file["/object_layer_spacing_m"] = np.zeros(0)
        file["/loss_epochs"], file["/loss_values"] = np.zeros(0, np.int64), np.zeros(0)
