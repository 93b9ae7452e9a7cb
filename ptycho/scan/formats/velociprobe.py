"""APS 33-ID-C Velociprobe and whatever Dectris detectors write alike: a master file with links to the files of patterns."""

from __future__ import annotations

import re

from ptycho.base import units
from ptycho.scan.formats import frames, hdf5
from ptycho.scan.formats.source import Source
from ptycho.scan.formats.tree import Tree
from ptycho.scan.optics import Optics

NAME = "Dectris master file (Velociprobe)"
DATA, DETECTOR = "/entry/data", "/entry/instrument/detector"
PART = re.compile(r"data_\d+")
SPECIFIC = f"{DETECTOR}/detectorSpecific"


def fits(tree: Tree) -> bool:
    """Whether a file has patterns in numbered parts."""
    return bool(_parts(tree))


def read(tree: Tree) -> Source:
    """Return what a master file holds: patterns and optics; positions lie in a file of their own.

    Raises DataContractError, naming file and path, for parts that are not beside it, and for what is of another kind there.
    """
    parts = _parts(tree)
    mask = f"{SPECIFIC}/pixel_mask"
    energy = tree.optional(f"{SPECIFIC}/photon_energy", "eV", "J")
    return Source(
        patterns=frames.stack(tree, *parts),
        optics=Optics(
            None if energy is None else units.wavelength_of(energy),
            tree.optional(f"{DETECTOR}/detector_distance", "m", "m"),
            tree.optional(f"{DETECTOR}/x_pixel_size", "m", "m"),
        ),
        bad=frames.bad_pixels(tree, mask) if tree.has(mask) else None,
        lines=(f"{NAME}: patterns are counts from {parts[0]} to {parts[-1]}",),
    )


def _parts(tree: Tree) -> list[str]:
    names = tree.names(DATA) if isinstance(tree, hdf5.Tree) else ()
    return [f"{DATA}/{name}" for name in sorted(names) if PART.fullmatch(name)]
