"""The digital twin of a scan: positions, probe, dose and object as the solver finds them, and patterns simulated from these.

It stands for the good side where nobody has one: a scan that is right in everything. What breaks it when the scan's own comes
in its place is what the scan lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ptycho.base.errors import DataContractError
from ptycho.physics import forward
from ptycho.scan import counting, inspection
from ptycho.scan.raw import RawData
from ptycho.settings import sections
from ptycho.settings.sections import SolverConfig
from ptycho.solve import choose
from ptycho.solve.choose import Choice

PIXELS, FEWEST, MOST = 256 * 64**2, 64, 256
"""Size of the part that is looked at: so many detector pixels, of at least and at most so many patterns."""
ADVICE: Mapping[str, str] = {
    "scan.probe": "the probe of the file is a guess: add --probe-from solve",
    "scan.positions": "the positions of the file are inexact: add --probe-from solve, which takes the solver's positions too",
    "scan.patterns": "the patterns hold what probe, positions and object do not explain (background, blur, other counts): "
    "ptycho run --until inspect says what is seen of it",
    "scan.bad pixels": "the mask hides what the reconstruction needs: give another --mask",
}
"""What mends a scan that lacks what its twin has. Each was the experiment that mended it, done with what the solver finds."""


@dataclass(frozen=True)
class Twin:
    """A part of a scan as it is given, and its twin.

    Attributes
    ----------
    given, twin : RawData
        Of the same patterns.
    choice : Choice
        What the solver refined to find the twin, and how well it explains patterns that it did not see.
    moved_px : float
        How far the positions moved, root mean square.
    """

    given: RawData
    twin: RawData
    choice: Choice
    moved_px: float


def of(raw: RawData, seed: int = 0) -> Twin:
    """Return the twin of the middle of a scan.

    Raises
    ------
    DataContractError
        The scan has too few patterns to be solved, or nothing explains them: then a twin would be of nothing.
    """
    scan = inspection.inspect(raw).scan
    part = choose.middle(scan.without_truth(), PIXELS, FEWEST, MOST)
    choice = choose.choose(part, SolverConfig(choose=",".join(sections.CHOSEN)), seed)
    if not choice.tried:
        raise DataContractError(
            f"{len(part)} patterns are too few, or overlap too little, to be solved, and a scan that is not has no "
            "twin; give a GOOD side"
        )
    if not choice.unexplained <= 0.5:
        raise DataContractError(
            f"{choice.sentence}: a twin of that would be a twin of nothing; look at the scan's geometry first (ptycho diagnose "
            "geometry), or give a GOOD side"
        )
    solution = choose.solve(part, SolverConfig(), choice, seed=seed)
    where = solution.reconstruction.to_canvas(solution.positions)
    counted = counting.counted(part)
    rng = np.random.default_rng(seed)
    patterns = np.empty_like(part.diff3d)
    for rows, amplitudes in forward.scan_amplitudes(solution.reconstruction.object, where, solution.probe):
        counts = rng.poisson(np.square(counted.photon_scale * amplitudes.astype(np.float64)))
        patterns[rows] = np.sqrt(counts) / counted.photon_scale
    twin = part.at(solution.positions).derived(
        diff3d=patterns, probe=solution.probe, bad_pixels=None, metadata={}
    )
    return Twin(part, twin, choice, solution.moved_px(part.positions))
