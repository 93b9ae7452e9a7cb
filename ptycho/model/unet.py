"""A small U-Net (Ronneberger et al., MICCAI 2015), and the classic network made of one: patterns -> patches."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from ptycho.config import ModelConfig
from ptycho.model import initial, physics
from ptycho.model.pairs import Pair, Tensor


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
        widths = [filters * 2**level for level in range(levels)]
        self._down = [self._pair(width, f"down{level}", numbers) for level, width in enumerate(widths)]
        self._up = [
            self._pair(width, f"up{level}", numbers)
            for level, width in reversed(list(enumerate(widths[:-1])))
        ]
        last = "zeros" if zero_start else initial.glorot_uniform(seed, next(numbers))
        self._last = keras.layers.Conv2D(outputs, 1, kernel_initializer=last, name="last")
        self._pool = keras.layers.MaxPooling2D()
        self._grow = keras.layers.UpSampling2D()

    def _pair(self, width: int, name: str, numbers: Iterator[int]) -> list[keras.layers.Layer]:
        return [
            keras.layers.Conv2D(
                width,
                3,
                padding="same",
                activation="relu",
                kernel_initializer=initial.he_normal(self.seed, next(numbers)),
                name=f"{name}_{letter}",
            )
            for letter in "ab"
        ]

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


class ClassicNetwork(keras.layers.Layer):
    """Diffraction patterns -> U-Net -> amplitude and phase of each patch -> merged group canvas.

    It sees neither positions nor probe, and serves as the baseline. The amplitude head reaches
    ``max_amplitude`` times the data-derived unit and starts at the unit; phase lies in (-pi, pi).
    """

    def __init__(
        self, config: ModelConfig, channels: int, object_unit: float, seed: int, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.config, self.channels, self.object_unit = config, channels, object_unit
        self._net = UNet(config.filters, config.levels, 2 * channels, seed, name="patches")

    def build(self, input_shape: object = None) -> None:
        """Create all weights."""
        self._net.build((None, None, None, self.channels))
        self.built = True

    def call(
        self, amplitude: Tensor, placement: physics.Placement, probe: Pair, illumination: Tensor
    ) -> Pair:
        """Return the object on the group's canvas, a pair of (B, M, M); `amplitude` (B, C, N, N) is unshifted."""
        energy = ops.sqrt(ops.sum(physics.probe_intensity(probe)))
        # A typical pixel of a pattern has amplitude (unit * |P|) / N; the root compresses the dynamic range.
        relative = physics.shift_detector(amplitude) * placement.size / (self.object_unit * energy)
        # Dark pixels are exactly 0, where the gradient of a bare root is infinite.
        relative = ops.sqrt(relative + physics.MODULUS_FLOOR)
        features = self._net(ops.transpose(relative, (0, 2, 3, 1)))
        features = ops.transpose(features, (0, 3, 1, 2))
        real, imaginary = polar(*self.heads(features[:, : self.channels], features[:, self.channels :]))
        weight = physics.probe_intensity(probe)
        weight = weight / ops.max(weight)
        return (
            physics.merge_patches(real, weight, placement, illumination),
            physics.merge_patches(imaginary, weight, placement, illumination),
        )

    def heads(self, a: Tensor, b: Tensor) -> Pair:
        """Turn features of any size into an amplitude in (0, max) and a phase in (-pi, pi)."""
        highest = self.config.max_amplitude
        start = -math.log(highest - 1) if highest > 1 else 0.0
        amplitude = highest * self.object_unit * ops.sigmoid(a + start)
        return amplitude, math.pi * ops.tanh(b)


def polar(amplitude: Tensor, phase: Tensor) -> Pair:
    """Combine amplitude and phase to A exp(i phi)."""
    return amplitude * ops.cos(phase), amplitude * ops.sin(phase)
