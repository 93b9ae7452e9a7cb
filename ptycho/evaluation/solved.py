"""The gates of a solved object, where nothing but the patterns themselves can judge it.

A solver lowers the error of the patterns that it is given at wrong positions too, under a probe that has become a point or as
wide as the frame. What it cannot do is to predict patterns that it never saw: each half of a scan has to predict the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ptycho.base import units
from ptycho.evaluation import gates
from ptycho.evaluation.gates import Verdict
from ptycho.evaluation.summary import Evaluation
from ptycho.physics import probes
from ptycho.scan.damage import Damage
from ptycho.settings.params import Params
from ptycho.settings.sections import GatesConfig
from ptycho.solve import choose, readings
from ptycho.solve.explain import Explained
from ptycho.solve.readings import SMALLEST, Readings
from ptycho.solve.solution import Solution

AT_EDGE = 0.02
"""Share of the positions that may lie at the edge of the canvas, as far as the solver lets them move."""
WIDEST = 0.4
"""Share of a pattern's pixels beyond which a probe is no beam but as wide as the frame."""


def judge(
    solution: Solution,
    evaluation: Evaluation,
    geometry: Readings,
    left_out: Explained,
    detail_px: float,
    config: GatesConfig | Params,
    given: np.ndarray,
    wrong: Sequence[Damage] = (),
) -> tuple[Verdict, ...]:
    """Judge a solution.

    Parameters
    ----------
    solution : Solution
    evaluation : Evaluation
        Of that solution.
    geometry : Readings
        Of the scan.
    left_out : Explained
        How well each half of the patterns predicts the other.
    detail_px : float
        Down to which both halves agree.
    config : GatesConfig
    given : (M, 2) float64
        Positions [x, y], px, before they were solved.
    wrong : sequence of Damage, optional
        What makes all that comes of the scan doubtful.
    """
    return (
        finite_verdict(solution),
        gates.inspection_verdict(wrong),
        geometry_verdict(geometry, left_out, config),
        gates.consistency_verdict(evaluation.data, config.max_unexplained),
        left_out_verdict(left_out, detail_px, config.max_unexplained, solution.reconstruction.pixel_m),
        positions_verdict(solution, given, left_out),
        probe_verdict(solution.probe),
    )


def geometry_verdict(geometry: Readings, left_out: Explained, config: GatesConfig | Params) -> Verdict:
    """Judge how the scan lies. What a sample holds against it is mended where its solution explains left-out patterns well.

    That is, better than the reading does that the sample asks for: a sample is asked with one mode, and with positions as they are.
    """
    verdict = gates.geometry_verdict(geometry, config.geometry_margin)
    if verdict.status != "fail" or not left_out.tells:
        return verdict
    rival, beside = config.max_unexplained, ""
    if readings.recommended(geometry, config.geometry_margin):
        name, place = readings.best_other(geometry, config.geometry_margin)
        rival, beside = min(rival, place), f", and {place:.0%} in the best other reading, {name}"
    if not left_out.unexplained < rival:
        return verdict
    reason = (
        f"as solved the scan as it is given leaves {left_out.unexplained:.0%} of what positions tell of left-out patterns (before "
        f"anything but the probe was refined a sample left {geometry.place(readings.GIVEN):.0%}{beside})"
    )
    return replace(verdict, status="pass", reason=reason)


def finite_verdict(solution: Solution) -> Verdict:
    """Judge whether the object holds numbers only."""
    count = solution.reconstruction.n_nonfinite
    reason = f"{count} pixels of the object hold a NaN or an infinity"
    return Verdict("finite", "fail" if count else "pass", float(count), "== 0", reason)


def left_out_verdict(left: Explained, detail_px: float, most: float, pixel_m: float | None = None) -> Verdict:
    """Judge how well each half of the patterns predicts the other; `pixel_m` is the side of a pixel, where it is known."""
    limit = f"<= {most:g}"
    if not len(left):
        reason = "no pattern lies where the other half's object is known: the patterns do not overlap, and nothing can be told"
        return Verdict("left_out", "fail", None, limit, reason)
    words = (
        f"data error {left.error:.3g}, photon noise {left.noise:.3g}, mean pattern {left.mean_pattern:.3g}; both halves agree down "
        f"to {units.length(detail_px, pixel_m)}"
    )
    if not left.tells:
        reason = f"the patterns differ from their mean by no more than photon noise, and nothing can be told ({words})"
        return Verdict("left_out", "fail", None, limit, reason)
    reason = f"each half of the patterns predicts the other but for {left.unexplained:.0%} of what positions tell ({words})"
    if left.unexplained >= 1:
        reason = f"each half of the patterns predicts the other no better than their mean does ({words})"
    return Verdict(
        "left_out", "pass" if left.unexplained <= most else "fail", left.unexplained, limit, reason
    )


def positions_verdict(solution: Solution, given: np.ndarray, left_out: Explained) -> Verdict:
    """Judge whether positions came to rest inside the canvas, and how far they moved from those `given` (M, 2), px.

    Far-off ones are believed only where nearly all of the patterns is explained there.
    """
    limit = f"<= {AT_EDGE:g}"
    away = np.linalg.norm(solution.positions - given, axis=1)
    if not away.any():
        return Verdict("positions", "pass", 0.0, limit, "positions are as they were given")
    edge = solution.at_edge & (away > 0)
    share = float(edge.mean())
    moved = solution.moved_px(given)
    words = f"positions moved by {moved:.2g} px (root mean square), at most {away.max():.3g} px"
    if edge.any():
        words += f", {int(edge.sum())} of {len(edge)} as far as the solver lets them: they may lie farther off still"
    believed = choose.believable(moved, left_out.unexplained)
    if not believed:
        words += f"; so far they are believed where at most {choose.BELIEVED:.0%} is left unexplained: these may be other places"
    return Verdict("positions", "pass" if believed and share <= AT_EDGE else "fail", share, limit, words)


def probe_verdict(probe: np.ndarray) -> Verdict:
    """Judge whether a probe (P, N, N) is a beam, and neither a point nor as wide as the frame."""
    area, most = probes.area(probe), WIDEST * probe[0].size
    limit = f"{SMALLEST:g} to {most:g}"
    if not area >= SMALLEST:
        return Verdict("probe", "fail", area, limit, f"the probe has shrunk to {area:.3g} px, nearly a point")
    if area > most:
        share = area / probe[0].size
        return Verdict("probe", "fail", area, limit, f"the probe has spread over {share:.0%} of the frame")
    return Verdict("probe", "pass", area, limit, f"the probe's light covers {area:.3g} px")
