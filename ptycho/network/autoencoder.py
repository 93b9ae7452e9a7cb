"""Patterns to images through a narrow middle: an encoder, and a decoder for each image.

As in networks for ptychography since Cherukara, Nashed & Harder, Sci. Rep. 8, 16520, 2018. Nothing skips the middle: a pixel
of a pattern is no neighbour of one of the object.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import keras
from keras import ops

from ptycho.network import initial, unet
from ptycho.physics.pairs import Tensor


class Autoencoder(keras.layers.Layer):
    """Level by level two 3x3 convolutions and max pooling; back, in each decoder, two and nearest-neighbour up; a linear 3x3 last.

    Weights start as Glorot's: rectified outputs shrink from layer to layer, so that images start near zero.

    Parameters
    ----------
    filters : int
        Feature maps at full resolution; doubled at each coarser level.
    levels : int
        Poolings; the input's sides must be divisible by ``2**levels``.
    outputs : sequence of int
        Channels of each decoder's image.
    seed : int
        Of the initial weights.
    """

    def __init__(
        self, filters: int, levels: int, outputs: Sequence[int], seed: int, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        numbers = itertools.count()

        def draw() -> initial.Initializer:
            return initial.glorot_uniform(seed, next(numbers))

        widths = [filters * 2**level for level in range(levels)]
        self._encoder = [unet.convolutions(width, f"encoder_{width}", draw) for width in widths]
        self._decoders = [
            [unet.convolutions(width, f"decoder{k}_{width}", draw) for width in reversed(widths)]
            for k in range(len(outputs))
        ]
        self._last = [
            keras.layers.Conv2D(count, 3, padding="same", kernel_initializer=draw(), name=f"last{k}")
            for k, count in enumerate(outputs)
        ]
        self._pool = keras.layers.MaxPooling2D()
        self._grow = keras.layers.UpSampling2D()

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create all weights."""
        middle = _build([layer for pair in self._encoder for layer in pair], input_shape[-1])
        for decoder, last in zip(self._decoders, self._last, strict=True):
            _build([*(layer for pair in decoder for layer in pair), last], middle)
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Map (B, H, W, channels) to the decoders' images, one after the other: (B, H, W, sum of outputs)."""
        for first, second in self._encoder:
            x = self._pool(second(first(x)))
        images = []
        for decoder, last in zip(self._decoders, self._last, strict=True):
            image = x
            for first, second in decoder:
                image = self._grow(second(first(image)))
            images.append(last(image))
        return ops.concatenate(images, axis=-1)


def _build(layers: Sequence[keras.layers.Layer], channels: int | None) -> int | None:
    """Create the weights of layers in a row; return the channels of the last."""
    for layer in layers:
        layer.build((None, None, None, channels))
        channels = layer.filters
    return channels
