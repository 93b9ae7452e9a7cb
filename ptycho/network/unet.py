"""A small U-Net: Ronneberger, Fischer & Brox, MICCAI 2015."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from ptycho.network import initial
from ptycho.physics.pairs import Tensor


class UNet(keras.layers.Layer):
    """Two 3x3 convolutions a level, max pooling down, nearest-neighbour up, skip connections, a linear 1x1 last.

    Parameters
    ----------
    filters : int
        Feature maps at full resolution; doubled at each coarser level.
    levels : int
        Resolutions; the input's sides must be divisible by ``2**(levels - 1)``.
    outputs : int
        Channels of the result.
    seed : int
        Of the initial weights.
    zero_start : bool
        Start with an output of exactly zero.
    """

    def __init__(
        self, filters: int, levels: int, outputs: int, seed: int, zero_start: bool = False, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.filters, self.levels, self.outputs, self.seed, self.zero_start = (
            filters,
            levels,
            outputs,
            seed,
            zero_start,
        )
        numbers = itertools.count()

        def draw() -> initial.Initializer:
            return initial.he_normal(seed, next(numbers))

        widths = [filters * 2**level for level in range(levels)]
        self._down = [convolutions(width, f"down{level}_", draw) for level, width in enumerate(widths)]
        self._up = [
            convolutions(width, f"up{level}_", draw)
            for level, width in reversed(list(enumerate(widths[:-1])))
        ]
        last = "zeros" if zero_start else initial.glorot_uniform(seed, next(numbers))
        self._last = keras.layers.Conv2D(outputs, 1, kernel_initializer=last, name="last")
        self._pool = keras.layers.MaxPooling2D()
        self._grow = keras.layers.UpSampling2D()

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create all weights."""
        shape: tuple[Any, ...] = tuple(input_shape)
        skips = []
        for level, pair in enumerate(self._down):
            for layer in pair:
                layer.build(shape)
                shape = (*shape[:3], layer.filters)
            if level < self.levels - 1:
                skips.append(shape[-1])
        for pair in self._up:
            shape = (*shape[:3], shape[-1] + skips.pop())
            for layer in pair:
                layer.build(shape)
                shape = (*shape[:3], layer.filters)
        self._last.build(shape)
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Map (B, H, W, channels) to (B, H, W, outputs)."""
        skips = []
        for level, pair in enumerate(self._down):
            for layer in pair:
                x = layer(x)
            if level < self.levels - 1:
                skips.append(x)
                x = self._pool(x)
        for pair in self._up:
            x = ops.concatenate([self._grow(x), skips.pop()], axis=-1)
            for layer in pair:
                x = layer(x)
        return self._last(x)


def convolutions(width: int, name: str, draw: Callable[[], initial.Initializer]) -> list[keras.layers.Layer]:
    """Return two rectified 3x3 convolutions, with an initial kernel of `draw` each."""
    return [
        keras.layers.Conv2D(
            width, 3, padding="same", activation="relu", kernel_initializer=draw(), name=f"{name}{letter}"
        )
        for letter in "ab"
    ]
