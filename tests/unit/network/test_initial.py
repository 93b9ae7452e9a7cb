"""What a network starts from: numbers of numpy, of the variance that its layers ask for."""

import numpy as np
import pytest
from lazily import Lazy

keras = Lazy("keras")
initial = Lazy("ptycho.network.initial")
network = Lazy("ptycho.network.network")

SHAPE = (3, 3, 40, 60)


def drawn(initializer, shape=SHAPE):
    return np.asarray(keras.ops.convert_to_numpy(initializer(shape, dtype="float32")), np.float64)


def test_a_normal_kernel_has_the_variance_of_two_in_a_fan_and_no_tails():
    values = drawn(initial.he_normal(3, 1))
    asked = np.sqrt(2 / (3 * 3 * 40))
    assert values.std() == pytest.approx(asked, rel=0.02)
    assert values.mean() == pytest.approx(0, abs=4 * asked / np.sqrt(values.size))
    assert np.abs(values).max() == pytest.approx(2 * asked / 0.8796, rel=0.01)


def test_a_uniform_kernel_has_the_variance_of_its_fans():
    values = drawn(initial.glorot_uniform(3, 1))
    asked = np.sqrt(2 / (3 * 3 * (40 + 60)))
    assert values.std() == pytest.approx(asked, rel=0.02)
    assert np.abs(values).max() == pytest.approx(np.sqrt(3) * asked, rel=0.01)


def test_it_is_that_of_the_framework_in_distribution():
    """Keras's own initializer as the second implementation: the same quantiles."""
    ours = np.quantile(drawn(initial.he_normal(3, 1)), np.linspace(0, 1, 21))
    theirs = np.quantile(drawn(keras.initializers.HeNormal(seed=5)), np.linspace(0, 1, 21))
    np.testing.assert_allclose(ours, theirs, atol=0.06 * np.sqrt(2 / 360))


@pytest.mark.parametrize("kind", ["he_normal", "glorot_uniform"])
def test_every_number_of_the_seed_counts_and_nothing_else(kind):
    draw = getattr(initial, kind)
    first = drawn(draw(3, 1))
    np.testing.assert_array_equal(first, drawn(draw(3, 1)))
    for other in ((3, 2), (4, 1), (2**32 - 1, 1)):
        # Different seeds, nothing in common.
        assert abs(np.corrcoef(first.ravel(), drawn(draw(*other)).ravel())[0, 1]) < 0.03


@pytest.mark.finding("SEED-BY-BACKEND-001")
def test_a_seed_means_this_network_on_every_backend():
    """Drawn here again, without a framework."""
    from ptycho.settings.sections import LossConfig, ModelConfig

    config = ModelConfig(filters=2, levels=1, warm_steps=0, steps=2)
    model = network.PtychoModel(
        config, LossConfig(), channels=1, canvas_px=32, photon_scale=2.0, object_unit=1.5, seed=7
    )
    kernels = [v for v in model.trainable_variables if v.path.endswith("down0_a/kernel")]
    for number, kernel in enumerate(kernels):
        values = np.random.default_rng((700 + number, 0)).standard_normal(kernel.shape)
        kept = np.abs(values) <= 2
        spread = np.sqrt(2 / np.prod(kernel.shape[:-1])) / 0.87962566103423978
        made = np.asarray(keras.ops.convert_to_numpy(kernel))
        np.testing.assert_allclose(made[kept], (values * spread)[kept].astype(np.float32), rtol=1e-6)
    assert len(kernels) == 2
