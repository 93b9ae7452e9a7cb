"""The default network: data-consistency gradients and small CNN corrections, unrolled for a few steps.

It starts from a flat object of the data-derived unit amplitude on the group's canvas and takes a few plain
steps along the preconditioned gradient of the group's own patterns under the known probe and positions. In
the steps that follow a small U-Net that sees the gradient, the illumination and the present object adds a
correction. An untrained network is
the plain gradient iteration: right in sign and scale from the start.

Unrolled networks for inverse problems: Gregor & LeCun, ICML 2010; Aggarwal et al., IEEE TMI 38, 394, 2019.
"""

from __future__ import annotations

import keras
from keras import ops

from ptycho.config import ModelConfig
from ptycho.model import physics
from ptycho.model.physics import Pair, Tensor
from ptycho.model.unet import UNet

DAMPING = 0.02
"""Share of the probe's peak illumination below which a pixel's gradient step is damped."""


class UnrolledNetwork(keras.layers.Layer):
    """K pairs of (gradient step, CNN correction) on a group's canvas."""

    def __init__(
        self, config: ModelConfig, channels: int, object_unit: float, seed: int, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.config, self.channels, self.object_unit = config, channels, object_unit
        networks = 1 if config.share_weights else config.steps
        self._nets = [
            UNet(config.filters, config.levels, 2, seed * 100 + k, zero_start=True, name=f"correction{k}")
            for k in range(networks)
        ]

    def build(self, input_shape: object = None) -> None:
        """Create all weights."""
        for net in self._nets:
            net.build((None, None, None, 6))
        self.built = True

    def call(
        self, amplitude: Tensor, placement: physics.Placement, probe: Pair, illumination: Tensor
    ) -> Pair:
        """Return the object on the group's canvas, a pair of (B, M, M); `amplitude` (B, C, N, N) is unshifted."""
        unit = self.object_unit
        obj = unit * ops.ones_like(illumination), ops.zeros_like(illumination)
        for _ in range(self.config.warm_steps):
            step = physics.gradient_step(obj, amplitude, placement, probe, illumination, DAMPING)
            obj = obj[0] + step[0], obj[1] + step[1]
        # Nothing before this line is trained (but the photon scale): back-propagation may end here.
        obj = ops.stop_gradient(obj[0]), ops.stop_gradient(obj[1])
        for k in range(self.config.steps):
            step = physics.gradient_step(obj, amplitude, placement, probe, illumination, DAMPING)
            modulus = ops.sqrt(physics.squared_modulus(obj) + 1e-12)
            seen = [part / unit for part in (*step, *obj, modulus)]
            correction = self._nets[min(k, len(self._nets) - 1)](ops.stack([*seen, illumination], axis=-1))
            obj = (
                obj[0] + step[0] + unit * correction[..., 0],
                obj[1] + step[1] + unit * correction[..., 1],
            )
        return obj
