"""Faults of the files of other programs and of beamlines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ptycho.testing.fault import Fault


def _of_sample(original: Any) -> Any:
    """Take translations of the sample for positions of the beam."""
    return lambda translations: translations


def _of_the_source(original: Any) -> Any:
    """Take the energy of the source, whatever the file calls itself."""

    def wavelength(tree: Any) -> Any:
        from ptycho.base import units
        from ptycho.scan.formats import cxi

        return units.wavelength_of(tree.number(f"{cxi.SOURCE}/energy", "J", "J"))

    return wavelength


def _anywhere(original: Any) -> Any:
    """Follow a link wherever it leads."""
    return lambda self, key, name: None


def _as_it_lies(original: Any) -> Any:
    """Take whatever the library gives at a path for values, and hand on what it raises."""

    def at(self: Any, key: str) -> Any:
        import h5py

        thing = self.file.get(key)
        return thing if isinstance(thing, h5py.Dataset) else None

    return at


def _as_they_are(original: Any) -> Any:
    """Take positions as they are, x before y, whatever wrote them."""

    def read(tree: Any) -> Any:
        from ptycho.scan.formats import layouts

        layout = next(each for each in layouts.LAYOUTS if each.fits(tree))
        return replace(layout, signs=(1.0, 1.0), rows_first=False, unit="m").read(tree)

    return read


def _as_in_the_file(original: Any) -> Any:
    """Take patterns as HDF5 shows them, whoever wrote them."""
    return lambda tree, *keys, transposed=None, corner=False: original(tree, *keys, transposed=False)


def _by_order(original: Any) -> Any:
    """Pair the first pattern with the first position, and so on."""

    def paired(source: Any, pair: Any = None) -> Any:
        return original(source, "leading")

    return paired


FAULTS = (
    Fault("FOREIGN-TREE-001", "as-it-lies", "ptycho.scan.formats.hdf5:Tree.at", _as_it_lies),
    Fault("CXI-TRANSLATION-001", "of-sample", "ptycho.scan.formats.cxi:of_beam", _of_sample),
    Fault("RING-ENERGY-001", "of-the-source", "ptycho.scan.formats.cxi:wavelength", _of_the_source),
    Fault("LINK-OUTSIDE-001", "anywhere", "ptycho.scan.formats.hdf5:Tree.check_inside", _anywhere),
    Fault("LAYOUT-SIGNS-001", "as-they-are", "ptycho.scan.formats.layouts:read", _as_they_are),
    Fault("SHELVES-TRANSPOSED-001", "as-in-the-file", "ptycho.scan.formats.frames:stack", _as_in_the_file),
    Fault("TRIGGER-OFF-BY-ONE-001", "by-order", "ptycho.scan.formats.pairing:paired", _by_order),
)
