"""The three shapes that data take on their way: a scan, groups of a scan, and what a network is fed.

All are frozen. Group arrays of diffraction patterns are gathered on demand, so that building a container
allocates nothing of the size of the data.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ptycho import coords, identity, machine
from ptycho.config import SUPPORTED_N
from ptycho.errors import DataContractError
from ptycho.scaling import Scales

logger = logging.getLogger(__name__)

CANVAS_BYTES = 60
"""Memory that stitching and evaluation take for each pixel of the canvas: sums, coverage, comparisons."""
MOST_AMPLITUDE = 1e15
"""Largest square root of a count that single precision can still square and sum; its inverse is the smallest."""


@dataclass(frozen=True)
class RawData:
    """A scan: one diffraction pattern for each position, and the probe.

    Attributes
    ----------
    xcoords, ycoords : (M,) float64
        Patch centres in object pixels; x is the column.
    diff3d : (M, N, N) float32
        Diffraction amplitudes (square roots of counts over `photon_scale`), zero frequency at [N/2, N/2].
    probe : (P, N, N) complex64
        The P incoherent modes of the probe; a single probe may be given as (N, N).
    scan_index : (M,) int64
        Which scan (or object, in grid mode) a pattern belongs to.
    xcoords_start, ycoords_start : (M,) float64
        Nominal positions; copies of xcoords and ycoords where none were recorded.
    object_guess : (H, W) complex64 or None
        The object in the frame of the positions; the truth where the scan was simulated.
    photon_scale : float
        Counts are ``(photon_scale * diff3d)**2``. 1 for measured data in square roots of counts.
    metadata : mapping
        JSON values, for provenance.

    Raises
    ------
    DataContractError
        Naming the key, what was found and what was expected.
    """

    xcoords: np.ndarray
    ycoords: np.ndarray
    diff3d: np.ndarray
    probe: np.ndarray
    scan_index: np.ndarray = None  # type: ignore[assignment]  # filled with zeros
    xcoords_start: np.ndarray = None  # type: ignore[assignment]  # filled with xcoords
    ycoords_start: np.ndarray = None  # type: ignore[assignment]  # filled with ycoords
    object_guess: np.ndarray | None = None
    photon_scale: float = 1.0
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731  frozen: set once, here
        put("xcoords", np.asarray(self.xcoords, np.float64))
        put("ycoords", np.asarray(self.ycoords, np.float64))
        with np.errstate(over="ignore"):  # an overflow becomes an infinity, which _check_values names
            put("diff3d", np.asarray(self.diff3d, np.float32))
            probe = np.asarray(self.probe, np.complex64)
        put("probe", probe[None] if probe.ndim == 2 else probe)
        if self.xcoords.ndim != 1:
            raise DataContractError(f"xcoords must have shape (M,); got {self.xcoords.shape}")
        count = len(self.xcoords)
        index = np.zeros(count) if self.scan_index is None else self.scan_index
        put("scan_index", _whole_numbers(np.asarray(index)))
        for axis in ("x", "y"):
            start = getattr(self, f"{axis}coords_start")
            start = getattr(self, f"{axis}coords") if start is None else start
            put(f"{axis}coords_start", np.asarray(start, np.float64))
        if self.object_guess is not None:
            with np.errstate(over="ignore"):
                put("object_guess", np.asarray(self.object_guess, np.complex64))
        _check_shapes(self)
        _check_values(self)

    def __len__(self) -> int:
        return len(self.xcoords)

    @property
    def N(self) -> int:
        """Side of a diffraction pattern, px."""
        return self.diff3d.shape[-1]

    @cached_property
    def positions(self) -> np.ndarray:
        """Scan positions (M, 2) [x, y], px."""
        return np.stack([self.xcoords, self.ycoords], axis=1)

    @cached_property
    def digest(self) -> str:
        """Identity of the content; taken once, since a scan is large and never changes."""
        return identity.digest_of_fields(self)

    def take(self, rows: np.ndarray) -> RawData:
        """Return the scan restricted to `rows`; every per-pattern array is sliced alike."""
        names = ("xcoords", "ycoords", "diff3d", "scan_index", "xcoords_start", "ycoords_start")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def without_truth(self) -> RawData:
        """Return the scan without its object."""
        return replace(self, object_guess=None)


@dataclass(frozen=True)
class Split:
    """A scan and its division into two disjoint parts.

    Attributes
    ----------
    scan : RawData
    train_rows, test_rows : (m,) int64
        Patterns of the parts; nothing may train where a whole scan is to be reconstructed.
    """

    scan: RawData
    train_rows: np.ndarray
    test_rows: np.ndarray

    @property
    def N(self) -> int:
        """Side of a diffraction pattern, px."""
        return self.scan.N

    @cached_property
    def train(self) -> RawData:
        """The training part; raises DataContractError where there is none."""
        if not len(self.train_rows):
            raise DataContractError(
                "the split leaves no patterns to train on; set split.method to axis or scan_index, or give a "
                "trained bundle"
            )
        return self.scan.take(self.train_rows)

    @cached_property
    def test(self) -> RawData:
        """The part that is reconstructed."""
        return self.scan.take(self.test_rows)


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
        return np.abs(groups.on_canvas[1]).reshape(*sources.shape, 2).max(axis=(1, 2))


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
            ``amplitude`` (b, N, N, C) float32: s * X, in square roots of counts;
            ``positions`` (b, 1, 2, C) float32: relative offsets, px.
        """
        return {
            "amplitude": self.X(rows) * np.float32(self.scales.photon_scale),
            "positions": self.grouped.on_canvas[1][rows].astype(np.float32),
        }


def _whole_numbers(index: np.ndarray) -> np.ndarray:
    """Return a scan index as int64; raise DataContractError where it holds anything else."""
    if index.dtype.kind in "iub":
        return index.astype(np.int64)
    whole = np.isfinite(index) & (np.abs(index) < 2**53) & (index == np.floor(index))
    if not whole.all():
        row = int(np.argmin(whole))
        raise DataContractError(f"scan_index must hold whole numbers; row {row} is {index[row]!r}")
    return index.astype(np.int64)


def _check_shapes(raw: RawData) -> None:
    count = len(raw.xcoords)
    if count == 0:
        raise DataContractError("xcoords is empty: a scan needs at least one position")
    if raw.diff3d.ndim != 3 or raw.diff3d.shape[1] != raw.diff3d.shape[2]:
        raise DataContractError(f"diff3d must have shape (M, N, N); got {raw.diff3d.shape}")
    for name in ("ycoords", "diff3d", "scan_index", "xcoords_start", "ycoords_start"):
        array = getattr(raw, name)
        if array.shape[:1] != (count,) or (name != "diff3d" and array.ndim != 1):
            raise DataContractError(f"{name} has shape {array.shape} but xcoords has {count} entries")
    if raw.N not in SUPPORTED_N:
        raise DataContractError(
            f"diff3d holds patterns of {raw.N} x {raw.N}; N must be one of "
            f"{', '.join(map(str, SUPPORTED_N))}: crop or pad the patterns"
        )
    if raw.probe.ndim != 3 or raw.probe.shape[1:] != raw.diff3d.shape[1:]:
        raise DataContractError(
            f"probeGuess must have shape ({raw.N}, {raw.N}) or (modes, {raw.N}, {raw.N}); got {raw.probe.shape}"
        )
    if raw.object_guess is not None and raw.object_guess.ndim != 2:
        raise DataContractError(f"objectGuess must have shape (H, W); got {raw.object_guess.shape}")


def _check_values(raw: RawData) -> None:
    for name in ("xcoords", "ycoords", "diff3d", "probe", "xcoords_start", "ycoords_start", "object_guess"):
        array = getattr(raw, name)
        if array is None:
            continue
        # A sum is not finite as soon as one element is not, and needs no temporary of the array's size.
        with np.errstate(invalid="ignore", over="ignore"):
            total = array.sum(dtype=np.result_type(array, np.float64))
        if not np.isfinite(total):
            bad = int(np.size(array) - np.isfinite(array).sum())
            raise DataContractError(f"{name} has {bad} values that are NaN or infinite; remove or mask them")
    lowest = raw.diff3d.min()
    if lowest < 0:
        raise DataContractError(f"diff3d must hold amplitudes >= 0; found {lowest:.6g}")
    if not raw.diff3d.any():
        raise DataContractError("diff3d is zero everywhere: there is nothing to reconstruct")
    if not raw.probe.any():
        raise DataContractError("probeGuess is zero everywhere: give the illumination of the scan")
    if not (np.isfinite(raw.photon_scale) and raw.photon_scale > 0):
        raise DataContractError(f"photon_scale must be finite and > 0; got {raw.photon_scale!r}")
    brightest = raw.photon_scale * float(raw.diff3d.max())
    if not 1 / MOST_AMPLITUDE < brightest < MOST_AMPLITUDE:
        raise DataContractError(
            f"photon_scale = {raw.photon_scale:.6g} makes {brightest:.3g} the square root of the brightest pixel's counts; "
            f"it must lie between {1 / MOST_AMPLITUDE:g} and {MOST_AMPLITUDE:g}"
        )
    _check_frame(raw)


def _check_canvas(raw: RawData) -> None:
    """Refuse positions whose canvas no machine holds, naming the one that lies farthest out."""
    width, height = (float(span) + raw.N for span in np.ptp(raw.positions, axis=0))
    row = int(np.argmax(np.abs(raw.positions - np.median(raw.positions, axis=0)).max(axis=1)))
    machine.check_memory(
        width * height * CANVAS_BYTES,
        f"a canvas of {height:.4g} x {width:.4g} px for positions up to (x, y) = ({raw.xcoords[row]:.6g}, "
        f"{raw.ycoords[row]:.6g}) in row {row}",
        "take that pattern out, or give positions in object pixels",
        DataContractError,
    )


def _check_frame(raw: RawData) -> None:
    """Positions must be pixels, and must lie in the object where one is given."""
    reach = np.ptp(raw.positions, axis=0).max()
    if len(raw) > 1 and reach == 0:
        raise DataContractError(
            f"all {len(raw)} positions are ({raw.xcoords[0]:.6g}, {raw.ycoords[0]:.6g}): patterns of one place do not "
            "overlap with others; give the scan's positions"
        )
    if len(raw) > 1 and reach < 1:
        raise DataContractError(
            f"positions span only {reach:.3g} px: xcoords and ycoords look like metres; "
            "divide them by the object pixel size"
        )
    _check_canvas(raw)
    if raw.object_guess is not None:
        inside = coords.inside_object(raw.positions, raw.object_guess.shape)
        if not inside.all():
            row = int(np.argmin(inside))
            height, width = raw.object_guess.shape
            raise DataContractError(
                f"{int((~inside).sum())} of {len(raw)} positions lie outside of the {height} x {width} object, "
                f"first (x, y) = ({raw.xcoords[row]:.6g}, {raw.ycoords[row]:.6g}); "
                "positions are patch centres in pixels of objectGuess"
            )
