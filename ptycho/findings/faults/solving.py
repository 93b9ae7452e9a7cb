"""Faults of the direct solver."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ptycho.testing.fault import Fault


def _on_whole_pixels(original: Any) -> Any:
    """Put the weights of a step on whole pixels, while patches lie between them."""

    def add(
        places: Any, canvas: Any, patches: Any, rows: Any, weights: Any = None, across: Any = map
    ) -> None:
        if np.iscomplexobj(canvas):
            original(places, canvas, patches, rows, weights)
            return
        size = places.size
        for patch, (x, y) in zip(
            np.broadcast_to(patches, (len(rows), size, size)), places.corners[rows], strict=True
        ):
            here = slice(y, y + size), slice(x, x + size)
            canvas[here] += patch if weights is None else patch / weights[here]

    return add


def _mixed(original: Any) -> Any:
    """Mix the modes by a matrix that is not unitary."""

    def orthogonal(probe: Any) -> Any:
        result = original(probe)
        return result if len(result) == 1 else result + 0.2 * np.roll(result, 1, axis=0)

    return orthogonal


def _not_normalised(original: Any) -> Any:
    """Transform without the factor 1/N, and back with it twice."""

    def revise(patches: Any, probe: Any, measured: Any, background: Any) -> Any:
        size = patches.shape[-1]
        change, residual = original(patches, size * probe, measured, background)
        return change / size, residual

    return revise


def _not_normalised_there(original: Any) -> Any:
    """Transform on the backend without the factor 1/N, and back with it twice."""

    def revise(step: Any, patches: Any, probe: Any, wanted: Any) -> Any:
        size = step.task.size
        change, residual = original(step, patches, (probe[0] * size, probe[1] * size), wanted)
        return (change[0] / size, change[1] / size), residual

    return revise


def _on_whole_pixels_there(original: Any) -> Any:
    """Put what a step on the backend says on whole pixels, while patches lie between them."""
    return lambda step, patches, pixels, x, y: original(step, patches, pixels, 0 * x, 0 * y)


def _negated(original: Any) -> Any:
    """Move positions against the displacement that the patterns tell."""
    return lambda *arguments: -original(*arguments)


def _power_adrift(_: Any) -> Any:
    """Let the power of a refined probe go where it will."""
    return lambda solver: None


def _corner_on_corner(original: Any) -> Any:
    """Lay the start's first pixel on the canvas's."""
    return lambda start, canvas, origin_xy: original(start, canvas, start.origin_xy)


def _always_solvable(original: Any) -> Any:
    """Believe that anything can be solved perfectly."""

    def choose(*arguments: Any) -> Any:
        choice = original(*arguments)
        return replace(choice, tried=dict.fromkeys(choice.tried, choice.noise))

    return choose


def _solved_perfectly(original: Any) -> Any:
    """Believe that what was solved explains everything."""

    def best(comparison: Any) -> Any:
        result = original(comparison)
        return replace(result, data={**result.data, "unexplained": 0.0})

    return best


def _full_step(original: Any) -> Any:
    """Take the whole step of a probe, whatever share was asked for."""
    return lambda probe, lit, step, damping, share=1.0: original(probe, lit, step, damping)


def _left_there(_: Any) -> Any:
    """Look for no stray."""
    return lambda *_: {}


def _each_by_itself(original: Any) -> Any:
    """Move every position by itself from the first pass on."""
    return lambda before, moves, positions, share, *, affine: original(
        before, moves, positions, 1.0, affine=affine
    )


def _believed_anyway(_: Any) -> Any:
    """Believe positions however far they moved, and whatever they leave."""
    return lambda moved_px, unexplained: True


def _by_the_sample_alone(_: Any) -> Any:
    """Hold against a solution what a sample of the scan as it is given says."""
    from ptycho.evaluation import gates

    return lambda geometry, left_out, config: gates.geometry_verdict(geometry, config.geometry_margin)


def _given_up(_: Any) -> Any:
    """Try nothing for longer."""
    return lambda result, given: False


def _as_given(_: Any) -> Any:
    """Try nothing but the settings as they are."""

    def choose(raw: Any, config: Any, seed: int = 0) -> Any:
        from ptycho.solve.choose import Choice

        return Choice(tried={"as given": 0.0})

    return choose


def _batch_by_batch(original: Any) -> Any:
    """Have the probe step for every batch in a pass over the whole scan."""

    def whole_pass(solver: Any) -> Any:
        error = original(solver)
        if solver.sharpens:
            everything = np.arange(len(solver.measured))
            for _, update in solver._batches(everything, solver.batch_patterns, solver.canvas):
                solver._revise_probe([update.probe])
            solver.settle()
        return error

    return whole_pass


def _own_patterns(original: Any) -> Any:
    """Have each half predict the patterns that it was made from."""
    return lambda raw, solutions: original(raw, solutions[::-1])


def _of_any_scan(_: Any) -> Any:
    """Tell no scan from another."""
    return lambda raw: ""


def _nothing_else_counts(_: Any) -> Any:
    """Leave what an engine computes with out of the key."""
    return lambda self, params: {}


FAULTS = (
    Fault("ENGINE-KEY-001", "no-versions", "ptycho.artifacts.stage:Stage.versions", _nothing_else_counts),
    Fault("OTHER-SOLUTION-001", "of-any-scan", "ptycho.stages.solve:origin", _of_any_scan),
    Fault("STEP-WEIGHT-PLACE-001", "whole-pixels", "ptycho.solve.places:Places.add", _on_whole_pixels),
    Fault("PROBE-MODES-001", "not-unitary", "ptycho.solve.modes:orthogonal", _mixed),
    Fault("FFT-NORMALISATION-001", "not-normalised", "ptycho.solve.steps:revise", _not_normalised),
    Fault("POSITION-SIGN-001", "negated", "ptycho.solve.steps:moves", _negated),
    Fault(
        "STEP-WEIGHT-PLACE-001",
        "whole-pixels-on-keras",
        "ptycho.solve.tensors:Step.place",
        _on_whole_pixels_there,
    ),
    Fault(
        "FFT-NORMALISATION-001",
        "not-normalised-on-keras",
        "ptycho.solve.tensors:Step.revise",
        _not_normalised_there,
    ),
    Fault("POSITION-SIGN-001", "negated-on-keras", "ptycho.solve.tensors:Step.moves_of", _negated),
    Fault("PROBE-OBJECT-SCALE-001", "adrift", "ptycho.solve.engine:Solver.settle", _power_adrift),
    Fault("START-FRAME-001", "corner-on-corner", "ptycho.solve.solution:put", _corner_on_corner),
    Fault(
        "UNSOLVABLE-SCAN-001",
        "always",
        "ptycho.stages.compare:best",
        _solved_perfectly,
    ),
    Fault("UNSOLVABLE-SCAN-001", "always-at-the-gate", "ptycho.solve.choose:choose", _always_solvable),
    Fault("NOISY-PROBE-001", "batch-by-batch", "ptycho.solve.engine:Solver.whole_pass", _batch_by_batch),
    Fault("DATA-ERROR-NULL-001", "own-patterns", "ptycho.solve.halves:left_out", _own_patterns),
    Fault("UNREFINED-PROBE-001", "as-given", "ptycho.solve.choose:choose", _as_given),
    Fault("PROBE-OVERSHOOT-001", "full-step", "ptycho.solve.steps:revised_probe", _full_step),
    Fault("STRAY-POSITIONS-001", "left-there", "ptycho.solve.moving:strays", _left_there),
    Fault("FAR-POSITIONS-001", "each-by-itself", "ptycho.solve.moving:velocity", _each_by_itself),
    Fault("FAR-POSITIONS-001", "believed-anyway", "ptycho.solve.choose:believable", _believed_anyway),
    Fault(
        "FAR-POSITIONS-001",
        "by-the-sample",
        "ptycho.evaluation.solved:geometry_verdict",
        _by_the_sample_alone,
    ),
    Fault("FAR-POSITIONS-001", "given-up", "ptycho.solve.choose:may_be_far_off", _given_up),
    Fault("FEW-PHOTONS-001", "as-given", "ptycho.solve.choose:choose", _as_given),
)
