"""Loss terms.

Each compares amplitudes with amplitudes or counts with counts; its minimum over a global scale of a perfect
prediction is at scale 1.

Arguments are predicted and measured amplitudes in square roots of counts, (B, C, N, N).
"""

from __future__ import annotations

from keras import ops

from ptycho.physics.pairs import Pair, Tensor
from ptycho.settings.sections import LossConfig

RATE_FLOOR = 1e-6
"""Counts added to a rate before its logarithm. 0 * log(0) is NaN otherwise, and one dark pixel kills a run."""


def poisson_nll(rate: Tensor, counts: Tensor) -> Tensor:
    """Return the mean over pixels of rate - counts * log(rate), without the constant log(counts!).

    Both are (B, C, N, N), in counts.
    """
    return ops.mean(rate - counts * ops.log(rate + RATE_FLOOR))


def amplitude_error(predicted: Tensor, measured: Tensor) -> Tensor:
    """Return sum (A_pred - A)^2 / sum A^2.

    Both are (B, C, N, N), in square roots of counts.

    Twice the numerator is the Gaussian limit of the Poisson likelihood's excess over its minimum
    (variance-stabilised counts), so this is the well-conditioned form of the same fit.
    """
    return ops.sum(ops.square(predicted - measured)) / ops.maximum(ops.sum(ops.square(measured)), 1e-12)


def absolute_error(predicted: Tensor, measured: Tensor) -> Tensor:
    """Return sum |A_pred - A| / sum A.

    Both are (B, C, N, N), in square roots of counts.
    """
    return ops.sum(ops.abs(predicted - measured)) / ops.maximum(ops.sum(measured), 1e-12)


def total_variation(obj: Pair, weight: Tensor, unit: float) -> Tensor:
    """Return the mean over lit pixels of |O[y, x+1] - O[y, x]| + |O[y+1, x] - O[y, x]|, in units of `unit`.

    `obj` is a pair of (B, M, M), `weight` its illumination, (B, M, M).

    Real and imaginary parts are added. Only pixels with weight > 0.1 on both sides count.
    """
    lit = ops.cast(weight > 0.1, "float32")
    across, down = lit[:, :, 1:] * lit[:, :, :-1], lit[:, 1:] * lit[:, :-1]
    total = 0.0
    for part in obj:
        total = total + ops.sum(across * ops.abs(part[:, :, 1:] - part[:, :, :-1]))
        total = total + ops.sum(down * ops.abs(part[:, 1:] - part[:, :-1]))
    return total / (unit * ops.maximum(ops.sum(lit), 1.0))


def loss_terms(
    config: LossConfig, predicted: Tensor, measured: Tensor, obj: Pair, weight: Tensor, unit: float
) -> dict[str, Tensor]:
    """Return the enabled terms, unweighted, by their name in the config.

    `predicted` and `measured` are (B, C, N, N), `obj` a pair of (B, M, M), `weight` (B, M, M).

    A term with weight 0 is not computed: a NaN in it would poison the total all the same.
    """
    terms = {}
    if config.amplitude > 0:
        terms["amplitude"] = amplitude_error(predicted, measured)
    if config.nll > 0:
        terms["nll"] = poisson_nll(ops.square(predicted), ops.square(measured))
    if config.mae > 0:
        terms["mae"] = absolute_error(predicted, measured)
    if config.total_variation > 0:
        terms["total_variation"] = total_variation(obj, weight, unit)
    return terms
