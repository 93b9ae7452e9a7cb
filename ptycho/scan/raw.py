"""A scan: one diffraction pattern for each position, and the probe; and its division into two parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from typing import Any

import numpy as np

from ptycho.base import identity
from ptycho.base.errors import DataContractError
from ptycho.scan import checks


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
    bad_pixels : (N, N) bool or None
        Detector pixels that are not to be believed, in the frame of the patterns. Amplitudes there are 0, whatever
        was given: nobody can look at them, and whoever predicts patterns leaves them out.

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
    bad_pixels: np.ndarray | None = None

    def __post_init__(self) -> None:
        self._cast()
        checks.check_scan(self)

    def _cast(self) -> None:
        """Bring every array to its type, and fill in those that are not there."""
        put = partial(object.__setattr__, self)  # frozen: set once, here
        put("xcoords", np.asarray(self.xcoords, np.float64))
        put("ycoords", np.asarray(self.ycoords, np.float64))
        with np.errstate(over="ignore"):  # an overflow becomes an infinity, which the checks name
            put("diff3d", np.asarray(self.diff3d, np.float32))
            probe = np.asarray(self.probe, np.complex64)
            put("probe", probe[None] if probe.ndim == 2 else probe)
            if self.object_guess is not None:
                put("object_guess", np.asarray(self.object_guess, np.complex64))
        self._hide_bad_pixels()
        index: Any = self.scan_index
        index = np.zeros(self.xcoords.shape) if index is None else np.asarray(index)
        put("scan_index", checks.whole_numbers(index))
        for axis in ("x", "y"):
            start = getattr(self, f"{axis}coords_start")
            start = getattr(self, f"{axis}coords") if start is None else start
            put(f"{axis}coords_start", np.asarray(start, np.float64))

    def _hide_bad_pixels(self) -> None:
        """Set amplitudes to 0 where they are not to be believed; a mask of another shape is left to the checks."""
        if self.bad_pixels is None:
            return
        bad = np.asarray(self.bad_pixels, bool)
        object.__setattr__(self, "bad_pixels", bad if bad.any() else None)
        if self.diff3d.shape[1:] == bad.shape and self.diff3d[:, bad].any():
            object.__setattr__(self, "diff3d", np.where(bad, np.float32(0), self.diff3d))

    def __len__(self) -> int:
        return len(self.xcoords)

    @property
    def N(self) -> int:
        """Side of a diffraction pattern, px."""
        return int(self.diff3d.shape[-1])

    @property
    def good_pixels(self) -> np.ndarray:
        """Detector pixels (N, N) bool that are to be believed."""
        return np.ones(self.diff3d.shape[1:], bool) if self.bad_pixels is None else ~self.bad_pixels

    @cached_property
    def positions(self) -> np.ndarray:
        """Scan positions (M, 2) [x, y], px."""
        return np.stack([self.xcoords, self.ycoords], axis=1)

    @cached_property
    def digest(self) -> str:
        """Identity of the content; taken once, since a scan is large and never changes."""
        return identity.digest_of_fields(self)

    def take(self, rows: np.ndarray) -> RawData:
        """Return the scan restricted to `rows` (m,) int64; every per-pattern array is sliced alike."""
        names = ("xcoords", "ycoords", "diff3d", "scan_index", "xcoords_start", "ycoords_start")
        return self.derived(**{name: getattr(self, name)[rows] for name in names})

    def at(self, positions: np.ndarray) -> RawData:
        """Return the scan at other positions (M, 2) [x, y], px, as a solver finds them."""
        return self.derived(xcoords=positions[:, 0], ycoords=positions[:, 1])

    def without_truth(self) -> RawData:
        """Return the scan without its object."""
        return self.derived(object_guess=None)

    def derived(self, **changes: Any) -> RawData:
        """Return the scan with other arrays by the names of its fields, as the program makes them from this one.

        They are brought to their types, and not checked: checks are meant for what a user brings, and have a
        user's remedies. A position that a solver moves may lie where a file's could not.
        """
        scan = object.__new__(RawData)
        for part in fields(self):
            object.__setattr__(scan, part.name, changes.get(part.name, getattr(self, part.name)))
        scan._cast()
        return scan


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
                "the split leaves no patterns to train on; set split.method to axis, scan_index or none, or give a "
                "trained bundle"
            )
        return self.scan.take(self.train_rows)

    @cached_property
    def test(self) -> RawData:
        """The part that is reconstructed."""
        return self.scan.take(self.test_rows)
