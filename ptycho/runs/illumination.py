"""Under which probe, and at which positions, a scan is worked with: those of its file, of its solution, or of a bundle.

The probe of a measured scan is a guess, and so are its positions. Where left-out patterns say that refining them helps, a run
solves the scan first and trains under what that tells.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.base import identity, progress
from ptycho.base.errors import DataContractError
from ptycho.base.progress import Progress
from ptycho.physics import probes
from ptycho.scan import inspection
from ptycho.settings import selection
from ptycho.settings.request import DATA, SOLVE, SOLVING, Request
from ptycho.solve import choose
from ptycho.stages import pipeline, solve

if TYPE_CHECKING:
    from ptycho.artifacts.stage import Execution
    from ptycho.network.bundle import Bundle
    from ptycho.scan.raw import RawData
    from ptycho.settings.config import Config
    from ptycho.solve.choose import Choice
    from ptycho.solve.solution import Solution

logger = logging.getLogger(__name__)

SAME_PROBE = 1e-3
"""Relative difference below which two probes are the same."""
BEGAN_WITH = "probe_of_the_file"
"""Under this name a bundle says which probe the file of its scan had, where another one was solved for."""


def solves_first(request: Request) -> bool:
    """Whether a request is one that solves its scan before it trains, unless refining turns out to be of no use."""
    if request.command not in SOLVING or request.data is None:
        return False
    if request.reading.probe_from == SOLVE:
        return True
    trains = "train" in {stage.name for stage in pipeline.needed_stages({}, request.until, request.also)}
    return request.reading.probe_from in (None, DATA) and trains


def solved_first(
    config: Config, request: Request, given: Mapping[str, Any], execution: Execution
) -> tuple[dict[str, Any], Solution | None]:
    """Return what is given, the scan with probe and positions as solving it tells, and that solution.

    Nobody asked for it: then it is done where left-out patterns are predicted better by it, and well, and a line of the scan says
    so. Else the scan is left as it is, and the listener is told why.
    """
    given = dict(given)
    if not solves_first(request):
        return given, None
    asked = request.reading.probe_from == SOLVE
    if asked and not config.solver.choose:
        config = config.model_copy(update={"solver": config.solver.model_copy(update={"probe": "refine"})})
    first = pipeline.run_pipeline(config, execution, given=given, until="choose").artifacts
    # What is known already is not computed again, with no cache either.
    known = given | {name: first[name] for name in ("inspect", "choose")}
    choice = known["choose"]
    reason = choice.sentence if choice.tried else "as was set"
    if asked:
        solution = pipeline.run_pipeline(config, execution, given=known, until="solve").artifacts["solve"]
    else:
        solution, why_not = _worth_it(config, execution, known, choice)
        if solution is None:
            # Told, and no part of the scan: that stays what its file holds, for whoever reads it again.
            note = f"Scan: probe and positions are those of the file: {why_not} ({reason})."
            progress.tell(execution.listener, Progress("scan", 1, 1, note, note=True))
            return given, None
    line = f"probe and positions are the solver's, not the file's (--probe-from file keeps those): {reason}"
    solution = _saying(solution, line)
    return given | {"scan": with_solution(given["scan"], solution, "the solution")}, solution


def _worth_it(
    config: Config, execution: Execution, known: Mapping[str, Any], choice: Choice
) -> tuple[Solution | None, str]:
    """Return the solution of a scan where it predicts left-out patterns well, or why there is none."""
    if not _refines(choice, config):
        return None, "to refine them predicts left-out patterns no better"
    result = pipeline.run_pipeline(config, execution, given=known, until="halves").artifacts
    solution, left = result["solve"], result["halves"].left_out.unexplained
    moved = solution.moved_px(known["inspect"].scan.positions)
    if left <= config.gates.max_unexplained and choose.believable(moved, left):
        return solution, ""
    return None, f"a solution leaves {left:.0%} of what positions tell, at positions {moved:.2g} px away"


def _refines(choice: Choice, config: Config) -> bool:
    """Whether a solution refines probe or positions."""
    set_by_hand = {"probe": config.solver.probe, "positions": config.solver.positions}
    return bool({"refine", "affine"} & set({**set_by_hand, **choice.refined}.values()))


def _saying(solution: Solution, line: str) -> Solution:
    """Return a solution that says why a scan is worked with as it tells: so the scan is the same when it is read again."""
    made_from = {**solution.reconstruction.made_from, solve.WHY: line}
    return dataclasses.replace(
        solution, reconstruction=dataclasses.replace(solution.reconstruction, made_from=made_from)
    )


def with_solution(scan: RawData, solution: Solution, source: str) -> RawData:
    """Return the scan with the probe and at the positions of its solution; raise DataContractError for another scan's."""
    made_from = solution.reconstruction.made_from
    count, size = solution.positions.shape[0], solution.probe.shape[-1]
    try:
        rows = selection.frames(made_from.get(solve.ROWS, selection.ALL))
    except (ValueError, AttributeError):
        raise DataContractError(
            f"{source}: does not say of which frames it is ({solve.ROWS} = {made_from[solve.ROWS]!r}); solve the scan again"
        ) from None
    known = range(len(scan)) if rows is None else rows
    if (count, size) != (len(known), scan.N) or max(known) >= len(scan):
        raise DataContractError(
            f"{source}: is of {count} patterns of {size} x {size} px and the scan of {len(scan)} of "
            f"{scan.N} x {scan.N} px; give the solution of this scan"
        )
    positions = scan.positions.copy()
    positions[list(known)] = solution.positions  # frames that were left out stay where they are
    farthest = float(abs(positions - scan.positions).max())
    own = solve.origin(scan)
    # A file of an earlier version does not say its scan.
    of_this = made_from[solve.SCAN] == own if solve.SCAN in made_from else farthest <= scan.N / 4
    if not of_this:
        raise DataContractError(
            f"{source}: is of another scan, or of this one read in another way (its positions are up to "
            f"{farthest:.3g} px from this scan's); give the solution of this scan, made with the same reading options"
        )
    if solve.WHY in made_from:
        scan = inspection.with_line(scan, made_from[solve.WHY])
    return scan.at(positions).derived(
        probe=solution.probe, metadata={**scan.metadata, BEGAN_WITH: identity.digest(scan.probe)}
    )


def began_with(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a bundle is to say of the probe that the file of the given scan had; nothing where that is its own."""
    known = "scan" in given and given["scan"].metadata.get(BEGAN_WITH)
    return {BEGAN_WITH: known} if known else {}


def of_bundle(scan: RawData, bundle: Bundle, config: Config, about: Mapping[str, Any]) -> Bundle:
    """Return the bundle with the probe that a scan is reconstructed under.

    The physics of a scan is that of its own probe: the network's gradient steps take it as they take the patterns. Where the
    scan's file has the guess that the training's had, the probe that was solved for there stands for it here. A warning says
    what differs.

    Parameters
    ----------
    scan : RawData
    bundle : Bundle
    config : Config
    about : mapping
        How the bundle was made.
    """
    if scan.N != bundle.N:
        return bundle  # to be refused by what needs both
    if about.get(BEGAN_WITH) == identity.digest(scan.probe):
        logger.warning(
            "the scan's probe is the guess that the bundle's training began with: the probe that was solved for there is used; "
            "positions are those of the file (of a solution of this scan with --probe-from SOLUTION)"
        )
        return bundle
    own = probes.prepare_probe(scan.probe, config.probe)
    if own.shape != bundle.probe.shape:
        difference = f"{len(own)} modes, not {len(bundle.probe)}"
    else:
        relative = float(np.linalg.norm(own - bundle.probe) / np.linalg.norm(bundle.probe))
        if relative <= SAME_PROBE:
            return bundle
        difference = f"a relative difference of {relative:.2g}"
    sees = bundle.model.architecture == "unrolled"
    logger.warning(
        "the scan's probe is not the one that the bundle was trained with (%s); %s",
        difference,
        "the scan's is used" if sees else "the classic network knows only its own: train it on this scan",
    )
    return dataclasses.replace(bundle, probe=own)
