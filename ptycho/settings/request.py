"""The request: one frozen value that the command line makes, the record of a run keeps, and its page shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ptycho.base.errors import ConfigError

SOLVE, FILE, DATA = "solve", "file", "data"
"""In place of the file of a solution: solve the scan first; the scan's own; a first one, made from the patterns."""
SOLVING = ("run", "train")
"""Commands that solve a measured scan before they train."""
FIRST_PART_OF = {"train": "run"}
"""A command whose run another one goes on with."""


@dataclass(frozen=True)
class Reading:
    """How a scan's file is to be read."""

    intensity: bool = False
    """The file holds intensities (counts), not amplitudes."""
    geometry: tuple[str, ...] = ()
    """A correction of the scan, as the geometry gate names it: swap_axes, flip_x, scale_positions=20, rotate=33, linear=1,0,0.02,1
    ... or auto: what the patterns ask for. May be repeated."""
    mask: str | None = None
    """NPZ file with `bad_pixels` (N, N): 1 where a detector pixel is not to be believed, 0 elsewhere."""
    keep_frames: str = ""
    """Frames to keep although they are bad: all, or rows like 3,7,40-49."""
    keep_pixels: str = ""
    """Pixels to keep although they are bad: all, or pixels like 12x40,13x40 (row x column)."""
    probe_from: str | None = None
    """A `reconstruction.npz` of `ptycho solve`: its probe and positions stand for the scan's. `file`: the scan's own. `data`: a
    first one, made from the mean pattern. `solve` (in run and train): solve it first. [default in run and train: solve it first
    where that predicts left-out patterns better]"""

    key: tuple[str, ...] = ()
    """Where a file has what: patterns=/entry/data/data (or amplitudes=), x=, y= (or positions=), index=, pattern_index=, mask=,
    probe=, energy=, distance=, detector_pixel=; of a table of text the columns: x=1, y=-2 (turned about). May be repeated."""
    positions_file: str | None = None
    """The file that has the positions, where it is not that of the patterns: a product of ptychodus, a para file of fold_slice, any
    HDF5 or MATLAB file, a table of text."""
    positions_unit: str | None = None
    """What positions are counted in, where the file does not say so: um, m, mm."""
    pair: str | None = None
    """How patterns and positions belong together where that is not plain: leading takes the first of both, from=1 says which number
    of the positions' index the first pattern has."""
    pixels: int | None = None
    """Side of the patterns cut out of a file's frames: 32, 64, 128 or 256. [default: what holds 99.5 % of the light]"""
    energy: str | None = None
    """Photon energy, where the file lacks it: 8.8keV."""
    distance: str | None = None
    """From the sample to the detector, where the file lacks it: 1.92m."""
    detector_pixel: str | None = None
    """Side of a detector pixel, where the file lacks it: 75um; or the angle that it sees: 0.8mrad."""
    defocus: str | None = None
    """Distance of the sample from the focus, for a first probe: 400um; on which side is asked of the patterns."""
    voltage: str | None = None
    """Accelerating voltage of electrons, in place of an energy: 300kV."""
    step: str | None = None
    """Distance of positions of a microscope's raster, where the file lacks it: 0.4nm."""

    @property
    def overrides(self) -> tuple[str, ...]:
        """What of it is a parameter, as ``path=value`` texts."""
        kept = {"frames": self.keep_frames, "pixels": self.keep_pixels}
        return tuple(f"inspection.keep_{what}={text}" for what, text in kept.items() if text)

    @property
    def words(self) -> tuple[str, ...]:
        """The options of the command line that ask for it."""
        result: list[str] = []
        for part in fields(self):
            name, value = f"--{part.name.replace('_', '-')}", getattr(self, part.name)
            if value is True:
                result.append(name)
            elif value != part.default:
                each = value if isinstance(value, tuple) else (value,)
                result += [word for text in each for word in (name, str(text))]
        return tuple(result)

    @property
    def solution(self) -> str | None:
        """The file of the solution that probe and positions are taken from, where there is one."""
        return None if self.probe_from in (None, SOLVE, FILE, DATA) else self.probe_from


@dataclass(frozen=True)
class SourceFile:
    """A file that was read: where it lay, and what was in it.

    Attributes
    ----------
    path : str
        Absolute, so that it is found from wherever the record is read.
    sha256 : str
        Of its bytes. This alone is its identity.
    """

    path: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.path} (SHA-256 {self.sha256[:16]})"


@dataclass(frozen=True)
class Request:
    """Everything that a command was asked to do. How it is executed is not part of it.

    Attributes
    ----------
    command : str
        Of the command line: run, solve, train, infer, evaluate. Empty where Python asked.
    scenario, profile : str or None
    data : SourceFile or None
        The scan's file.
    reading : Reading
        How that is read.
    probe : SourceFile or None
        The solution that probe and positions are taken from.
    bundle, reconstruction : SourceFile or None
        A trained network and an object that were given.
    overrides : tuple of str
        ``path=value`` texts of --set, and those of options that stand for one.
    seed : int or None
    swaps : tuple of str
        ``STAGE=RUN_DIR`` texts.
    fault : str
        ID of a known bug that is put in.
    whole_scan : bool
        All patterns are reconstructed, not the test part alone.
    until : str or None
        The last stage.
    also : tuple of str
        Optional stages.
    """

    command: str = ""
    scenario: str | None = None
    profile: str | None = None
    data: SourceFile | None = None
    reading: Reading = Reading()
    probe: SourceFile | None = None
    bundle: SourceFile | None = None
    reconstruction: SourceFile | None = None
    overrides: tuple[str, ...] = ()
    seed: int | None = None
    swaps: tuple[str, ...] = ()
    fault: str = ""
    whole_scan: bool = False
    until: str | None = None
    also: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield (name, value) of everything that was asked for, for people."""
        for part in fields(self):
            value = getattr(self, part.name)
            if isinstance(value, Reading):
                yield from (
                    (name.replace("_", " "), _shown(each)) for name, each in asdict(value).items() if each
                )
            elif value or (value == 0 and value is not False):
                yield part.name.replace("_", " "), _shown(value)

    def another(self, kept: Mapping[str, Any]) -> str:
        """Return how the request of a run, as its record keeps it, differs from this one; nothing where it does not.

        Config, stages and faults are compared elsewhere; what counts here is which files were read, and how.
        """
        for name in ("data", "bundle", "reconstruction", "probe"):
            mine, theirs = getattr(self, name), kept.get(name) or {}
            if (mine.sha256 if mine else None) != theirs.get("sha256"):
                return f"{name} was {theirs.get('path', 'not given')} and is now {mine or 'not given'}"
        mine, theirs = asdict(self.reading), asdict(reading_of(kept.get("reading") or {}))
        for name, value in mine.items():
            if name != "probe_from" and value != theirs[name]:
                return f"{name} was {_shown(theirs[name])} and is now {_shown(value)}"
        theirs = str(kept.get("command", ""))
        if FIRST_PART_OF.get(self.command, self.command) != FIRST_PART_OF.get(theirs, theirs):
            return f"command was {theirs or 'none'} and is now {self.command or 'none'}"
        if self.whole_scan != bool(kept.get("whole_scan")):
            return (
                f"whole scan was {_shown(bool(kept.get('whole_scan')))} and is now {_shown(self.whole_scan)}"
            )
        if sorted(self.swaps) != sorted(kept.get("swaps", ())):
            return f"swaps were {_shown(kept.get('swaps'))} and are now {_shown(self.swaps)}"
        return ""


def reading_of(kept: Mapping[str, Any]) -> Reading:
    """Return the reading that a run's record keeps; what that run did not know is as it was before there was it."""
    known = {part.name for part in fields(Reading)}
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in kept.items()
        if name in known
    }
    return Reading(**values)


def source_file(path: Path | None) -> SourceFile | None:
    """Return a file's path and hash; None for None. Raises DataContractError where it cannot be read."""
    # Here and not above: help needs no hash, and this brings numpy.
    from ptycho.base import identity

    return None if path is None else SourceFile(str(path.absolute()), identity.file_sha256(path))


def check_alone(asked: Request) -> None:
    """Raise ConfigError where a reading was asked for and no file is read."""
    if asked.data is None and asked.reading != Reading():
        raise ConfigError(
            "--intensity, --geometry, --mask, --keep-frames, --keep-pixels, --probe-from, --key, --energy and the like say how "
            "a scan's file is to be read; add --data FILE"
        )


def _shown(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value)) or "none"
    return "yes" if value is True else "no" if value is False else "none" if value is None else str(value)
