"""What the framework computes, on every backend the same: forward model, losses, one gradient step, one training step."""

import numpy as np
import oracles
import pytest
from lazily import Lazy

from ptycho.settings.sections import LossConfig, ModelConfig
from ptycho.testing.golden import pins

pytestmark = pytest.mark.golden

keras = Lazy("keras")
backends = Lazy("ptycho.network.backends")
losses = Lazy("ptycho.network.losses")
networks = Lazy("ptycho.network.network")
physics = Lazy("ptycho.network.physics")

N, CANVAS = 16, 24
MEMBERS = np.array([[-2.25, 1.5], [3.0, -1.75], [1.5, 2.0], [-2.25, -1.75]])
TRUTH, START = (oracles.smooth_object(CANVAS, CANVAS, seed) for seed in (4, 7))
PROBE = 3 * oracles.lopsided_probe(N, 2)


@pytest.fixture(autouse=True)
def as_networks_run():
    with backends.single_precision():
        yield


def numpy_of(value):
    return np.asarray(keras.ops.convert_to_numpy(value))


def tensor(array):
    return keras.ops.convert_to_tensor(np.ascontiguousarray(array).astype(np.float32))


def pair(field):
    return tensor(field.real), tensor(field.imag)


def placement():
    return physics.Placement(tensor(-MEMBERS.T[None, None]), N, CANVAS)


def amplitudes(obj):
    """(4, N, N) by loops, zero frequency in the middle."""
    patches = oracles.sample(obj, MEMBERS + CANVAS / 2, N)
    return np.array([oracles.far_field(patch, PROBE) for patch in patches])


def test_the_forward_model(golden):
    """Amplitudes of four patterns, against the numpy loops."""
    found = physics.predict_intensity(pair(TRUTH[None]), placement(), pair(PROBE))
    made = np.sqrt(np.fft.fftshift(numpy_of(found)[0], axes=(1, 2)))
    golden.check(
        {"amplitude": made},
        second={"amplitude": amplitudes(TRUTH)},
        oracle_band=1e-6,
        over="framework",
        reason="the differentiable forward model",
    )


def test_one_gradient_step(golden):
    measured = physics.shift_detector(tensor(amplitudes(TRUTH)[None]))
    lit = physics.placed_illumination(placement(), pair(PROBE), measured)
    real, imaginary = physics.gradient_step(pair(START[None]), measured, placement(), pair(PROBE), lit, 0.02)
    step = numpy_of(real)[0] + 1j * numpy_of(imaginary)[0]
    golden.check({"step": step}, over="framework", reason="the preconditioned gradient of the data error")


def test_losses_on_a_grid(golden):
    """Each term for predictions that are too small and too large by known factors, from their formulas."""
    measured = amplitudes(TRUTH)
    factors = (0.5, 0.8, 1.25, 2.0)
    made = {
        name: np.array([float(numpy_of(term(tensor(f * measured), tensor(measured)))) for f in factors])
        for name, term in {
            "amplitude": losses.amplitude_error,
            "absolute": losses.absolute_error,
            "nll": lambda a, b: losses.poisson_nll(keras.ops.square(a), keras.ops.square(b)),
        }.items()
    }
    counts = measured**2
    right = {
        "amplitude": np.array([(f - 1) ** 2 for f in factors]),
        "absolute": np.array([abs(f - 1) for f in factors]),
        "nll": np.array([np.mean(f**2 * counts - counts * np.log(f**2 * counts + 1e-6)) for f in factors]),
    }
    golden.check(
        made, analytic=right, oracle_band=2e-6, over="framework", reason="loss terms by their formulas"
    )


def test_one_training_step(golden):
    """Weights before it are ours, not those of a backend's generator; what moved them is pinned variable by variable."""
    settings = ModelConfig(filters=2, levels=1, warm_steps=1, steps=1, trainable_photon_scale=True)
    model = networks.PtychoModel(
        settings, LossConfig(), channels=4, canvas_px=CANVAS, photon_scale=2.0, object_unit=1.5, seed=3
    )
    rng = np.random.default_rng(11)
    for variable in model.trainable_variables:
        if len(variable.shape):  # the photon scale stays as it was given
            variable.assign(0.3 * rng.normal(size=variable.shape).astype(np.float32))
    before = [numpy_of(variable).copy() for variable in model.trainable_variables]
    # Plain gradient descent: Adam's first step has the size of the rate, whatever the gradient.
    model.compile(keras.optimizers.SGD(0.05), loss=None, jit_compile=False)
    relative = -MEMBERS.T[None, None]
    middle = relative.mean(axis=3, keepdims=True)
    batch = {
        "amplitude": (2 * np.moveaxis(amplitudes(TRUTH), 0, -1)[None]).astype(np.float32),
        "positions": (relative - middle).astype(np.float32),
    }
    logs = model.train_on_batch(networks.model_inputs(batch, PROBE), return_dict=True)
    moved = [numpy_of(v) - b for v, b in zip(model.trainable_variables, before, strict=True)]
    values = {"loss": float(logs["loss"]), "error": float(logs["error"])}
    for number, (variable, step) in enumerate(zip(model.trainable_variables, moved, strict=True)):
        values[f"{number}: {variable.path.partition('/')[2]}"] = pins.projection(step.reshape(1, -1))
    golden.check(values, over="framework", seed=11, reason="one step of training")
