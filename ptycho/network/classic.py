"""The classic network: patterns -> patches. It sees neither positions nor probe, and serves as the baseline.

Nothing skips its narrow middle, since a pixel of a pattern is no neighbour of one of the object.
"""

from __future__ import annotations

import math

import keras
from keras import ops

from ptycho.network import physics
from ptycho.network.autoencoder import Autoencoder
from ptycho.physics.pairs import Pair, Tensor
from ptycho.settings.sections import ModelConfig


class ClassicNetwork(keras.layers.Layer):
    """Diffraction patterns -> autoencoder -> amplitude and phase of each patch -> merged group canvas.

    The amplitude head reaches ``max_amplitude`` times the data-derived unit and starts near the unit; phase lies in
    (-pi, pi) and starts near zero.
    """

    def __init__(
        self, config: ModelConfig, channels: int, object_unit: float, seed: int, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.config, self.channels, self.object_unit = config, channels, object_unit
        self._net = Autoencoder(config.filters, config.levels, (channels, channels), seed, name="patches")

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
        relative = ops.maximum(relative, 0.0)  # a pixel that is not to be believed is dark to this network
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
    """Combine amplitude and phase to A exp(i phi).

    Both are (B, M, M); the phase is in rad.
    """
    return amplitude * ops.cos(phase), amplitude * ops.sin(phase)
