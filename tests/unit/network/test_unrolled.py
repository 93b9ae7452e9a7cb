"""The unrolled network, piece by piece, against numpy loops, finite differences and what training must add."""

import itertools

import numpy as np
import oracles
import pytest
from lazily import Lazy

from ptycho.settings.sections import LossConfig, ModelConfig

keras = Lazy("keras")
physics = Lazy("ptycho.network.physics")
unrolled = Lazy("ptycho.network.unrolled")
networks = Lazy("ptycho.network.network")

N, CANVAS, DAMPING = 16, 24, 0.02
MEMBERS = np.array([[-2.25, 1.5], [3.0, -1.75], [1.5, 2.0], [-2.25, -1.75]])


def numpy_of(value):
    return np.asarray(keras.ops.convert_to_numpy(value))


def tensors(field):
    return tuple(
        keras.ops.convert_to_tensor(part[None].astype(np.float32)) for part in (field.real, field.imag)
    )


def lifted(modulus):
    """Over the background of a photon in a billion."""
    return np.hypot(modulus, 1e-3)


class Scene:
    """Four patterns of one object under a lopsided probe, and a start that does not explain them."""

    def __init__(self, modes=2):
        self.probe = 3 * oracles.lopsided_probe(N, modes)
        truth = oracles.smooth_object(CANVAS, CANVAS, seed=4)
        self.start = oracles.smooth_object(CANVAS, CANVAS, seed=7)
        self.where = MEMBERS + CANVAS / 2
        self.measured = self.amplitudes(truth)
        lit = np.sum(np.abs(self.probe) ** 2, axis=0)
        self.peak = lit.max()
        self.illumination = oracles.place(
            np.broadcast_to(lit / self.peak, (4, N, N)), self.where, (0, 0), (CANVAS, CANVAS)
        )

    def amplitudes(self, obj):
        patches = oracles.sample(obj, self.where, N)
        return np.array([oracles.far_field(patch, self.probe) for patch in patches])

    def error(self, obj):
        """Of the moduli over the background that a step compares."""
        return float(np.sum((lifted(self.amplitudes(obj)) - lifted(self.measured)) ** 2))

    def placement(self):
        positions = np.ascontiguousarray(-MEMBERS.T[None, None]).astype(np.float32)
        return physics.Placement(keras.ops.convert_to_tensor(positions), N, CANVAS)

    def modes(self):
        return tuple(
            keras.ops.convert_to_tensor(part.astype(np.float32))
            for part in (self.probe.real, self.probe.imag)
        )

    def step(self, obj, damping=DAMPING):
        amplitude = physics.shift_detector(
            keras.ops.convert_to_tensor(self.measured[None].astype(np.float32))
        )
        lit = physics.placed_illumination(self.placement(), self.modes(), amplitude)
        found = physics.gradient_step(tensors(obj), amplitude, self.placement(), self.modes(), lit, damping)
        return (numpy_of(found[0]) + 1j * numpy_of(found[1]))[0]

    def numpy_step(self, obj, damping=DAMPING):
        """Modulus projection by the definition of the transform, back-propagation, division by the light."""
        n = np.arange(N)
        matrix = np.exp(-2j * np.pi * np.outer(n - N // 2, n) / N) / np.sqrt(N)
        total = np.zeros((CANVAS, CANVAS), complex)
        for patch, measured, where in zip(
            oracles.sample(obj, self.where, N), self.measured, self.where, strict=True
        ):
            waves = [matrix @ (patch * mode) @ matrix.T for mode in self.probe]
            modulus = np.sqrt(sum(np.abs(wave) ** 2 for wave in waves))
            excess = lifted(measured) / lifted(modulus) - 1
            back = sum(
                np.conj(mode) * (matrix.conj().T @ (wave * excess) @ matrix.conj())
                for mode, wave in zip(self.probe, waves, strict=True)
            )
            total += oracles.place(back[None], where[None], (0, 0), (CANVAS, CANVAS))
        return total / self.peak / (self.illumination + damping)


@pytest.fixture(scope="module")
def scene():
    return Scene()


def test_the_gradient_step_is_the_numpy_one(scene):
    expected = scene.numpy_step(scene.start)
    np.testing.assert_allclose(scene.step(scene.start), expected, atol=1e-5 * np.abs(expected).max())


def test_the_gradient_step_is_the_slope_of_the_error(scene):
    """Undo the division by the light: what is left is minus half the derivative of sum (A_pred - A)^2."""
    slope = scene.step(scene.start) * scene.peak * (scene.illumination + DAMPING)
    rng = np.random.default_rng(1)
    for _ in range(3):
        direction = rng.normal(size=slope.shape) + 1j * rng.normal(size=slope.shape)
        tiny = 1e-5
        difference = scene.error(scene.start + tiny * direction) - scene.error(scene.start - tiny * direction)
        expected = difference / (2 * tiny)
        assert -2 * np.real(np.vdot(slope, direction)) == pytest.approx(expected, rel=1e-3)


def network(**settings):
    config = ModelConfig(filters=4, levels=1, **settings)
    net = unrolled.UnrolledNetwork(config, 4, 1.7, seed=3)
    net.build()
    return net


def run(net, scene):
    amplitude = physics.shift_detector(keras.ops.convert_to_tensor(scene.measured[None].astype(np.float32)))
    lit = physics.placed_illumination(scene.placement(), scene.modes(), amplitude)
    real, imaginary = net(amplitude, placement=scene.placement(), probe=scene.modes(), illumination=lit)
    return (numpy_of(real) + 1j * numpy_of(imaginary))[0]


def accelerated(scene, corrections, momentum):
    """Nesterov's iteration from a flat object, with what is to be added after each step."""
    now = before = np.full((CANVAS, CANVAS), 1.7 + 0j)
    for k, correction in enumerate(corrections):
        ahead = now + min(momentum, k / (k + 3)) * (now - before)
        now, before = ahead + scene.numpy_step(ahead) + correction, now
    return now


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.95])
@pytest.mark.parametrize(("warm_steps", "steps"), [(0, 1), (0, 3), (1, 2), (3, 2), (4, 0)])
def test_untrained_it_is_the_accelerated_iteration_from_a_flat_object(scene, warm_steps, steps, momentum):
    expected = accelerated(scene, [0] * (warm_steps + steps), momentum)
    found = run(network(warm_steps=warm_steps, steps=steps, momentum=momentum), scene)
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


def test_after_the_last_correction_come_steps_without_one(scene):
    """Their momentum goes on where the corrected steps left it."""
    net = network(warm_steps=1, steps=1, final_steps=2)
    biased(net, [(0.1, -0.2, 0, 0)])
    expected = accelerated(scene, (0, 1.7 * (0.1 - 0.2j), 0, 0), 0.95)
    np.testing.assert_allclose(run(net, scene), expected, atol=2e-4 * np.abs(expected).max())


def test_momentum_gets_farther_in_as_many_steps(scene):
    plain, fast = (scene.error(run(network(warm_steps=12, steps=1, momentum=m), scene)) for m in (0, 0.95))
    assert fast < 0.8 * plain


def biased(net, values):
    """Let each correction be a constant: (real, imaginary) in units of the object, then in units of the step."""
    for k, four in enumerate(values):
        (bias,) = [w for w in net.weights if f"correction{k}" in w.path and w.path.endswith("last/bias")]
        bias.assign([*four] * (bias.shape[0] // 4))


@pytest.mark.parametrize("block", [1, 2])
def test_a_correction_is_added_in_units_of_the_object_after_each_step(scene, block):
    net = network(warm_steps=1, steps=2, block=block)
    biased(net, [(0.1, -0.2, 0, 0), (0.03, 0.05, 0, 0)])
    expected = accelerated(scene, (0, 1.7 * (0.1 - 0.2j), 1.7 * (0.03 + 0.05j)), 0.95)
    np.testing.assert_allclose(run(net, scene), expected, atol=2e-4 * np.abs(expected).max())


def looking(seen, block=1):
    """A correction of nothing, which keeps what it is shown."""

    def call(inputs):
        seen.append(numpy_of(unrolled.unfold(inputs, block)))
        return 0 * inputs[..., : 4 * block**2]

    return call


def test_a_part_of_it_is_in_units_of_the_step(scene):
    net = network(warm_steps=0, steps=1)
    biased(net, [(0, 0, 0.4, -0.3)])
    flat = np.full((CANVAS, CANVAS), 1.7 + 0j)
    step = scene.numpy_step(flat)
    length = np.sqrt(np.mean(np.abs(step) ** 2))
    expected = flat + step + length * (0.4 - 0.3j)
    np.testing.assert_allclose(run(net, scene), expected, atol=2e-4 * np.abs(expected).max())


def test_the_sizes_of_the_steps_are_learned(scene):
    net = network(warm_steps=0, steps=2, momentum=0.0)
    net.step_sizes.assign([0.5, 1.25])
    assert any(v is net.step_sizes for v in net.trainable_variables)
    expected = np.full((CANVAS, CANVAS), 1.7 + 0j)
    for size in (0.5, 1.25):
        expected = expected + size * scene.numpy_step(expected)
    np.testing.assert_allclose(run(net, scene), expected, atol=2e-4 * np.abs(expected).max())


def test_a_very_short_step_is_magnified_only_so_far(scene, monkeypatch):
    """By the formula: step / sqrt(mean |step|^2 + (1e-5 unit)^2)."""
    net, seen = network(warm_steps=0, steps=1), []
    net._nets[0].call = looking(seen)
    short = 1.7e-5 * keras.ops.ones((1, CANVAS, CANVAS))
    monkeypatch.setattr("ptycho.network.physics.gradient_step", lambda *_: (short, 0 * short))
    run(net, scene)
    np.testing.assert_allclose(seen[0][..., 0], 1 / np.sqrt(2), rtol=1e-4)


def test_a_step_of_nothing_is_not_magnified(scene):
    """Where the patterns are explained already the network sees zeros, and no noise or NaN."""
    net = network(warm_steps=0, steps=1)
    seen = []
    net._nets[0].call = looking(seen)
    explained = Scene()
    explained.measured = explained.amplitudes(np.full((CANVAS, CANVAS), 1.7 + 0j))
    run(net, explained)
    assert np.isfinite(seen[0]).all()
    assert np.abs(seen[0][..., :2]).max() < 0.5


@pytest.mark.parametrize("block", [1, 2, 3])
def test_blocks_of_pixels_become_channels_and_pixels_again(block):
    """By loops: channel (b i + j) c + k of a block is image k at its pixel (i, j)."""
    image = np.random.default_rng(3).normal(size=(2, 6, 12, 5)).astype(np.float32)
    images = [keras.ops.convert_to_tensor(image[..., k]) for k in range(5)]
    folded = numpy_of(unrolled.fold(images, block))
    assert folded.shape == (2, 6 // block, 12 // block, 5 * block**2)
    for i, j, k in itertools.product(range(block), range(block), range(5)):
        channel = (block * i + j) * 5 + k
        np.testing.assert_array_equal(folded[..., channel], image[:, i::block, j::block, k])
    back = unrolled.unfold(keras.ops.convert_to_tensor(folded), block)
    np.testing.assert_array_equal(numpy_of(back), image)


@pytest.mark.parametrize("block", [1, 2])
def test_what_the_correction_sees(scene, block):
    """The step in units of its length, the object and its modulus in those of the object, and the light, in this order."""
    net = network(warm_steps=0, steps=1, block=block)
    seen = []
    net._nets[0].call = looking(seen, block)
    run(net, scene)
    step, flat = scene.numpy_step(np.full((CANVAS, CANVAS), 1.7 + 0j)), np.ones((CANVAS, CANVAS))
    step = step / np.sqrt(np.mean(np.abs(step) ** 2))
    expected = np.stack([step.real, step.imag, flat, 0 * flat, flat, scene.illumination], axis=-1)
    np.testing.assert_allclose(seen[0][0], expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(("share", "count"), [(False, 3), (True, 1)])
def test_shared_weights_are_one_network(share, count):
    assert len(network(steps=3, share_weights=share)._nets) == count


def test_the_photon_scale_divides_what_comes_in_and_multiplies_what_goes_out():
    layer = networks.PhotonScale(2.5, trainable=True)
    scaled = numpy_of(layer(keras.ops.convert_to_tensor(np.array([5.0], np.float32))))
    assert scaled == pytest.approx(2.0)
    assert numpy_of(layer.undo(keras.ops.convert_to_tensor(scaled))) == pytest.approx(5.0)


def with_trainable_scale(scene):
    """(model with one warm step and one after it, its inputs): all that trains is the photon scale, by plain descent."""
    config = ModelConfig(filters=4, levels=1, warm_steps=1, steps=1, trainable_photon_scale=True)
    model = networks.PtychoModel(
        config, LossConfig(), channels=4, canvas_px=CANVAS, photon_scale=2.5, object_unit=1.7, seed=1
    )
    model.compile(keras.optimizers.SGD(1.0), loss=None, jit_compile=False)
    positions = np.ascontiguousarray(-MEMBERS.T[None, None]).astype(np.float32)
    amplitude = 2.5 * np.moveaxis(scene.measured, 0, -1)[None].astype(np.float32)
    return model, networks.model_inputs({"amplitude": amplitude, "positions": positions}, scene.probe)


def slope(scene):
    """Central difference of the loss by the logarithm of the photon scale."""
    model, inputs = with_trainable_scale(scene)
    losses = []
    for change in (0.01, -0.01):
        model.photon_scale.log_scale.assign(np.log(2.5) + change)
        losses.append(float(model.test_on_batch(inputs, return_dict=True)["loss"]))
    return (losses[0] - losses[1]) / 0.02


@pytest.mark.slow
def test_nothing_is_learned_through_the_warm_steps(scene, monkeypatch):
    """What the photon scale learns is the slope of the loss with the object after the warm steps held still."""
    model, inputs = with_trainable_scale(scene)
    before = float(numpy_of(model.photon_scale.log_scale))
    model.train_on_batch(inputs)
    learned = before - float(numpy_of(model.photon_scale.log_scale))
    through = slope(scene)
    still = physics.shift_detector(scene.measured[None].astype(np.float32))
    calls, gradient_step = [], physics.gradient_step

    def first_held_still(obj, amplitude, *others):
        calls.append(amplitude)
        return gradient_step(obj, still if len(calls) == 1 else amplitude, *others)

    monkeypatch.setattr("ptycho.network.physics.gradient_step", first_held_still)
    held = slope(scene)
    assert len(calls) == 2, "the graph is made once: a warm step and the one after it"
    assert abs(through - held) > 0.1 * abs(held), "what is to be told apart differs"
    assert learned == pytest.approx(held, rel=0.02)


def test_large_seeds_are_seeds(scene):
    """JAX and Keras take 31 bits; a run's seed may have 32."""
    config = ModelConfig(filters=4, levels=1, steps=1)
    nets = [unrolled.UnrolledNetwork(config, 4, 1.0, seed=seed) for seed in (2**32 - 1, 2**32 - 2)]
    for net in nets:
        net.build()
    kernels = [numpy_of(next(w for w in net.weights if w.path.endswith("kernel"))) for net in nets]
    assert not np.array_equal(*kernels)


def test_every_correction_starts_from_weights_of_its_own():
    first, second = (
        next(
            numpy_of(w) for w in network(steps=2).weights if f"correction{k}" in w.path and "kernel" in w.path
        )
        for k in (0, 1)
    )
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize("block", [1, 2])
def test_a_network_is_as_wide_as_what_it_sees_and_adds(block):
    """Six numbers a pixel go in, four come out, and no weight is trained for nothing."""
    shapes = [tuple(w.shape) for w in network(steps=1, block=block).weights if "kernel" in w.path]
    assert (shapes[0][-2], shapes[-1][-1]) == (6 * block**2, 4 * block**2)
