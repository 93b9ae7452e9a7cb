"""The solver's passes on the backend that Keras runs on: on a GPU, where that has one.

The same steps, in the same batches and order, as :mod:`ptycho.solve.engine` makes on the CPU; canvas and probe stay on the
device for a pass, the patterns for as long as it takes. Complex fields are (real, imaginary) pairs, a canvas is a pair of
vectors, row by row. Keras is loaded when it is asked for: the solver does without.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ptycho.base import provenance
from ptycho.physics import pairs
from ptycho.physics.pairs import Pair, Tensor
from ptycho.scan.raw import RawData
from ptycho.settings.params import Params
from ptycho.settings.sections import SolverConfig
from ptycho.solve import engine, steps
from ptycho.solve.engine import Solver
from ptycho.solve.solution import Solution

KEPT = 16
"""Compiled steps that are kept: each scan has one of its own for each kind of pass."""
WHOLE_PIXELS = 2**21
"""Pixels of patterns computed at once in a pass over the whole scan; a few hundred bytes each."""


def solve(
    raw: RawData,
    config: SolverConfig | Params,
    **how: Any,
) -> Solution:
    """Reconstruct a scan; all else is that of :func:`ptycho.solve.engine.solve`."""
    return engine.solve(raw, config, by=_OnDevice, **how)


@dataclass(frozen=True)
class _Task:
    """What a compiled step is made for.

    Attributes
    ----------
    backend : str
        That it is compiled for.
    shape : (int, int)
        Of the canvas, px.
    size : int
        Side of a pattern, px.
    background : float or None
        As :func:`ptycho.solve.steps.revise` takes it.
    floor : float
        Modulus that is not divided by.
    damping : float or None
        Of a random batch's step; None for a pass over the whole scan, where what all batches say is summed.
    sharpens, moves : bool
        Whether probe and positions are refined.
    """

    backend: str
    shape: tuple[int, int]
    size: int
    background: float | None
    floor: float
    damping: float | None
    sharpens: bool
    moves: bool


class _OnDevice(Solver):
    """A solution whose passes run on the backend; between them everything lies where :class:`Solver` has it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.ops = importlib.import_module("keras").ops
        self.patterns = self.ops.convert_to_tensor(self.measured)
        self.floor = steps.TINY * max(float(self.measured.max()), steps.TINY)

    def random_pass(self) -> float:
        """Step after step for batches of patterns from anywhere in the scan; return the error met."""
        order = self.order()
        canvas, residual = self._through(order, self.batch_patterns, self.canvas, self.config.damping)
        self.canvas = self._complex(canvas).reshape(self.canvas.shape)
        return self.finish_random(residual)

    def whole_pass(self) -> float:
        """One accelerated step for all patterns; return the error met."""
        ahead, everything = self.ahead(), np.arange(len(self.measured))
        size = max(WHOLE_PIXELS // self.measured[0].size, 1)
        lit = np.sum(np.abs(self.probe) ** 2, axis=0)
        (real, imaginary, weights, *evidence), residual = self._through(everything, size, ahead, None)
        if evidence:
            lit_by, *step = evidence
            known = self.ops.convert_to_numpy(lit_by), self._complex((step[0], step[1]))
            self.probe = steps.revised_probe(self.probe, *known, engine.PROBE_DAMPING, engine.WHOLE_PROBE)
        weights = self.ops.convert_to_numpy(weights) + np.float32(engine.WHOLE_DAMPING * float(lit.max()))
        gradient = self._complex((real, imaginary))
        shape = ahead.shape
        return self.finish_whole(ahead, gradient.reshape(shape), weights.reshape(shape), residual)

    def _through(
        self, order: np.ndarray, size: int, canvas: np.ndarray, damping: float | None
    ) -> tuple[Any, float]:
        """Take all patterns in turn, and refine probe and positions; return what came of the canvas, and the residual.

        With a damping that is the canvas after all steps; without, what the patterns say of it: gradient and weights, and
        of a probe that is refined: its illumination and its gradient.
        """
        task = self._task(damping)
        step, held = _compiled(task), self._pair(canvas.reshape(-1))
        probe, send = self._pair(self.probe), self.ops.convert_to_tensor
        canvas_after = held if damping is not None else self._nothing_yet(held[0], probe[0], task.sharpens)
        scan = self.patterns, send(self.places.corners.astype(np.int32)), send(self.places.fractions)
        message = []
        for first in range(0, len(order), size):
            rows = send(order[first : first + size].astype(np.int32))
            canvas_after, probe, *gradients = step(held, canvas_after, probe, scan, rows)
            held = canvas_after if damping is not None else held
            message.append(gradients)
        if task.sharpens and damping is not None:
            self.probe = self._complex(probe)
        if task.moves:
            moves = np.zeros((len(order), 2))
            moves[order] = np.concatenate([self.ops.convert_to_numpy(batch) for _, batch in message])
            self.move(moves)
        return canvas_after, sum(float(residual) for residual, _ in message)

    def _nothing_yet(self, canvas: Tensor, probe: Tensor, sharpens: bool) -> tuple[Tensor, ...]:
        """Return what no pattern has said anything of: what :meth:`Step.__call__` adds to without a damping."""
        zeros = self.ops.zeros_like
        return (
            *(zeros(canvas) for _ in range(3)),
            *((zeros(probe[0]), zeros(probe), zeros(probe)) if sharpens else ()),
        )

    def _task(self, damping: float | None) -> _Task:
        return _Task(
            provenance.keras_backend(),
            self.canvas.shape,
            self.measured.shape[-1],
            self.background,
            self.floor,
            damping,
            self.sharpens,
            self.moves,
        )

    def _pair(self, field: np.ndarray) -> Pair:
        """Put a complex array on the device."""
        real, imaginary = (
            self.ops.convert_to_tensor(np.array(p, np.float32)) for p in (field.real, field.imag)
        )
        return real, imaginary

    def _complex(self, pair: Pair) -> np.ndarray:
        """Fetch a complex array from the device."""
        real, imaginary = (self.ops.convert_to_numpy(part) for part in pair)
        return np.asarray(real + np.complex64(1j) * imaginary, np.complex64)


@lru_cache(maxsize=KEPT)
def _compiled(task: _Task) -> Callable[..., Any]:
    """Return the step of a batch, compiled as the backend does it; kept, since compiling takes longer than a pass."""
    library = importlib.import_module(task.backend)
    name = {"jax": "jit", "tensorflow": "function"}.get(task.backend)
    compiler: Callable[..., Callable[..., Any]] = getattr(library, name) if name else library.no_grad()
    return compiler(Step(task))


class Step:
    """What a batch of patterns says of the canvas, the probe and the positions."""

    def __init__(self, task: _Task) -> None:
        self.task, self.ops = task, importlib.import_module("keras").ops

    def __call__(
        self,
        canvas: Pair,
        canvas_after: tuple[Tensor, ...],
        probe: Pair,
        scan: tuple[Tensor, Tensor, Tensor],
        rows: Tensor,
    ) -> tuple[Any, ...]:
        """Return what comes of `made` (see :meth:`_OnDevice._through`), the probe, the residual, and the moves (b, 2).

        `scan` are the patterns (M, N, N), corners and fractions (M, 2); `rows` (b,) those of the batch.
        """
        task, ops = self.task, self.ops
        wanted, corners, fractions = (ops.take(of_all, rows, axis=0) for of_all in scan)
        pixels = self._pixels(corners)
        x, y = fractions[:, 0, None, None], fractions[:, 1, None, None]
        patches = self._cut(canvas[0], pixels, x, y), self._cut(canvas[1], pixels, x, y)
        change, residual = self.revise(patches, probe, wanted)
        back = pairs.multiply(change, pairs.conjugate(probe))
        gradients = ops.sum(back[0], axis=1), ops.sum(back[1], axis=1)
        lit = ops.sum(pairs.squared_modulus(probe), axis=0)
        placed = [
            self.place(field, pixels, x, y) for field in (*gradients, lit + ops.zeros_like(gradients[0]))
        ]
        evidence = self._evidence(patches, change) if task.sharpens else ()
        if task.damping is None:
            canvas_after = tuple(a + b for a, b in zip(canvas_after, (*placed, *evidence), strict=True))
        else:
            weights = task.damping * ops.max(lit) + (1 - task.damping) * placed[2]
            canvas_after = canvas[0] + placed[0] / weights, canvas[1] + placed[1] / weights
            probe = self._sharpened(probe, *evidence) if evidence else probe
        return (
            canvas_after,
            probe,
            residual,
            self.moves_of(patches, probe, change) if task.moves else residual,
        )

    def _pixels(self, corners: Tensor) -> Tensor:
        """Return which pixels of the canvas the windows (b, N + 1, N + 1) take."""
        side, width = self.ops.arange(self.task.size + 1, dtype="int32"), self.task.shape[1]
        inside = side[:, None] * width + side[None, :]
        return (corners[:, 1] * width + corners[:, 0])[:, None, None] + inside[None]

    def _cut(self, canvas: Tensor, pixels: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return the bilinear windows (b, N, N) of a canvas, as :func:`ptycho.solve.kernels.cut` does."""
        window = self.ops.take(canvas, pixels, axis=0)
        rows = (1 - y) * window[:, :-1] + y * window[:, 1:]
        return (1 - x) * rows[:, :, :-1] + x * rows[:, :, 1:]

    def place(self, patches: Tensor, pixels: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return the canvas that patches (b, N, N) sum to: the adjoint of :meth:`_cut`."""
        pad = self.ops.pad
        wide = pad((1 - x) * patches, ((0, 0), (0, 0), (0, 1))) + pad(x * patches, ((0, 0), (0, 0), (1, 0)))
        high = pad((1 - y) * wide, ((0, 0), (0, 1), (0, 0))) + pad(y * wide, ((0, 0), (1, 0), (0, 0)))
        count = self.task.shape[0] * self.task.shape[1]
        return self.ops.segment_sum(self.ops.reshape(high, (-1,)), self.ops.reshape(pixels, (-1,)), count)

    def revise(self, patches: Pair, probe: Pair, wanted: Tensor) -> tuple[Pair, Tensor]:
        """Return how the exit waves (b, P, N, N) are to change, and the error, as :func:`ptycho.solve.steps.revise` does."""
        ops, size, background = self.ops, self.task.size, self.task.background
        real, imaginary = ops.fft2(pairs.multiply((patches[0][:, None], patches[1][:, None]), probe))
        real, imaginary = real / size, imaginary / size
        intensity = ops.sum(pairs.squared_modulus((real, imaginary)), axis=1)
        known = ops.cast(wanted >= 0, "float32")
        modulus = ops.sqrt(intensity)
        residual = ops.sum(known * ops.square(modulus - wanted))
        if background is None:
            factor = wanted / (modulus + self.task.floor) - 1
        else:
            factor = 0.5 * ((ops.square(wanted) + background) / (intensity + background) - 1)
        lacking = (known * factor)[:, None]
        real, imaginary = ops.ifft2((lacking * real, lacking * imaginary))
        return (real * size, imaginary * size), residual

    def _evidence(self, patches: Pair, change: Pair) -> tuple[Tensor, Tensor, Tensor]:
        """Return what a batch says of the probe, as :func:`ptycho.solve.steps.probe_evidence` does."""
        ops = self.ops
        lit = ops.sum(pairs.squared_modulus(patches), axis=0)
        gradients = pairs.multiply(pairs.conjugate((patches[0][:, None], patches[1][:, None])), change)
        return lit, ops.sum(gradients[0], axis=0), ops.sum(gradients[1], axis=0)

    def _sharpened(self, probe: Pair, lit: Tensor, real: Tensor, imaginary: Tensor) -> Pair:
        """Return the probe after its step, as :func:`ptycho.solve.steps.revised_probe` makes it."""
        scale = engine.PROBE_DAMPING * self.ops.max(lit) + (1 - engine.PROBE_DAMPING) * lit
        return probe[0] + real / scale, probe[1] + imaginary / scale

    def moves_of(self, patches: Pair, probe: Pair, change: Pair) -> Tensor:
        """Return the steps (b, 2) px of the positions, as :func:`ptycho.solve.steps.moves` finds them."""
        ops = self.ops
        first = probe[0][0], probe[1][0]
        wanted = change[0][:, 0], change[1][:, 0]
        along_x = pairs.multiply((self._slope(patches[0], 2), self._slope(patches[1], 2)), first)
        along_y = pairs.multiply((self._slope(patches[0], 1), self._slope(patches[1], 1)), first)

        def product(a: Pair, b: Pair) -> Tensor:
            return ops.sum(a[0] * b[0] + a[1] * b[1], axis=(1, 2))

        xx, yy, xy = product(along_x, along_x), product(along_y, along_y), product(along_x, along_y)
        x, y = product(along_x, wanted), product(along_y, wanted)
        determinant = ops.maximum(xx * yy - ops.square(xy), 1e-6 * xx * yy)
        tells = determinant > 0  # where the object is flat nothing does
        safe = ops.where(tells, determinant, ops.ones_like(determinant))
        result = ops.stack([yy * x - xy * y, xx * y - xy * x], axis=1) / safe[:, None]
        result = ops.where(tells[:, None], result, ops.zeros_like(result))
        return ops.clip(result, -steps.LARGEST_MOVE, steps.LARGEST_MOVE)

    def _slope(self, field: Tensor, axis: int) -> Tensor:
        """Return the central differences of a field (b, N, N), one-sided at its edges, as ``numpy.gradient`` does."""
        turned = self.ops.swapaxes(field, axis, 2)
        inner = (turned[:, :, 2:] - turned[:, :, :-2]) / 2
        ends = turned[:, :, 1:2] - turned[:, :, :1], turned[:, :, -1:] - turned[:, :, -2:-1]
        return self.ops.swapaxes(self.ops.concatenate([ends[0], inner, ends[1]], axis=2), axis, 2)
