"""Groups of a scan's patterns, and what a network is fed of them.

Patterns are gathered on demand, so that a group of any number of them allocates nothing of the size of the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ptycho.base.errors import DataContractError
from ptycho.physics import coords
from ptycho.physics.scaling import Scales
from ptycho.scan.raw import RawData

NOT_MEASURED = -1.0
"""Amplitude of a pixel that is not to be believed, where a network or a solver is fed; any below zero means that."""


@dataclass(frozen=True)
class GroupedData:
    """Groups of C = gridsize^2 patterns of one scan.

    Attributes
    ----------
    raw : RawData
    gridsize : int
    nn_indices : (B, C) int64
        Rows of `raw`; channel c of group b is pattern ``nn_indices[b, c]``.
    """

    raw: RawData
    gridsize: int
    nn_indices: np.ndarray

    def __post_init__(self) -> None:
        indices = np.asarray(self.nn_indices, np.int64)
        object.__setattr__(self, "nn_indices", indices)
        if indices.ndim != 2 or indices.shape[1] != self.members:
            raise DataContractError(f"nn_indices must have shape (B, {self.members}); got {indices.shape}")
        if indices.size and not (indices.min() >= 0 and indices.max() < len(self.raw)):
            raise DataContractError(f"nn_indices reach outside of the scan's {len(self.raw)} patterns")

    def __len__(self) -> int:
        return len(self.nn_indices)

    @property
    def N(self) -> int:
        """Side of a diffraction pattern, px."""
        return self.raw.N

    @property
    def members(self) -> int:
        """Patterns in each group, C."""
        return self.gridsize**2

    @cached_property
    def coords_nn(self) -> np.ndarray:
        """Member positions (B, 1, 2, C) float64, px."""
        return coords.stack_channels(self.raw.positions, self.nn_indices)

    @cached_property
    def coords_offsets(self) -> np.ndarray:
        """Mean position of each group (B, 1, 2, 1) float64, px."""
        return coords.group_offsets(self.coords_nn)[0]

    @cached_property
    def coords_relative(self) -> np.ndarray:
        """``-(p - mean p)`` of each member (B, 1, 2, C) float64, px."""
        return coords.group_offsets(self.coords_nn)[1]

    @cached_property
    def on_canvas(self) -> tuple[np.ndarray, np.ndarray]:
        """Whole-pixel centre of each canvas (B, 1, 2, 1), and ``-(p - centre)`` (B, 1, 2, C), float64, px."""
        return coords.canvas_offsets(self.coords_offsets, self.coords_relative)

    def diffraction(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Gather the amplitudes (b, N, N, C) float32 of the groups `rows`."""
        return np.moveaxis(self.raw.diff3d[self.nn_indices[rows]], 1, -1)

    def object_patches(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Cut the true patches (b, N, N, C) complex64 at each member's own position.

        Raises DataContractError where the scan has no object.
        """
        if self.raw.object_guess is None:
            raise DataContractError("this scan has no objectGuess to cut label patches from")
        positions = coords.member_positions(self.coords_offsets[rows], self.coords_relative[rows])
        patches = coords.extract_patches(self.raw.object_guess, positions, self.raw.N)
        return coords.flat_to_channels(patches, self.members)


@dataclass(frozen=True)
class ClusteredData(GroupedData):
    """Clusters of neighbouring groups, as they are trained on.

    Attributes
    ----------
    groups : int
        Groups in a cluster: its first ``groups * gridsize^2`` members, group by group.
    judges : int
        Further patterns, its last members, from which nothing is reconstructed.
    """

    groups: int = 1
    judges: int = 0

    @property
    def members(self) -> int:
        """Patterns in each cluster."""
        return self.groups * self.gridsize**2 + self.judges

    @cached_property
    def reaches(self) -> np.ndarray:
        """Largest distance along an axis of each cluster's members from its canvas's centre (B,), px."""
        return np.asarray(np.abs(self.on_canvas[1]).max(axis=(1, 2, 3)))

    @cached_property
    def group_reaches(self) -> np.ndarray:
        """Largest distance along an axis of the members of each cluster's groups from the centre of theirs (B,), px."""
        sources = self.nn_indices[:, : self.groups * self.gridsize**2]
        groups = GroupedData(self.raw, self.gridsize, sources.reshape(-1, self.gridsize**2))
        return np.asarray(np.abs(groups.on_canvas[1]).reshape(*sources.shape, 2).max(axis=(1, 2)))


@dataclass(frozen=True)
class PtychoDataContainer:
    """Groups together with every scale factor between them and the network.

    ``X = scales.statistical * diffraction`` has the fixed mean energy (N/2)^2 over the training groups;
    ``(scales.photon_scale * X)**2`` are counts.
    """

    grouped: GroupedData
    scales: Scales

    def __len__(self) -> int:
        return len(self.grouped)

    @property
    def has_ground_truth(self) -> bool:
        """Whether label patches exist."""
        return self.grouped.raw.object_guess is not None

    def X(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return the normalised amplitudes (b, N, N, C) float32 of the groups `rows`."""
        return self.grouped.diffraction(rows) * np.float32(self.scales.statistical)

    def batch(self, rows: np.ndarray | slice) -> dict[str, np.ndarray]:
        """Return the network's inputs for the groups `rows`.

        Returns
        -------
        dict
            ``amplitude`` (b, N, N, C) float32: s * X, in square roots of counts, and `NOT_MEASURED` at bad pixels;
            ``positions`` (b, 1, 2, C) float32: relative offsets, px.
        """
        amplitude = self.X(rows) * np.float32(self.scales.photon_scale)
        if self.grouped.raw.bad_pixels is not None:
            amplitude[:, self.grouped.raw.bad_pixels] = NOT_MEASURED
        return {
            "amplitude": amplitude,
            "positions": self.grouped.on_canvas[1][rows].astype(np.float32),
        }
