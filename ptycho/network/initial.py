"""Initial weights, drawn by numpy: a seed means the same network on every backend, and nothing is compiled to draw them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from keras import ops

from ptycho.physics.pairs import Tensor

Initializer = Callable[..., Tensor]

CUT = 2.0
"""Standard deviations at which a normal distribution is cut off."""
STD_OF_CUT = 0.87962566103423978
"""Standard deviation of a standard normal distribution that is cut off there."""


def he_normal(*seed: int) -> Initializer:
    """Return what draws kernels (..., inputs, outputs) of variance 2 / fan-in, for layers with rectified outputs.

    He, Zhang, Ren & Sun, Proc. ICCV, 1026, 2015; the tails beyond two standard deviations are drawn again.
    """

    def draw(shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        rng = np.random.default_rng(seed)
        values = rng.standard_normal(shape)
        while (far := np.abs(values) > CUT).any():
            values[far] = rng.standard_normal(int(far.sum()))
        return ops.convert_to_tensor(values * math.sqrt(2 / math.prod(shape[:-1])) / STD_OF_CUT, dtype)

    return draw


def glorot_uniform(*seed: int) -> Initializer:
    """Return what draws kernels (..., inputs, outputs) uniformly, of variance 2 / (fan-in + fan-out).

    Glorot & Bengio, Proc. AISTATS, 249, 2010.
    """

    def draw(shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        area = math.prod(shape[:-2])
        largest = math.sqrt(6 / (area * (shape[-2] + shape[-1])))
        values = np.random.default_rng(seed).uniform(-largest, largest, shape)
        return ops.convert_to_tensor(values, dtype)

    return draw
