"""The default network: data-consistency gradients and small CNN corrections, unrolled for a few steps.

It starts from a flat object of the data-derived unit amplitude on the group's canvas and takes a few steps
along the preconditioned gradient of the group's own patterns under the known probe and positions, with
Nesterov's momentum. In the steps that follow a small U-Net that sees the gradient, the illumination and the
present object adds a correction. An untrained network is the accelerated gradient iteration: right in sign
and scale from the start.

A correction has two parts: one in units of the object, which settles what the patterns leave open, and one in
units of the gradient step, which sharpens the step and fades with it. The warm steps are one loop in the
graph. With ``block`` = 2 the U-Net sees and makes blocks of 2 x 2 px as channels, in a third of the time. At
gridsize 2 that gets farther in the same time (gs2_custom with two steps, 130 s of training: Pearson 0.992
against 0.990); at gridsize 1 it costs quality (gs1_custom, twelve epochs: 0.988 against 0.991).

Unrolled networks for inverse problems: Gregor & LeCun, ICML 2010; Aggarwal et al., IEEE TMI 38, 394, 2019.
Momentum: Nesterov, Soviet Math. Dokl. 27, 372, 1983; in ptychography Maiden, Johnson & Li, Optica 4, 736,
2017.
"""

from __future__ import annotations

import keras
from keras import ops

from ptycho.network import physics
from ptycho.network.unet import UNet
from ptycho.physics import pairs
from ptycho.physics.pairs import Pair, Tensor
from ptycho.settings.sections import ModelConfig

DAMPING = 0.02
"""Share of the probe's peak illumination below which a pixel's gradient step is damped."""
SHORTEST = 1e-5
"""Root mean square of a gradient step, in units of the object, below which its parts are not magnified further."""


class UnrolledNetwork(keras.layers.Layer):
    """K pairs of (gradient step of a learned size, CNN correction) on a group's canvas."""

    def __init__(
        self, config: ModelConfig, channels: int, object_unit: float, seed: int, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.config, self.channels, self.object_unit = config, channels, object_unit
        networks = min(1, config.steps) if config.share_weights else config.steps
        self._nets = [
            UNet(
                config.filters,
                config.levels,
                4 * config.block**2,
                seed * 100 + k,
                zero_start=True,
                name=f"correction{k}",
            )
            for k in range(networks)
        ]

    def build(self, input_shape: object = None) -> None:
        """Create all weights."""
        for net in self._nets:
            net.build((None, None, None, 6 * self.config.block**2))
        if self.config.steps:
            self.step_sizes = self.add_weight(
                name="step_sizes", shape=(self.config.steps,), initializer="ones"
            )
        self.built = True

    def call(
        self, amplitude: Tensor, placement: physics.Placement, probe: Pair, illumination: Tensor
    ) -> Pair:
        """Return the object on the group's canvas, a pair of (B, M, M); `amplitude` (B, C, N, N) is unshifted."""
        unit = self.object_unit
        flat = unit * ops.ones_like(illumination), ops.zeros_like(illumination)
        # Nothing in these steps is trained (but the photon scale): back-propagation goes around them.
        still = ops.stop_gradient(amplitude)

        def plain(k: Tensor, state: tuple[Pair, Pair], measured: Tensor) -> tuple[Pair, Pair]:
            """Return the object after a step without a correction, and before it."""
            ahead = self._look_ahead(*state, k)
            step = physics.gradient_step(ahead, measured, placement, probe, illumination, DAMPING)
            return (ahead[0] + step[0], ahead[1] + step[1]), state[0]

        now, before = flat, flat
        if self.config.warm_steps:
            # One graph of a step, however many there are: tracing them one by one took longer than running them.
            now, before = ops.fori_loop(
                0, self.config.warm_steps, lambda k, state: plain(k, state, still), (flat, flat)
            )
        for k in range(self.config.steps):
            ahead = self._look_ahead(now, before, self.config.warm_steps + k)
            step = physics.gradient_step(ahead, amplitude, placement, probe, illumination, DAMPING)
            extra = self._correction(k, step, ahead, illumination)
            size = self.step_sizes[k]
            now, before = (
                (ahead[0] + size * step[0] + extra[0], ahead[1] + size * step[1] + extra[1]),
                now,
            )
        corrected = self.config.warm_steps + self.config.steps
        for k in range(corrected, corrected + self.config.final_steps):
            now, before = plain(k, (now, before), amplitude)
        return now

    def _correction(self, k: int, step: Pair, obj: Pair, illumination: Tensor) -> Pair:
        """Return what the k-th network adds: a part in units of the object, and a part in units of the gradient step.

        The first settles what the patterns leave open; the second shrinks with the step and sharpens it.
        """
        unit = self.object_unit
        power = ops.mean(pairs.squared_modulus(step), axis=(1, 2), keepdims=True)
        length = ops.sqrt(power + (SHORTEST * unit) ** 2)
        modulus = ops.sqrt(pairs.squared_modulus(obj) + physics.MODULUS_FLOOR)
        seen = [*(part / length for part in step), *(part / unit for part in (*obj, modulus)), illumination]
        net = self._nets[min(k, len(self._nets) - 1)]
        result = unfold(net(fold(seen, self.config.block)), self.config.block)
        return unit * result[..., 0] + length * result[..., 2], unit * result[..., 1] + length * result[
            ..., 3
        ]

    def _look_ahead(self, now: Pair, before: Pair, k: Tensor) -> Pair:
        """Go on in the direction of the last step, the k-th, by the weight min(momentum, k / (k + 3))."""
        k = ops.cast(k, "float32")
        weight = ops.minimum(self.config.momentum, k / (k + 3.0))
        return now[0] + weight * (now[0] - before[0]), now[1] + weight * (now[1] - before[1])


def fold(images: list[Tensor], block: int) -> Tensor:
    """Turn c images (B, H, W) into (B, H/b, W/b, b^2 c): channel ``(b i + j) c + k`` is image k at pixel (i, j) of a block.

    Shi et al., CVPR 2016.
    """
    _, height, width = images[0].shape
    blocks = (-1, len(images), height // block, block, width // block, block)
    # Stacked in front and transposed once: to stack what is finely interleaved takes twice the time.
    ordered = ops.transpose(ops.reshape(ops.stack(images, axis=1), blocks), (0, 2, 4, 3, 5, 1))
    return ops.reshape(ordered, (-1, height // block, width // block, block**2 * len(images)))


def unfold(blocks: Tensor, block: int) -> Tensor:
    """Undo :func:`fold`: return (B, H, W, c)."""
    if block == 1:
        return blocks
    _, height, width, channels = blocks.shape
    split = ops.reshape(blocks, (-1, height, width, block, block, channels // block**2))
    ordered = ops.transpose(split, (0, 1, 3, 2, 4, 5))
    return ops.reshape(ordered, (-1, height * block, width * block, channels // block**2))
