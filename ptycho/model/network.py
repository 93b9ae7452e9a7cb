"""The trainable model: photon scale in, network, forward model, photon scale out, losses."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from ptycho.config import LossConfig, ModelConfig
from ptycho.errors import DataContractError
from ptycho.model import losses, physics, unet, unrolled

NETWORKS = {"unrolled": (unrolled, "UnrolledNetwork"), "unet": (unet, "ClassicNetwork")}
"""Module and class of every architecture; looked up when a model is built."""


class PhotonScale(keras.layers.Layer):
    """Divides amplitudes by exp(log_scale) on the way in; the model multiplies by it on the way out."""

    def __init__(self, start: float, trainable: bool, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.log_scale = self.add_weight(
            name="log_scale",
            shape=(),
            initializer=keras.initializers.Constant(math.log(start)),
            trainable=trainable,
        )
        self.built = True

    def call(self, amplitude: physics.Tensor) -> physics.Tensor:
        """Return amplitude / exp(log_scale)."""
        return amplitude * ops.exp(-self.log_scale)

    def undo(self, amplitude: physics.Tensor) -> physics.Tensor:
        """Return amplitude * exp(log_scale)."""
        return amplitude * ops.exp(self.log_scale)


class PtychoModel(keras.Model):
    """A network with the physics around it.

    Inputs: a dict of ``amplitude`` (B, N, N, L), square roots of counts, zero frequency at [N/2, N/2],
    ``positions`` (B, 1, 2, L), relative offsets in px, and ``probe`` (1, P, N, N, 2), real and imaginary part, shared by the batch.
    L is `channels`, or any number where `channels` is 1: then the patterns are reconstructed singly and merged.

    Parameters
    ----------
    config : ModelConfig
    loss : LossConfig
    channels : int
        Members of a group.
    canvas_px : int
        Side of the group's canvas, px. It is no property of the weights: a model may be rebuilt with
        another one.
    photon_scale : float
        s of the data.
    object_unit : float
        Mean amplitude of the object, in the units of the unscaled amplitudes.
    seed : int
        Of the initial weights.
    """

    def __init__(
        self,
        config: ModelConfig,
        loss: LossConfig,
        *,
        channels: int,
        canvas_px: int,
        photon_scale: float,
        object_unit: float,
        seed: int = 0,
    ) -> None:
        super().__init__(name="ptycho")
        self.channels, self.canvas_px, self.object_unit = channels, canvas_px, object_unit
        self.loss_config = loss
        self.photon_scale = PhotonScale(photon_scale, config.trainable_photon_scale, name="scale")
        home, kind = NETWORKS[config.architecture]
        self.network = getattr(home, kind)(config, channels, object_unit, seed, name="network")
        self.network.build(None)
        self.term_means = {
            name: keras.metrics.Mean(name=f"loss_{name}")
            for name in type(loss).model_fields
            if getattr(loss, name) > 0
        }
        self.error_mean = keras.metrics.Mean(name="error")
        self.built = True

    def call(self, inputs: dict[str, physics.Tensor], training: bool = False) -> dict[str, physics.Tensor]:
        """Reconstruct a batch of groups.

        Returns
        -------
        dict
            ``real``, ``imaginary`` (B, M, M): the object on the group's canvas; ``weight`` (B, M, M): its
            illumination; ``predicted`` and ``measured`` (B, C, N, N): amplitudes in square roots of counts,
            unshifted.
        """
        measured = physics.shift_detector(ops.transpose(inputs["amplitude"], (0, 3, 1, 2)))
        probe = inputs["probe"][0, ..., 0], inputs["probe"][0, ..., 1]
        placement = physics.Placement(inputs["positions"], measured.shape[-1], self.canvas_px)
        illumination = physics.placed_illumination(placement, probe, measured)
        if measured.shape[1] == self.channels:
            real, imaginary = self._reconstruct(measured, placement, probe, illumination)
        else:
            real, imaginary = self._reconstruct_singly(measured, placement, probe, illumination)
        intensity = physics.predict_intensity((real, imaginary), placement, probe)
        predicted = self.photon_scale.undo(ops.sqrt(intensity + physics.MODULUS_FLOOR))
        return {
            "real": real,
            "imaginary": imaginary,
            "weight": illumination,
            "predicted": predicted,
            "measured": measured,
        }

    def _reconstruct(
        self,
        measured: physics.Tensor,
        placement: physics.Placement,
        probe: physics.Pair,
        illumination: physics.Tensor,
    ) -> physics.Pair:
        """Run the network on groups (B, C, N, N)."""
        return self.network(
            self.photon_scale(measured), placement=placement, probe=probe, illumination=illumination
        )

    def _reconstruct_singly(
        self,
        measured: physics.Tensor,
        placement: physics.Placement,
        probe: physics.Pair,
        illumination: physics.Tensor,
    ) -> physics.Pair:
        """Run a gridsize-1 network on each of L neighbouring patterns (B, L, N, N) and merge the results.

        The merge is the one that stitching does. What one pattern leaves undetermined differs from that of
        its neighbours, so only corrections that neighbours agree on explain the patterns after the merge.
        """
        size, members = measured.shape[-1], measured.shape[1]
        alone = ops.reshape(measured, (-1, 1, size, size))
        home = physics.Placement(ops.zeros((1, 1, 2, 1)), size, size)
        lit = physics.placed_illumination(home, probe, alone)
        merged = []
        for part in self._reconstruct(alone, home, probe, lit):
            patches = ops.reshape(part, (-1, members, size, size))
            merged.append(physics.merge_patches(patches, lit[0], placement, illumination))
        return merged[0], merged[1]

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the weighted sum of the enabled terms; keep their running means, and that of the data error."""
        terms = losses.loss_terms(
            self.loss_config,
            y_pred["predicted"],
            y_pred["measured"],
            (y_pred["real"], y_pred["imaginary"]),
            y_pred["weight"],
            self.object_unit,
        )
        self.error_mean.update_state(losses.amplitude_error(y_pred["predicted"], y_pred["measured"]))
        total = 0.0
        for name, value in terms.items():
            self.term_means[name].update_state(value)
            total = total + getattr(self.loss_config, name) * value
        return total

    @property
    def trained_photon_scale(self) -> float:
        """The photon scale as it stands now, exp(log_scale)."""
        return float(np.exp(ops.convert_to_numpy(self.photon_scale.log_scale)))


def model_inputs(batch: dict[str, np.ndarray], probe: np.ndarray) -> dict[str, np.ndarray]:
    """Add the probe (P, N, N) complex to a container's batch.

    Raises DataContractError where the positions are not centred relative offsets.
    """
    positions = batch["positions"]
    worst = float(np.abs(positions.mean(axis=3)).max()) if positions.size else 0.0
    if worst > 1e-3:
        raise DataContractError(
            f"positions must be relative offsets that sum to zero in each group; a group's mean is {worst:.4g} px "
            "off (absolute coordinates?)"
        )
    pair = np.stack([probe.real, probe.imag], axis=-1).astype(np.float32)
    return {**batch, "probe": pair[None]}
