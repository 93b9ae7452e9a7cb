"""The solver: passes over all patterns, the first in random batches, the last accelerated over all of them at once.

Random batches come near the solution within two or three passes and then hover about it; from there gradient steps over the
whole scan with Nesterov's momentum, begun anew whenever the error rises (O'Donoghue & Candes, Found. Comput. Math. 15,
715, 2015), settle on it.

A probe takes a step with every random batch, and one with every pass over the whole scan: it has fewer unknowns than a batch has
noise, and a probe that goes on stepping for a few patterns at a time follows their noise.

What no pattern tells stays as it was given: the probe keeps its power, since a probe twice as bright and an object half as
bright are the same scan, and positions keep their mean.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import fft

from ptycho.base import checkpoint, machine, progress
from ptycho.base.errors import SolverDiverged
from ptycho.base.progress import Listener, Progress
from ptycho.physics.stitching import Reconstruction
from ptycho.scan import groups
from ptycho.scan.raw import RawData
from ptycho.settings.params import Params
from ptycho.settings.sections import SolverConfig
from ptycho.solve import modes, moving, solution, steps
from ptycho.solve.solution import Solution

logger = logging.getLogger(__name__)

WHOLE_DAMPING = 0.02
"""Share of the probe's peak illumination that is added to the denominator of the steps over the whole scan."""
PROBE_DAMPING = 0.5
"""Share of the object's largest illumination of a probe pixel in the denominator of the probe's steps."""
WHOLE_PROBE = 0.5
"""Share of its step that a probe takes in a pass over the whole scan: the object steps at the same time, with momentum, and both
together would overshoot."""

SHARE = 16
"""Patterns that a thread takes at a time; sums are made in this order, however many threads there are."""
WHOLE_BATCH = 128
"""Patterns computed at once in a pass over the whole scan."""


def solve(
    raw: RawData,
    config: SolverConfig | Params,
    *,
    start: Reconstruction | None = None,
    seed: int = 0,
    key: str = "",
    state_dir: Path | None = None,
    resume: bool = False,
    listener: Listener | None = None,
    by: type[Solver] | None = None,
) -> Solution:
    """Reconstruct a scan.

    Parameters
    ----------
    raw : RawData
        Its probe is the one to use, or to start from; its bad pixels move nothing.
    config : SolverConfig
    start : Reconstruction, optional
        What to start from where it was covered, in the units of the scan; elsewhere, and without one, a flat object.
    seed : int
        Of the order of the patterns.
    key : str
        Identity of config and data; a checkpoint of another key is not resumed.
    state_dir : Path, optional
        Where `checkpoint.npz` is kept up to date after every pass.
    resume : bool
        Go on from the checkpoint in `state_dir`, where there is one.
    listener : callable, optional
        Told about every pass.
    by : type of Solver, optional
        Whose passes; those of this module unless given.

    Raises
    ------
    SolverDiverged
        A NaN or infinity appeared.
    RunDirectoryError
        The checkpoint is of another config or other data, or damaged.
    """
    return (by or Solver)(raw, config, start, seed, key, state_dir, listener).run(resume)


class Solver:
    """The mutable state of one solution: canvas, probe, places, errors; and its passes, on the CPU."""

    def __init__(
        self,
        raw: RawData,
        config: SolverConfig | Params,
        start: Reconstruction | None,
        seed: int,
        key: str,
        state_dir: Path | None,
        listener: Listener | None,
    ) -> None:
        self.config, self.seed, self.key, self.warm = config, seed, key, start is not None
        self.state_dir, self.listener = state_dir, listener
        # Of the patterns the solver keeps its own copy: the order of the transform saves a shift in every step.
        self.measured = fft.ifftshift(raw.diff3d, axes=(1, 2))
        if raw.bad_pixels is not None:
            self.measured[:, fft.ifftshift(raw.bad_pixels)] = groups.NOT_MEASURED
        self.background = (1 / raw.photon_scale) ** 2 if config.likelihood == "poisson" else None
        begins = solution.beginning(raw, config, start)
        self.energy, self.power, self.probe = begins.energy, begins.power, begins.probe
        self.places, self.canvas = begins.places, begins.canvas
        self.previous = self.canvas
        self.since_restart = 0
        self.errors: list[float] = []
        self.weights = np.zeros(self.places.shape, np.float32)
        self.velocity = np.zeros_like(self.places.positions)

    @property
    def moves(self) -> bool:
        """Whether the positions move in the pass that is to come."""
        return self.config.positions != "fixed" and len(self.errors) >= self.config.positions_from

    @property
    def sharpens(self) -> bool:
        """Whether the probe changes in the pass that is to come."""
        return self.config.probe == "refine" and len(self.errors) >= self.config.probe_from

    @property
    def batch_patterns(self) -> int:
        """Patterns in one random batch."""
        asked = self.config.batch_patterns
        return int(np.clip(len(self.measured) // 8, 4, 32)) if asked is None else int(asked)

    @property
    def random_passes(self) -> int:
        """How many passes go in random batches."""
        asked = self.config.random_passes
        if asked is not None:
            return int(asked)
        if self.config.probe == "refine" or self.config.positions != "fixed":
            return int(self.config.passes) * 3 // 4
        return 0 if self.warm else 3

    def run(self, resume: bool) -> Solution:
        """Make all passes, or those that the checkpoint leaves."""
        with ThreadPoolExecutor(machine.cores()) as threads:
            self.across = threads.map
            return self._run(resume)

    def _run(self, resume: bool) -> Solution:
        if resume:
            self._restore()
        for number in range(len(self.errors) + 1, self.config.passes + 1):
            with np.errstate(over="ignore", invalid="ignore"):
                error = self.random_pass() if number <= self.random_passes else self.whole_pass()
            if not math.isfinite(error):
                raise SolverDiverged(
                    f"the solver diverged in pass {number}: the error is {error}; raise solver.damping, or check the data"
                )
            self.errors.append(error)
            self.find_strays()
            self._checkpoint()
            message = f"pass {number}/{self.config.passes} error {error:.3g}"
            progress.tell(
                self.listener, Progress("solve", number, self.config.passes, message, milestone=True)
            )
        return solution.solution_of(self.canvas, self.probe, self.places, self.errors)

    def random_pass(self) -> float:
        """Step after step for batches of patterns from anywhere in the scan; return the error met."""
        damping = self.config.damping
        residual = 0.0
        for rows, update in self._batches(self.order(), self.batch_patterns, self.canvas):
            residual += update.residual
            lit = np.sum(np.abs(self.probe) ** 2, axis=0)
            self.places.fill(self.weights, damping * float(lit.max()), rows)
            self.places.add(self.weights, (1 - damping) * lit[None], rows)
            self.places.add(self.canvas, update.gradient, rows, self.weights)
            self._revise_probe([update.probe])
        return self.finish_random(residual)

    def whole_pass(self) -> float:
        """One accelerated step for all patterns; return the error met."""
        ahead = self.ahead()
        gradient = np.zeros_like(self.canvas)
        weights = np.zeros(self.places.shape, np.float32)
        residual = 0.0
        where = self.places
        lit = np.sum(np.abs(self.probe) ** 2, axis=0)
        evidence = []
        for rows, update in self._batches(np.arange(len(self.measured)), WHOLE_BATCH, ahead):
            residual += update.residual
            where.add(weights, lit[None], rows)
            where.add(gradient, update.gradient, rows)
            evidence.append(update.probe)
        self._revise_probe(evidence, WHOLE_PROBE)
        return self.finish_whole(ahead, gradient, weights + WHOLE_DAMPING * float(lit.max()), residual)

    def order(self) -> np.ndarray:
        """Return the patterns (M,) in the random order of the pass that is to come."""
        return np.random.default_rng([self.seed, len(self.errors)]).permutation(len(self.measured))

    def ahead(self) -> np.ndarray:
        """Return where momentum carries the canvas (H, W), from where an accelerated step is made."""
        weight = min(self.config.momentum, self.since_restart / (self.since_restart + 3))
        return np.asarray(self.canvas + np.float32(weight) * (self.canvas - self.previous))

    def finish_random(self, residual: float) -> float:
        """Close a pass of random batches; return its error."""
        self.settle()
        self.previous, self.since_restart = self.canvas, 0
        return residual / self.energy

    def finish_whole(
        self, ahead: np.ndarray, gradient: np.ndarray, weights: np.ndarray, residual: float
    ) -> float:
        """Make the step that all patterns ask for from `ahead`, all (H, W); return the error met."""
        if self.config.smoothness:
            prior = np.float32(self.config.smoothness * np.sum(np.abs(self.probe) ** 2, axis=0).max())
            gradient, weights = gradient + prior * steps.to_neighbours(ahead), weights + 8 * prior
        self.previous, self.canvas = self.canvas, ahead + gradient / weights
        error = residual / self.energy
        self.since_restart = 0 if self.errors and error > self.errors[-1] else self.since_restart + 1
        self.settle()
        return error

    def move(self, moves: np.ndarray) -> None:
        """Move the positions towards where their patterns ask for, by (M, 2) px."""
        first = self.config.positions_from
        share = (len(self.errors) - first) / max(self.config.passes - first, 1)
        affine = self.config.positions == "affine"
        self.velocity = moving.velocity(self.velocity, moves, self.places.positions, share, affine=affine)
        self.places = self.places.moved(self.velocity)

    def find_strays(self) -> None:
        """Move the patterns that belong elsewhere, now and then, while passes are left to settle them."""
        number = len(self.errors)
        due = number % moving.EVERY == 0 and number + moving.EVERY // 2 <= self.config.passes
        if not (due and self.config.positions == "refine" and number > self.config.positions_from):
            return
        positions = self.places.positions.copy()
        for row, place in moving.strays(
            self.places, self.canvas, self.probe, self.measured, self.across
        ).items():
            positions[row], self.velocity[row] = place, 0
        self.places = replace(self.places, positions=positions)

    def _batches(
        self, order: np.ndarray, size: int, canvas: np.ndarray
    ) -> Iterator[tuple[np.ndarray, Update]]:
        """Yield for each batch its rows and what its patterns say of the canvas as it then is, good until the next one."""
        moves = np.zeros((len(order), 2))
        moving = self.moves
        size = min(size, len(order))
        gradients = np.empty((size, *self.measured.shape[1:]), np.complex64)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            shares = [slice(first, min(first + SHARE, len(rows))) for first in range(0, len(rows), SHARE)]

            def ask(at: slice, rows: np.ndarray = rows) -> Update:
                return self._ask(rows[at], canvas, gradients[at])

            # To hand a single share on takes longer than the share does.
            parts = list(self.across(ask, shares)) if len(shares) > 1 else [ask(shares[0])]
            update = _together(gradients[: len(rows)], parts)
            if update.moves is not None:
                moves[rows] = update.moves
            yield rows, update
        if moving:
            self.move(moves)

    def _ask(self, rows: np.ndarray, canvas: np.ndarray, gradient: np.ndarray) -> Update:
        """Return what a few patterns say, their gradient written to `gradient`; runs in threads side by side."""
        # What is no number ends the pass, in words of ours.
        with np.errstate(over="ignore", invalid="ignore"):
            patches = self.places.cut(canvas, rows)
            change, residual = steps.revise(patches, self.probe, self.measured[rows], self.background)
            return Update(
                gradient=steps.object_gradient(change, self.probe, gradient),
                residual=residual,
                probe=steps.probe_evidence(patches, change) if self.sharpens else None,
                moves=steps.moves(patches, self.probe, change) if self.moves else None,
            )

    def _revise_probe(
        self, evidence: Sequence[tuple[np.ndarray, np.ndarray] | None], share: float = 1.0
    ) -> None:
        """Make a share of a step of the probe for what all batches say of it, which is nothing where it is fixed."""
        known = _summed([each for each in evidence if each is not None])
        if known is not None:
            self.probe = steps.revised_probe(self.probe, *known, PROBE_DAMPING, share)

    def settle(self) -> None:
        """Take out of a refined probe what no pattern tells: mixtures of its modes, and its power."""
        if not self.sharpens:
            return
        self.probe = modes.orthogonal(self.probe)
        factor = math.sqrt(self.power / float(np.sum(np.abs(self.probe) ** 2, dtype=np.float64)))
        self.probe = self.probe * np.float32(factor)
        same = self.previous is self.canvas
        self.canvas = self.canvas / np.float32(factor)
        self.previous = self.canvas if same else self.previous / np.float32(factor)

    def _checkpoint(self) -> None:
        if self.state_dir is None:
            return
        arrays = {name: getattr(self, name) for name in ("canvas", "previous", "probe")}
        checkpoint.write(
            self.state_dir,
            self.key,
            {"errors": self.errors, "since_restart": self.since_restart},
            {**arrays, "positions": self.places.positions, "velocity": self.velocity},
        )

    def _restore(self) -> None:
        """Load the checkpoint, where there is one."""
        if self.state_dir is None:
            return
        damaged = "is no checkpoint of a solver, or damaged; take it away"
        known = checkpoint.read(self.state_dir, self.key, self.parsed, damaged)
        if known is None:
            return
        arrays, self.errors, self.since_restart = known
        self.canvas, self.previous, self.probe = arrays["canvas"], arrays["previous"], arrays["probe"]
        self.places = replace(self.places, positions=arrays["positions"])
        self.velocity = arrays["velocity"]
        logger.info("resuming after pass %d", len(self.errors))

    def parsed(
        self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], list[float], int]:
        """Return the arrays of a checkpoint (of any shape), the errors so far, and the steps since momentum began anew.

        Raises ValueError for arrays that are not of this scan, or hold what is no number: compiled loops would go beyond them.
        """
        own = {name: getattr(self, name) for name in ("canvas", "previous", "probe", "velocity")}
        own["positions"] = self.places.positions
        for name, mine in own.items():
            if arrays[name].shape != mine.shape or arrays[name].dtype != mine.dtype:
                raise ValueError(f"{name} is of another shape or dtype")
            if not np.isfinite(arrays[name]).all():
                raise ValueError(f"{name} is not finite")
        if not self.places.holds(arrays["positions"]):
            raise ValueError("positions lie beyond the canvas")
        errors, steps = [float(error) for error in state["errors"]], int(state["since_restart"])
        if not (np.isfinite(errors).all() and 0 <= steps <= len(errors) <= self.config.passes):
            raise ValueError("passes that there cannot be")
        return {name: arrays[name] for name in own}, errors, steps


@dataclass(frozen=True)
class Update:
    """What some patterns say: gradient (b, N, N), residual, and where asked for the probe's update and the moves (b, 2)."""

    gradient: np.ndarray
    residual: float
    probe: tuple[np.ndarray, np.ndarray] | None
    moves: np.ndarray | None


def _together(gradient: np.ndarray, parts: Sequence[Update]) -> Update:
    """Return what the patterns of all parts say, in their order."""
    moves = [part.moves for part in parts if part.moves is not None]
    return Update(
        gradient=gradient,
        residual=sum(part.residual for part in parts),
        probe=_summed([part.probe for part in parts if part.probe is not None]),
        moves=np.concatenate(moves) if moves else None,
    )


def _summed(evidence: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return what all say of a probe, see :func:`ptycho.solve.steps.probe_evidence`; None where nobody says anything."""
    if not evidence:
        return None
    return np.sum([lit for lit, _ in evidence], axis=0), np.sum([step for _, step in evidence], axis=0)
