"""What a scan as a whole cannot tell: of too few patterns, of one line, under half a probe. It is named; nothing is left out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ptycho.physics import probes
from ptycho.scan import geometry
from ptycho.scan.damage import NOWHERE, Damage
from ptycho.scan.raw import RawData

NARROW = 0.25
"""Share of the probe's width within which all positions lie about one line, where they count as one line."""
CUT = 0.5
"""Share of the light of a probe's brightest row or column beside which there is none at all, where the probe is cut off."""


def look(raw: RawData) -> Iterator[Damage]:
    """Yield what a scan cannot tell."""
    for kind, evidence, remedy in (*_few(raw), *_line(raw), *_cut(raw.probe)):
        yield Damage(kind, NOWHERE, evidence, remedy, sure=False)


def _few(raw: RawData) -> Iterator[tuple[str, str, str]]:
    if len(raw) < geometry.FEWEST:
        yield (
            "few patterns",
            f"the scan has {len(raw)}, and fewer than {geometry.FEWEST} do not tell whether they lie where it says",
            "give the whole scan",
        )


def _line(raw: RawData) -> Iterator[tuple[str, str, str]]:
    """Say where all positions lie on one line, but for what is little beside the probe."""
    width = float(np.sqrt(probes.area(raw.probe)))
    away = raw.positions - raw.positions.mean(axis=0)
    across = np.linalg.svd(away, full_matrices=False)[2][-1]
    extent = float(np.ptp(away @ across))
    if len(raw) >= geometry.FEWEST and extent < NARROW * width:
        yield (
            "scan of one line",
            f"all positions lie within {extent:.2g} px of one line, under a probe that is {width:.2g} px wide",
            "across it patterns do not tell the object from the probe; scan in two directions",
        )


def _cut(probe: np.ndarray) -> Iterator[tuple[str, str, str]]:
    """Say where a probe (P, N, N) ends at full light on one side and fades on the other: an aperture ends alike on both."""
    light = np.square(np.abs(probe), dtype=np.float64).sum(axis=0)
    for profile, name in ((light.sum(axis=0), "columns"), (light.sum(axis=1), "rows")):
        lit = np.flatnonzero(profile)
        if not len(lit):
            continue
        first, last = int(lit[0]), int(lit[-1])
        dark = [(0, first - 1)] * (first > 0) + [(last + 1, len(profile) - 1)] * (last < len(profile) - 1)
        edges = [profile[first]] * (first > 0) + [profile[last]] * (last < len(profile) - 1)
        abrupt = [edge > CUT * profile.max() for edge in edges]
        if sum(abrupt) == 1:
            begin, end = dark[abrupt.index(True)]
            share = edges[abrupt.index(True)] / profile.max()
            yield (
                "cut probe",
                f"its {name} {begin} to {end} hold no light, and the one beside them {share:.0%} of the brightest one's",
                "was half of it lost? Give the whole probe",
            )
