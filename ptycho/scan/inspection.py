"""Every frame and every pixel of a scan is looked at: what is plainly bad is left out, what is doubtful is named."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ptycho.base.errors import DataContractError
from ptycho.physics import forward, scaling
from ptycho.scan import counting, geometry, near_field, odd_frames, odd_pixels, shortcomings
from ptycho.scan.damage import NOWHERE, Damage
from ptycho.scan.raw import RawData
from ptycho.settings import selection

READ = "read"
"""Under this name a scan's metadata hold what its reader has to say."""
MOST_FRAMES, MOST_PIXELS = 0.5, 0.5
"""Share of a scan's frames and pixels that may be bad; with more it is no scan."""
ALIKE = 0.8
"""Cosine from which on the mean pattern looks like the probe's far field."""
CENTRE_SHARE = 1 / 32
"""Share of N by which the patterns' centre may be off without a word."""


@dataclass(frozen=True)
class Inspection:
    """What came of looking at a scan.

    Attributes
    ----------
    scan : RawData
        Without the frames that are left out, and with the pixels masked that are not to be believed.
    kept : (M,) int64
        Its rows in the scan that was given.
    damages : tuple of Damage
        What was noticed; where it was sure, and not to be kept, it is left out.
    given_pixels : int
        Pixels that the scan's file or a mask named.
    """

    scan: RawData
    kept: np.ndarray
    damages: tuple[Damage, ...] = ()
    given_pixels: int = 0

    @property
    def N(self) -> int:
        """Side of a diffraction pattern, px."""
        return self.scan.N

    @property
    def kept_text(self) -> str:
        """The rows that are kept, as text: ``0-39,45-99``."""
        return selection.text_of(self.kept)

    @cached_property
    def wrong(self) -> tuple[Damage, ...]:
        """What makes all that comes of this scan doubtful."""
        return tuple(damage for damage in self.damages if damage.wrong)


def inspect(raw: RawData, keep_frames: str | None = None, keep_pixels: str | None = None) -> Inspection:
    """Look at all frames and pixels of a scan.

    Parameters
    ----------
    raw : RawData
    keep_frames, keep_pixels : str, optional
        What is to stay though it is bad, see :mod:`ptycho.settings.selection`.

    Raises
    ------
    DataContractError
        Frames or pixels are to be kept that are not there; too much of the scan is bad; or it is one of the near field.
    """
    frames, pixels = selection.frames(keep_frames), selection.pixels(keep_pixels)
    check_kept(raw, frames, pixels)
    given = 0 if raw.bad_pixels is None else int(raw.bad_pixels.sum())
    over = list(odd_pixels.overflowing(raw))
    _check_share(len(_where(over, pixels, of_frames=False)), raw.N**2, "pixels", over, "--keep-pixels all")
    raw = masked(raw, over, pixels)
    damages = over + list(odd_frames.look(counting.in_photons(raw)))
    rows = _where(damages, frames, of_frames=True)
    _check_share(len(rows), len(raw), "frames", damages, "--keep-frames all")
    kept = np.setdiff1d(np.arange(len(raw)), rows)
    left = masked(raw.take(kept) if len(rows) else raw, damages, pixels)
    odd = list(odd_pixels.look(counting.in_photons(left)))
    saturated = any(damage.kind.startswith("saturated") for damage in damages)
    # What a ceiling has cut is no amplitude either, and no other reading of it is.
    wrong = [] if saturated else list(counting.look(_sound(raw, [*damages, *odd])))
    if not wrong:  # else what would be noise, and what would not, is not known
        left, damages = masked(left, odd, pixels), damages + odd
    # A mask that was given may leave as little as it likes.
    bad = 0 if left.bad_pixels is None else int(left.bad_pixels.sum()) - given
    _check_share(bad, raw.N**2 - given, "pixels", damages, "--keep-pixels all")
    if not left.diff3d.any():
        raise DataContractError("the pixels that are left hold no light; give another mask or file")
    near_field.check(left)
    check_changing(left)
    # Where the brightest pixels are gone the centre is not to be told.
    centre = [] if saturated else _centre(left)
    return Inspection(left, kept, (*damages, *shortcomings.look(left), *centre, *wrong), given)


def _sound(raw: RawData, damages: list[Damage]) -> RawData:
    """Return what of a scan is sound, whatever is to be kept; all of it where hardly anything is."""
    rows = _where(damages, (), of_frames=True)
    result = masked(raw.take(np.setdiff1d(np.arange(len(raw)), rows)), damages, ())
    return result if 2 * result.good_pixels.sum() > raw.N**2 else raw


def masked(raw: RawData, damages: Iterable[Damage], keep: tuple[tuple[int, int], ...] | None) -> RawData:
    """Return the scan with the pixels masked that are plainly bad, but for those to `keep`."""
    places = _where(damages, keep, of_frames=False)
    if not len(places):
        return raw
    bad = ~raw.good_pixels
    bad[tuple(places.T)] = True
    return raw.derived(bad_pixels=bad)


def check_kept(
    raw: RawData, frames: tuple[int, ...] | None, pixels: tuple[tuple[int, int], ...] | None
) -> None:
    """Raise DataContractError where frames or pixels are to be kept that a scan does not have."""
    beyond = [row for row in frames or () if row >= len(raw)]
    if beyond:
        raise DataContractError(
            f"--keep-frames {beyond[0]}: the scan has {len(raw)} frames, numbered from 0; name those that are there"
        )
    outside = [place for place in pixels or () if max(place) >= raw.N]
    if outside:
        y, x = outside[0]
        raise DataContractError(
            f"--keep-pixels {y}x{x}: a pattern has {raw.N} x {raw.N} pixels, numbered from 0; name those that are there"
        )


def check_changing(raw: RawData) -> None:
    """Raise DataContractError where patterns neither change with the position nor look like the probe's far field.

    Then every pixel counts by itself. Vacuum does not change either, and looks like the probe.
    """
    if len(raw) < odd_frames.FEWEST:
        return
    raw = counting.in_photons(raw)
    mean = raw.diff3d.mean(axis=0, dtype=np.float64)
    energy = float(scaling.pattern_energies(raw.diff3d).sum())
    changes = 1 - len(raw) * float(np.square(mean).sum()) / max(energy, 1e-300)
    light = forward.probe_amplitude(raw.probe)
    overlaps = np.fft.ifft2(np.fft.fft2(mean) * np.conj(np.fft.fft2(light))).real
    likeness = float(overlaps.max()) / max(float(np.linalg.norm(mean) * np.linalg.norm(light)), 1e-300)
    if changes < 2 * scaling.photon_noise(raw.diff3d, raw.photon_scale) and likeness < ALIKE:
        raise DataContractError(
            f"the patterns do not change from position to position (by {changes:.2g} of their energy, no more than photon noise), "
            f"nor look like the probe's far field (cosine {likeness:.2f}): every pixel counts by itself; look at the detector, or "
            "subtract its background"
        )


def leave_out(damage: Damage, kept: tuple[int, ...] | tuple[tuple[int, int], ...] | None) -> np.ndarray:
    """Return the rows (m,) or pixels (m, 2) of a kind of damage that are left out: none where all are `kept` (None)."""
    if kept is None or not damage.sure:
        return damage.where[:0]
    known = set(kept)
    stay = [(int(place) if damage.of_frames else tuple(map(int, place))) in known for place in damage.where]
    return np.asarray(damage.where[~np.array(stay, bool)])


def _where(
    damages: Iterable[Damage],
    kept: tuple[int, ...] | tuple[tuple[int, int], ...] | None,
    *,
    of_frames: bool,
) -> np.ndarray:
    """Return the rows or pixels of all kinds of damage that are left out."""
    parts: list[np.ndarray] = [
        leave_out(damage, kept) for damage in damages if (damage.of_frames if of_frames else damage.of_pixels)
    ]
    if not parts:
        return NOWHERE if of_frames else np.empty((0, 2), np.int64)
    return np.asarray(np.unique(np.concatenate(parts), axis=0))


def _check_share(count: int, total: int, what: str, damages: Iterable[Damage], undo: str) -> None:
    share = MOST_FRAMES if what == "frames" else MOST_PIXELS
    if count > share * total:
        lines = "; ".join(
            f"{len(d.where)} {d.kind}: {d.evidence}"
            for d in damages
            if d.sure and (d.of_frames if what == "frames" else d.of_pixels)
        )
        raise DataContractError(
            f"{count} of {total} {what} are bad ({lines}): too little is left to reconstruct; look at the file, or add {undo} "
            "to use them all the same"
        )


def _centre(raw: RawData) -> list[Damage]:
    """Say where the patterns' centre is off that of the probe's far field."""
    x, y = geometry.beam_centre(raw)
    far = max(abs(x), abs(y))
    if not max(1.0, CENTRE_SHARE * raw.N) < far <= raw.N // 4:
        return []
    return [
        Damage(
            "beam centre",
            NOWHERE,
            f"the patterns lie about ({x}, {y}) px off the zero frequency",
            "that is no more than a linear phase of the object; roll the patterns back to be rid of it",
            sure=False,
        )
    ]


def with_line(raw: RawData, line: str) -> RawData:
    """Return the scan with one more line of what its reader has to say."""
    return raw.derived(metadata={**raw.metadata, READ: [*raw.metadata.get(READ, ()), line]})


def with_scan(inspection: Inspection, scan: RawData, bad: np.ndarray | None) -> Inspection:
    """Return what was stored of an inspection with the scan that was given, its frames left out and pixels `bad` (N, N)."""
    left = scan.take(inspection.kept) if len(inspection.kept) < len(scan) else scan
    same = bad is None or (scan.bad_pixels is not None and np.array_equal(bad, scan.bad_pixels))
    return replace(inspection, scan=left if same else left.derived(bad_pixels=bad))
