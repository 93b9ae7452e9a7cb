"""The trainable model: photon scale in, network, forward model, photon scale out, losses."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from ptycho.base.errors import DataContractError
from ptycho.network import classic, losses, physics, unrolled
from ptycho.physics import pairs
from ptycho.settings.sections import LossConfig, ModelConfig

NETWORKS = {"unrolled": (unrolled, "UnrolledNetwork"), "unet": (classic, "ClassicNetwork")}
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

    def call(self, amplitude: pairs.Tensor) -> pairs.Tensor:
        """Return amplitude / exp(log_scale).

        Amplitudes are (B, N, N, C) or any other shape.
        """
        return amplitude * ops.exp(-self.log_scale)

    def undo(self, amplitude: pairs.Tensor) -> pairs.Tensor:
        """Return amplitude * exp(log_scale).

        Amplitudes are (B, C, N, N) or any other shape.
        """
        return amplitude * ops.exp(self.log_scale)


class PtychoModel(keras.Model):
    """A network with the physics around it.

    Inputs: a dict of ``amplitude`` (B, N, N, L), square roots of counts, zero frequency at [N/2, N/2], below zero where a
    pixel is not to be believed (``predicted`` and ``measured`` are both 0 there),
    ``positions`` (B, 1, 2, L), px from the canvas's centre, and ``probe`` (1, P, N, N, 2), real and imaginary part, shared by
    the batch.
    L is `channels`, a group; or that of a cluster, ``groups * channels + judges``: then the groups are reconstructed
    one by one and merged, and the merge answers for all patterns, the judges' too.

    Parameters
    ----------
    config : ModelConfig
    loss : LossConfig
    channels : int
        Members of a group.
    canvas_px : int
        Side of the group's canvas, px. It is no property of the weights: a model may be rebuilt with
        another one.
    cluster_px : int
        Side of a cluster's canvas, px.
    judges : int
        Members of a cluster, its last, from which nothing is reconstructed.
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
        cluster_px: int = 0,
        judges: int = 0,
    ) -> None:
        super().__init__(name="ptycho")
        self.channels, self.canvas_px, self.object_unit = channels, canvas_px, object_unit
        self.cluster_px, self.judges = cluster_px, judges
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

    def call(self, inputs: dict[str, pairs.Tensor], training: bool = False) -> dict[str, pairs.Tensor]:
        """Reconstruct a batch of groups.

        Amplitudes are (B, N, N, C) or any other shape.

        Returns
        -------
        dict
            ``real``, ``imaginary`` (B, M, M): the object on the group's (or cluster's) canvas; ``weight`` (B, M, M):
            its illumination; ``predicted`` and ``measured`` (B, L, N, N): amplitudes in square roots of counts,
            unshifted.
        """
        measured = physics.shift_detector(ops.transpose(inputs["amplitude"], (0, 3, 1, 2)))
        positions, probe = inputs["positions"], (inputs["probe"][0, ..., 0], inputs["probe"][0, ..., 1])
        size, members = measured.shape[-1], measured.shape[1]
        if members == self.channels:
            placement = physics.Placement(positions, size, self.canvas_px)
            obj, illumination = self._reconstruct(measured, placement, probe)
        else:
            placement = physics.Placement(positions, size, self.cluster_px)
            obj, illumination = self._merge_groups(measured, positions, probe)
        intensity = physics.predict_intensity(obj, placement, probe)
        predicted = self.photon_scale.undo(ops.sqrt(intensity + physics.MODULUS_FLOOR))
        believed = measured >= 0
        return {
            "real": obj[0],
            "imaginary": obj[1],
            "weight": illumination,
            "predicted": ops.where(believed, predicted, 0.0),
            "measured": ops.where(believed, measured, 0.0),
        }

    def _reconstruct(
        self, measured: pairs.Tensor, placement: physics.Placement, probe: pairs.Pair
    ) -> tuple[pairs.Pair, pairs.Tensor]:
        """Run the network on groups (B, C, N, N); return their objects and their illumination (B, M, M)."""
        illumination = physics.placed_illumination(placement, probe, measured)
        amplitude = self.photon_scale(measured)
        return self.network(
            amplitude, placement=placement, probe=probe, illumination=illumination
        ), illumination

    def _merge_groups(
        self, measured: pairs.Tensor, positions: pairs.Tensor, probe: pairs.Pair
    ) -> tuple[pairs.Pair, pairs.Tensor]:
        """Reconstruct the groups of clusters (B, L, N, N), each from its own patterns, and merge them as stitching does.

        What a group leaves undetermined differs from that of its neighbours, so only corrections that they agree
        on explain the patterns after the merge, and those of the judges at all.
        """
        size = measured.shape[-1]
        groups = (measured.shape[1] - self.judges) // self.channels
        own = measured[:, : groups * self.channels]
        where = ops.reshape(positions[..., : groups * self.channels], (-1, 1, 2, groups, self.channels))
        centres = -ops.floor(0.5 - ops.mean(where, axis=-1))  # whole pixels, as of groups alone
        relative = ops.transpose(where - centres[..., None], (0, 3, 1, 2, 4))
        home = physics.Placement(ops.reshape(relative, (-1, 1, 2, self.channels)), size, self.canvas_px)
        (real, imaginary), lit = self._reconstruct(
            ops.reshape(own, (-1, self.channels, size, size)), home, probe
        )
        beside = physics.Placement(centres, self.canvas_px, self.cluster_px)
        patches = [
            ops.reshape(part, (-1, groups, self.canvas_px, self.canvas_px)) for part in (real, imaginary, lit)
        ]
        total = beside.place(patches[2])
        merged = [physics.merge_patches(part, patches[2], beside, total) for part in patches[:2]]
        return (merged[0], merged[1]), total

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

    Raises DataContractError where the positions are not relative to their group's centre.
    """
    positions = batch["positions"]
    worst = float(np.abs(positions.mean(axis=3)).max()) if positions.size else 0.0
    if worst > 0.5 + 1e-3:
        raise DataContractError(
            f"positions must be relative to a whole pixel at most 0.5 px from each group's mean; one is {worst:.4g} px "
            "off (absolute coordinates?)"
        )
    pair = np.stack([probe.real, probe.imag], axis=-1).astype(np.float32)
    return {**batch, "probe": pair[None]}
