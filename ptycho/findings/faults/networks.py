"""Faults of the network and of training: frameworks are imported only where a fault runs."""

from __future__ import annotations

import contextlib
from typing import Any

from ptycho.testing.fault import Fault


def _stale_scale(original: Any) -> Any:
    """Start every scale from the first one's."""
    kept: list[float] = []

    def init(self: Any, start: float, trainable: bool, **named: Any) -> None:
        kept.append(start)
        original(self, kept[0], trainable, **named)

    return init


def _never_trained(original: Any) -> Any:
    """Make the photon scale one that is never trained."""
    return lambda self, start, trainable, **named: original(self, start, False, **named)


def _wrong_way(_: Any) -> Any:
    """Multiply on the way in."""

    def call(self: Any, amplitude: Any) -> Any:
        from keras import ops

        return amplitude * ops.exp(self.log_scale)

    return call


def _unbounded(original: Any) -> Any:
    """Add a branch without bounds to the amplitude head."""

    def heads(self: Any, a: Any, b: Any) -> Any:
        amplitude, phase = original(self, a, b)
        return amplitude + a, phase

    return heads


def _ends_at_one(_: Any) -> Any:
    """End at 1, as a bare sigmoid does, whatever the data's amplitude is."""

    def heads(self: Any, a: Any, b: Any) -> Any:
        import math

        from keras import ops

        return ops.sigmoid(a), math.pi * ops.tanh(b)

    return heads


def _real_and_imaginary(_: Any) -> Any:
    """Take amplitude and phase for real and imaginary part."""
    return lambda amplitude, phase: (amplitude, phase)


def _bare_logarithm(_: Any) -> Any:
    """Take the logarithm of a rate that may be zero."""

    def poisson_nll(rate: Any, counts: Any) -> Any:
        from keras import ops

        return ops.mean(rate - counts * ops.log(rate))

    return poisson_nll


def _squared_prediction(original: Any) -> Any:
    """Square the prediction and not the data."""
    return lambda predicted, measured: original(predicted * predicted, measured)


def _weights_not_set(_: Any) -> Any:
    """Rebuild a model and forget its weights."""
    return lambda model, weights, source="bundle": None


def _initial_scale_saved(original: Any) -> Any:
    """Save the photon scale that training began with."""
    from dataclasses import replace

    def save_bundle(path: Any, bundle: Any, about: Any = None) -> None:
        original(path, replace(bundle, trained_photon_scale=bundle.scales.photon_scale), about)

    return save_bundle


def _unchecked_damage(_: Any) -> Any:
    """Believe whatever a bundle holds."""
    return lambda path, arrays, expected: None


def _unequal_support(_: Any) -> Any:
    """Divide whole patches by a count of central windows."""

    def merge_patches(patches: Any, weight: Any, placement: Any, total: Any) -> Any:
        from keras import ops

        return placement.place(patches * ops.ones_like(weight)) / (ops.cast(total > 0.5, "float32") + 1e-3)

    return merge_patches


def _amplitude_as_rate(original: Any) -> Any:
    """Take the amplitude for the rate of counts."""

    def poisson_nll(rate: Any, counts: Any) -> Any:
        from keras import ops

        return original(ops.sqrt(rate), counts)

    return poisson_nll


def _per_count(original: Any) -> Any:
    """Divide the likelihood by the counts."""

    def poisson_nll(rate: Any, counts: Any) -> Any:
        from keras import ops

        return original(rate, counts) / ops.maximum(ops.mean(counts), 1e-6)

    return poisson_nll


def _unsealed(_: Any) -> Any:
    """Seal every description alike."""
    return lambda text: "sealed"


def _what_fits(original: Any) -> Any:
    """Set those weights that are there."""

    def set_weights(model: Any, weights: Any, source: str = "bundle") -> None:
        known = {variable.path: variable.numpy() for variable in model.weights}
        original(model, {**known, **{k: v for k, v in weights.items() if k in known}}, source)

    return set_weights


def _transposed_cut(original: Any) -> Any:
    """Cut patches on the other side of the group's centre."""

    def extract(self: Any, field: Any) -> Any:
        from keras import ops

        return ops.flip(original(self, ops.flip(field, axis=(1, 2))), axis=(2, 3))

    return extract


def _one_model_for_all(original: Any) -> Any:
    """Give the first model that was ever built for every other."""
    kept: list[Any] = []

    def build(*args: Any, **named: Any) -> Any:
        if not kept:
            kept.append(original(*args, **named))
        return kept[0]

    return build


def _unweighted(_: Any) -> Any:
    """Add the terms of the loss without their weights."""

    def compute_loss(
        self: Any, x: Any = None, y: Any = None, y_pred: Any = None, *rest: Any, **named: Any
    ) -> Any:
        from ptycho.network import losses

        obj = y_pred["real"], y_pred["imaginary"]
        measured = y_pred["predicted"], y_pred["measured"]
        terms = losses.loss_terms(self.loss_config, *measured, obj, y_pred["weight"], self.object_unit)
        self.error_mean.update_state(losses.amplitude_error(*measured))
        for name, value in terms.items():
            self.term_means[name].update_state(value)
        return sum(terms.values())

    return compute_loss


def _as_the_framework_likes(_: Any) -> Any:
    """Leave the precision of matrix products to the framework."""
    return contextlib.nullcontext


def _dark_phase(original: Any) -> Any:
    """Follow the phase of any far-field pixel, of those too that hold nothing but rounding errors."""

    def bare(intensity: Any) -> Any:
        from keras import ops

        from ptycho.network import physics

        return ops.sqrt(intensity + physics.MODULUS_FLOOR)

    return bare


def _never_compiled(_: Any) -> Any:
    """Compile for no backend."""
    return lambda name: False


def _drawn_by_the_framework(_: Any) -> Any:
    """Draw initial weights with the generator of the framework."""

    def he_normal(*seed: int) -> Any:
        import keras

        return keras.initializers.HeNormal(seed=sum(seed) % 2**31)

    return he_normal


FAULTS = (
    Fault(
        "TORCH-GS2-CENTRAL-MASK-MERGE-001",
        "unequal-support",
        "ptycho.network.physics:merge_patches",
        _unequal_support,
    ),
    Fault("NEW-LOGSCALE-STALE", "first-scale", "ptycho.network.network:PhotonScale.__init__", _stale_scale),
    Fault(
        "TORCH-INTENSITY-SCALE-DEAD-001",
        "never-trained",
        "ptycho.network.network:PhotonScale.__init__",
        _never_trained,
    ),
    Fault(
        "TORCH-INTENSITY-SCALE-DEAD-001", "wrong-way", "ptycho.network.network:PhotonScale.call", _wrong_way
    ),
    Fault(
        "TORCH-HEAD-SILU-ESCAPE-001", "unbounded", "ptycho.network.classic:ClassicNetwork.heads", _unbounded
    ),
    Fault(
        "DEBUG-SIM-LINES-DOSE-001/D6-range",
        "ends-at-one",
        "ptycho.network.classic:ClassicNetwork.heads",
        _ends_at_one,
    ),
    Fault("MATH-POLAR-001", "real-and-imaginary", "ptycho.network.classic:polar", _real_and_imaginary),
    Fault("PTY-AT-021", "bare-logarithm", "ptycho.network.losses:poisson_nll", _bare_logarithm),
    Fault(
        "RECT-MAE-UNITS-001",
        "squared-prediction",
        "ptycho.network.losses:absolute_error",
        _squared_prediction,
    ),
    Fault("SINGLETON-SAVE-001", "weights-not-set", "ptycho.network.bundle:set_weights", _weights_not_set),
    Fault(
        "INTENSITY-SCALE-SAVE-001", "initial-scale", "ptycho.network.bundle:save_bundle", _initial_scale_saved
    ),
    Fault(
        "KERAS3-BUNDLE-LOAD (bug 2026-02-11)",
        "damage-unchecked",
        "ptycho.network.bundle:check_digests",
        _unchecked_damage,
    ),
    Fault(
        "RECT-MAE-UNITS-001",
        "squared-amplitude",
        "ptycho.network.losses:amplitude_error",
        _squared_prediction,
    ),
    Fault("RECT-MAE-UNITS-001", "amplitude-as-rate", "ptycho.network.losses:poisson_nll", _amplitude_as_rate),
    Fault("POISSON-SCALE-001", "per-count", "ptycho.network.losses:poisson_nll", _per_count),
    Fault("KERAS3-BUNDLE-LOAD (bug 2026-02-11)", "unsealed", "ptycho.network.bundle:seal_of", _unsealed),
    Fault(
        "KERAS3-BUNDLE-LOAD (bug 2026-02-11)", "what-fits", "ptycho.network.bundle:set_weights", _what_fits
    ),
    Fault(
        "TORCH-REASSEMBLY-SIGN-001", "network", "ptycho.network.physics:Placement.extract", _transposed_cut
    ),
    Fault("MODULE-SINGLETON-001", "one-for-all", "ptycho.network.network:PtychoModel", _one_model_for_all),
    Fault("H-KERAS3-API", "unweighted", "ptycho.network.network:PtychoModel.compute_loss", _unweighted),
    Fault(
        "TENSOR-FLOAT-001", "ten-bits", "ptycho.network.backends:single_precision", _as_the_framework_likes
    ),
    Fault("SEED-BY-BACKEND-001", "own", "ptycho.network.initial:he_normal", _drawn_by_the_framework),
    Fault("DARK-PHASE-001", "rounding", "ptycho.network.physics:over_background", _dark_phase),
    Fault("JAX-BY-OPERATION-001", "never", "ptycho.network.backends:compiles", _never_compiled),
)
