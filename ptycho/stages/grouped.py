"""The family of the rows that make groups, for training and for inference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ptycho.base import archive, atomic, identity
from ptycho.network.bundle import Bundle
from ptycho.scan.groups import GroupedData
from ptycho.scan.raw import RawData
from ptycho.settings.params import Params


def telemetry(groups: GroupedData) -> dict[str, float]:
    """Return counts, offsets and reach."""
    numbers: dict[str, float] = {"groups": len(groups), "patterns": len(np.unique(groups.nn_indices))}
    for axis, name in enumerate("xy"):
        offsets = groups.coords_offsets[:, 0, axis, 0]
        numbers[f"offset_{name}_min"] = float(offsets.min())
        numbers[f"offset_{name}_max"] = float(offsets.max())
    numbers["reach_px"] = float(np.abs(groups.coords_relative).max())
    return numbers


def invariants(groups: GroupedData) -> Iterator[tuple[str, bool]]:
    """Yield what must be true of groups, and whether it is."""
    total = np.abs(groups.coords_relative.sum(axis=3)).max()
    yield "relative offsets must sum to zero in each group", bool(total < 1e-6)


def used(groups: GroupedData) -> RawData:
    """Return the patterns that are members of a group."""
    return groups.raw.take(np.unique(groups.nn_indices))


def under(groups: GroupedData, bundle: Bundle) -> RawData:
    """Return the patterns that are members of a group, under the probe of a bundle: what its network had."""
    return used(groups).derived(probe=bundle.probe)


def identify(groups: GroupedData) -> str:
    """Return what tells the patterns that are used, and where they lie, from any others."""
    rows = np.unique(groups.nn_indices)
    return identity.digest((groups.raw.positions[rows], groups.raw.diff3d[rows]))


def truth_of(groups: GroupedData, params: Params) -> np.ndarray | None:
    """Return the object that the groups' scan brings, where the run is to take it for the truth.

    It is (H, W) complex64.
    """
    return groups.raw.object_guess if params.evaluation.use_object_guess else None


def write(path: Path, groups: GroupedData) -> None:
    """Write the members of each group."""
    atomic.write_arrays(path, {"nn_indices": groups.nn_indices, "gridsize": np.array(groups.gridsize)})


def read(path: Path, raw: RawData) -> GroupedData:
    """Read groups of `raw`."""
    arrays = archive.read_arrays(path)
    return GroupedData(raw, int(arrays["gridsize"]), arrays["nn_indices"])
