"""A scan's file, examined: what can be told of it before it is worked with, each check with its finding and its remedy."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from scipy.spatial import cKDTree

from ptycho.artifacts.stage import Table
from ptycho.base import units
from ptycho.diagnose.diagnosis import Diagnosis
from ptycho.physics import probes, scaling
from ptycho.report import figures
from ptycho.scan import checks, counting, geometry, inspection, near_field
from ptycho.scan import optics as physical
from ptycho.scan.damage import Damage
from ptycho.scan.formats import registry
from ptycho.scan.inspection import Inspection
from ptycho.scan.raw import RawData
from ptycho.solve import readings
from ptycho.solve.readings import Readings

Status = Literal["passed", "warned", "failed", "not told"]
WEIGHT: tuple[Status, ...] = ("failed", "warned", "not told", "passed")
QUESTION = "What is in the file, and what is wrong with it?"
DAMAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "frames without light": ("DARK-FRAMES-001", ("dark frames", "dim frames")),
    "flashes": ("FLASH-FRAMES-001", ("flash frames", "bright frames")),
    "repeated frames": ("REPEATED-FRAMES-001", ("repeated frames",)),
    "shifted frames": ("SHIFTED-FRAMES-001", ("shifted frames", "moved frames")),
    "saturation": ("SATURATED-001", ("saturated frames", "saturated pixels")),
    "overflow": ("OVERFLOW-001", ("overflowing frames", "overflowing pixels")),
    "hot pixels": ("HOT-PIXELS-001", ("hot pixels", "warm pixels")),
    "dead pixels": ("DEAD-PIXELS-001", ("dead pixels", "weak pixels")),
    "gaps of the detector": ("DETECTOR-GAP-001", ("gap pixels",)),
    "counts or amplitudes": ("COUNTS-READ-001", tuple(counting.READINGS)),
    "zero frequency": ("BEAM-CENTRE-001", ("beam centre",)),
    "extent of the scan": ("SCAN-SHORTCOMINGS-001", ("few patterns", "scan of one line", "cut probe")),
}
"""Checks that look for kinds of damage: the finding that each proves, and the kinds."""
MOST = 4000
"""Patterns that are examined; of a longer scan those about its middle."""
STRAY = 6.0
"""Median distances of neighbours by which a position is a stray one."""
AT_EDGE = 0.02
"""Share of a probe's light in the outermost pixels of its window, from which on it is told."""
RIM = 1 / 16
"""Width of that rim, over the window's."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name : str
    status : str
        passed; warned: noticed, and dealt with or doubtful; failed: nothing that comes of the scan can be believed; not told.
    words : str
        What was measured.
    finding : str
        ID in the ledger, where one proves it.
    remedy : str
    """

    name: str
    status: Status
    words: str
    finding: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Examination:
    """What came of examining a scan.

    Attributes
    ----------
    checks : tuple of Check
    options : tuple of str
        Of the command line: what is safe to repair.
    """

    checks: tuple[Check, ...]
    options: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether something is wrong that must be mended first."""
        return any(check.status == "failed" for check in self.checks)

    @property
    def by_weight(self) -> tuple[Check, ...]:
        """The checks, those first that matter most."""
        return tuple(sorted(self.checks, key=lambda check: WEIGHT.index(check.status)))

    @property
    def sentence(self) -> str:
        """The answer in a line."""
        bad, odd = (
            [check.name for check in self.checks if check.status == status] for status in ("failed", "warned")
        )
        if bad:
            return f"Wrong: {', '.join(bad)}." + (f" Noticed: {', '.join(odd)}." if odd else "")
        return f"Nothing is wrong. Noticed: {', '.join(odd)}." if odd else "Nothing is wrong."


def examine(raw: RawData, margin: float = readings.MARGIN) -> Examination:
    """Examine a scan.

    Parameters
    ----------
    raw : RawData
        As it was read, with nothing left out.
    margin : float
        See gates.geometry_margin.

    Raises
    ------
    DataContractError
        What no part of the program works with, in the words of what refuses it.
    """
    inspected = inspection.inspect(raw)
    scan = inspected.scan
    comparison = readings.compare(scan)
    named = (_of_damage(name, *kinds, inspected) for name, kinds in DAMAGES.items())
    oriented = _orientation(comparison, margin)
    result = (
        Check("file", "passed", "; ".join(map(str, raw.metadata.get(inspection.READ, ()))) or _size(raw)),
        *named,
        _near_field(scan),
        _overlap(scan),
        _positions(scan),
        oriented,
        _probe(scan),
        _twin(scan),
        _dose(scan),
        _power(scan),
        _canvas(scan),
    )
    wrong = [damage.kind for damage in inspected.wrong]
    if wrong:  # then positions were asked of values that are no amplitudes
        return Examination(result, ("--intensity",) if "counts, not amplitudes" in wrong else ())
    recommended = readings.recommended(comparison, margin) if oriented.status == "failed" else ()
    options = [f"--geometry {option}" for option in recommended]
    return Examination(result, tuple(options))


def refused(words: str) -> Examination:
    """Return the examination of a file that is refused when it is read."""
    return Examination((Check("file", "failed", words),))


def answer(name: str, raw: RawData | None, examined: Examination, command: str) -> Diagnosis:
    """Return an examination in the shape of all answers: for a terminal, as JSON, as a page with pictures.

    The command is what to go on with; nothing where there is nothing to go on with.
    """
    rows = tuple((c.status, c.name, c.words, c.finding, c.remedy) for c in examined.by_weight)
    table = Table(
        f"{name}, examined", ("", "what", "what was measured", "finding", "remedy"), rows, headline=True
    )
    numbers = {
        check.name: {key: value for key, value in asdict(check).items() if key != "name"}
        for check in examined.checks
    }
    return Diagnosis(
        "doctor",
        QUESTION,
        f"{examined.sentence} Go on with: {command}" if command else examined.sentence,
        (table,),
        {**numbers, "command": {"words": command}},
        None if raw is None else lambda: figures.scan(raw),
    )


def _size(raw: RawData) -> str:
    return f"{len(raw)} patterns of {raw.N} x {raw.N} amplitudes, {len(raw.probe)} probe mode{'s' * (len(raw.probe) > 1)}"


def _of_damage(name: str, finding: str, kinds: tuple[str, ...], inspected: Inspection) -> Check:
    damages = [damage for damage in inspected.damages if damage.kind in kinds]
    if not damages:
        return Check(
            name,
            "passed",
            "none" if name != "counts or amplitudes" else "amplitudes, as they are read",
            finding,
        )
    status: Status = "failed" if any(damage.wrong for damage in damages) else "warned"
    return Check(
        name,
        status,
        "; ".join(_evidence(damage) for damage in damages),
        finding,
        "; ".join(dict.fromkeys(damage.remedy for damage in damages)),
    )


def _evidence(damage: Damage) -> str:
    places = f" ({damage.places})" if damage.places else ""
    done = "" if not damage.sure else "; left out" if damage.of_frames else "; masked"
    return f"{damage.many}{places}: {damage.evidence}{done}"


def _near_field(scan: RawData) -> Check:
    shadow = near_field.look(scan)
    if not shadow.factor:
        return Check("near field", "passed", "patterns do not move with the scan", "NEAR-FIELD-001")
    words = (
        f"patterns move by {shadow.factor:.2g} detector px a px of the scan: the beam is {shadow.width:.0%} as wide as patterns of "
        f"{scan.N} px can tell"
    )
    return Check("near field", "passed" if shadow.width < 1 else "warned", words, "NEAR-FIELD-001")


def _overlap(scan: RawData) -> Check:
    if len(scan) < 2:
        return Check(
            "overlap", "failed", "there is one pattern", "SPARSE-TEST-OVERLAP", "give the whole scan"
        )
    shared = geometry.overlap(scan)
    sizes = "gridsize 1 and 2 are possible" if len(scan) >= 4 else "gridsize 1 is possible"
    words = f"a pattern shares {shared:.0%} of its light with the one that is nearest; {sizes}"
    if shared < geometry.MIN_OVERLAP:
        remedy = "positions in another unit, or another probe? Without overlap nothing can be reconstructed"
        return Check("overlap", "failed", words, "SPARSE-TEST-OVERLAP", remedy)
    return Check("overlap", "passed", words, "SPARSE-TEST-OVERLAP")


def _positions(scan: RawData) -> Check:
    """Say which positions are those of others, and which lie far from all."""
    if len(scan) < near_field.FEWEST:
        return Check("positions", "not told", f"{len(scan)} are too few")
    apart = cKDTree(scan.positions).query(scan.positions, k=2)[0][:, 1]
    usual = float(np.median(apart))
    same, far = int((apart == 0).sum()), np.flatnonzero(apart > STRAY * max(usual, 1e-9))
    words = f"neighbours are {units.length(usual, _pixel_m(scan))} apart"
    remedy = "was a position read twice, or a frame taken without a step?"
    if same > len(scan) // 2:
        return Check(
            "positions", "failed", f"{words}; {same} of {len(scan)} are those of another", "", remedy
        )
    if same:
        return Check("positions", "warned", f"{words}; {same} are those of another", "", remedy)
    if len(far):
        places = ", ".join(map(str, far[:6]))
        return Check(
            "positions",
            "warned",
            f"{words}; {len(far)} lie more than {STRAY:.0f} times as far from all others (row {places})",
            "STRAY-POSITIONS-001",
            "leave them out, or let the solver look for them: --positions refine",
        )
    return Check("positions", "passed", words, "STRAY-POSITIONS-001")


def _orientation(comparison: Readings, margin: float) -> Check:
    judgement, _, words = readings.judge(comparison, margin)
    options = readings.recommended(comparison, margin)
    words, add, remedy = words.partition("; add ")  # what the gate says to add is the remedy here
    remedy = f"add {remedy}" if add else ""
    status: Status = "passed" if judgement == "pass" else "failed" if judgement == "fail" else "not told"
    named = bool(options) and options[0] in geometry.CORRECTIONS
    if status == "failed" and not named and comparison.place(readings.GIVEN) <= readings.WELL:
        # A probe's guess of another size asks for other distances, too: only a solution tells (docs/scan.md).
        status, remedy = (
            "warned",
            f"the scan's probe may be at fault as well; see what `ptycho solve` makes of it, or add {remedy}",
        )
    return Check("orientation of positions", status, words, "FALSE-GEOMETRY-001", remedy)


def _probe(scan: RawData) -> Check:
    light = np.sum(np.abs(scan.probe.astype(np.complex128)) ** 2, axis=0)
    width = 2 * math.sqrt(probes.area(scan.probe) / math.pi)
    edge = max(1, int(RIM * scan.N))
    inner = light[edge:-edge, edge:-edge].sum()
    share = float(1 - inner / light.sum())
    first = "; it is a first one, made from the mean pattern" if registry.lacks_probe(scan) else ""
    words = f"{units.length(width, _pixel_m(scan))} wide, {share:.1%} of its light at the edges of its window{first}"
    if share > AT_EDGE:
        remedy = "a wider beam than the patterns can tell: smaller detector pixels, or a smaller beam"
        return Check("probe", "warned", words, "", remedy)
    return Check("probe", "passed", words)


def _twin(scan: RawData) -> Check:
    if not probes.is_twin_ambiguous(scan.probe):
        return Check("symmetry of the probe", "passed", "the probe is not its own twin", "TWIN-IMAGE-001")
    words = "the probe is its own twin about a point: a single pattern does not tell the object from its twin"
    remedy = "train a network with gridsize=2; the solver tells by overlap"
    return Check("symmetry of the probe", "warned", words, "TWIN-IMAGE-001", remedy)


def _dose(scan: RawData) -> Check:
    counted = counting.counted(scan)
    light = scaling.pattern_energies(counted.diff3d) * counted.photon_scale**2
    words = f"{np.median(light):.3g} photons in a pattern (between {light.min():.3g} and {light.max():.3g})"
    pixel = _pixel_m(scan)
    if pixel is not None:
        extent = np.ptp(scan.positions, axis=0) + math.sqrt(probes.area(scan.probe))
        words += f", {light.sum() / float(np.prod(extent * pixel * 1e6)):.3g} a square micrometre"
    noise, few = scaling.photon_noise(counted.diff3d, counted.photon_scale), 0.3
    if noise > few:
        remedy = "expose for longer; or solve with solver.smoothness"
        return Check(
            "dose", "warned", f"{words}; photon noise is {noise:.0%} of the signal", "FEW-PHOTONS-001", remedy
        )
    return Check("dose", "passed", words, "FEW-PHOTONS-001")


def _power(scan: RawData) -> Check:
    """Compare the probe's power with what the brightest patterns hold, which an object of amplitude 1 would leave."""
    power = float(np.sum(np.abs(scan.probe.astype(np.complex128)) ** 2))
    bright = float(np.quantile(scaling.pattern_energies(scan.diff3d), 0.95))
    words = (
        f"the brightest patterns hold {bright / power:.3g} times the probe's power, which is scaled to them"
    )
    return Check("power of the probe", "passed", words, "GAIN-NOT-UNDONE-001")


def _canvas(scan: RawData) -> Check:
    size = np.ceil(np.ptp(scan.positions, axis=0)).astype(int) + scan.N
    needed = float(np.prod(size.astype(float))) * checks.CANVAS_BYTES + 3.0 * scan.diff3d.nbytes
    pixel = _pixel_m(scan)
    metres = (
        ""
        if pixel is None
        else f" ({units.written(size[0] * pixel, 'm')} x {units.written(size[1] * pixel, 'm')})"
    )
    words = f"{size[0]} x {size[1]} px{metres}; {needed / 2**30:.2g} GiB of memory"
    return Check("canvas", "passed", words, "DEBUG-SIM-LINES-DOSE-001/C1")


def _pixel_m(scan: RawData) -> float | None:
    return physical.pixel_of(scan.metadata, scan.N)
