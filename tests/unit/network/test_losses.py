"""Loss terms: finite at darkness, least at the truth, each in like units."""

import numpy as np
import pytest
from lazily import Lazy

from ptycho.settings.sections import LossConfig

keras = Lazy("keras")
losses = Lazy("ptycho.network.losses")
classic = Lazy("ptycho.network.classic")


def value(tensor):
    return float(np.asarray(keras.ops.convert_to_numpy(tensor)))


@pytest.mark.finding("PTY-AT-021")
@pytest.mark.parametrize("counts", [0.0, 1.0, 250.0])
@pytest.mark.parametrize("rate", [0.0, 1e-30, 1.0, 250.0])
def test_the_poisson_term_is_finite_and_follows_the_formula(rate, counts):
    found = value(
        losses.poisson_nll(keras.ops.full((1, 1, 2, 2), rate), keras.ops.full((1, 1, 2, 2), counts))
    )
    assert np.isfinite(found)
    assert found == pytest.approx(
        rate - counts * np.log(rate + 1e-6), rel=1e-5, abs=1e-6 + 2e-7 * counts
    )  # float32 steps near log(1)


@pytest.mark.finding("RECT-MAE-UNITS-001")
@pytest.mark.parametrize("name", ["amplitude_error", "absolute_error", "poisson"])
def test_the_best_global_scale_of_a_perfect_prediction_is_one(name):
    truth = np.random.default_rng(2).uniform(1, 9, (1, 2, 8, 8)).astype(np.float32)

    def loss(scale):
        predicted = keras.ops.convert_to_tensor(truth * np.float32(scale))
        if name == "poisson":
            return value(losses.poisson_nll(keras.ops.square(predicted), keras.ops.square(truth)))
        return value(getattr(losses, name)(predicted, keras.ops.convert_to_tensor(truth)))

    scales = np.linspace(0.9, 1.1, 21)
    assert scales[int(np.argmin([loss(scale) for scale in scales]))] == pytest.approx(1.0)


def test_errors_are_relative_to_the_whole_of_the_data():
    """By numpy, with prediction and data apart, dark pixels, and batches of several patterns."""
    rng = np.random.default_rng(3)
    predicted, measured = rng.uniform(0, 5, (2, 3, 2, 4, 5)).astype(np.float32)
    measured[0] = 0
    pair = keras.ops.convert_to_tensor(predicted), keras.ops.convert_to_tensor(measured)
    difference = predicted.astype(float) - measured
    squared = np.sum(difference**2) / np.sum(measured.astype(float) ** 2)
    assert value(losses.amplitude_error(*pair)) == pytest.approx(squared, rel=1e-5)
    absolute = np.sum(np.abs(difference)) / np.sum(measured, dtype=float)
    assert value(losses.absolute_error(*pair)) == pytest.approx(absolute, rel=1e-5)
    assert np.isfinite(value(losses.absolute_error(pair[0], 0 * pair[1])))


@pytest.mark.finding("POISSON-SCALE-001")
def test_the_slope_of_the_likelihood_goes_with_the_square_of_the_photon_scale():
    intensity = np.random.default_rng(5).uniform(1, 9, (1, 2, 8, 8)).astype(np.float32)

    def slope(s):
        counts = keras.ops.convert_to_tensor((s**2 * intensity).astype(np.float32))
        low, high = (value(losses.poisson_nll(change * counts, counts)) for change in (1.2, 1.3))
        return high - low

    assert slope(6.0) / slope(2.0) == pytest.approx(9, rel=1e-3)


@pytest.mark.finding("MATH-POLAR-001")
def test_heads_combine_as_a_complex_exponential():
    real, imaginary = classic.polar(
        keras.ops.convert_to_tensor([1.0, 2.0]), keras.ops.convert_to_tensor([np.pi, 0.5])
    )
    found = np.asarray(keras.ops.convert_to_numpy(real)) + 1j * np.asarray(
        keras.ops.convert_to_numpy(imaginary)
    )
    np.testing.assert_allclose(found, [-1.0, 2 * np.exp(0.5j)], atol=1e-6)


def test_total_variation_counts_steps_between_lit_pixels_only():
    """By loops; the object ends at the edge of the light in a step that is none of its own."""
    rng = np.random.default_rng(6)
    real, imaginary = rng.normal(size=(2, 1, 5, 7)).astype(np.float32)
    weight = np.zeros((1, 5, 7), np.float32)
    weight[0, 1:4, 2:6] = 0.5
    weight[0, 2, 3], weight[0, 1, 4] = 0.09, 0.11  # too dark to count, and just not
    total, lit = 0.0, weight[0] > 0.1
    for part in (real[0], imaginary[0]):
        for y in range(5):
            for x in range(7):
                for down, right in ((y + 1, x), (y, x + 1)):
                    if down < 5 and right < 7 and lit[y, x] and lit[down, right]:
                        total += abs(part[down, right] - part[y, x])
    pair = keras.ops.convert_to_tensor(real), keras.ops.convert_to_tensor(imaginary)
    found = value(losses.total_variation(pair, keras.ops.convert_to_tensor(weight), 1.5))
    assert found == pytest.approx(total / (1.5 * lit.sum()), rel=1e-5)


@pytest.mark.parametrize("wanted", [{"amplitude"}, {"nll"}, {"mae", "total_variation"}, {"amplitude", "nll"}])
def test_a_term_without_weight_is_not_computed(wanted):
    """A NaN in it would poison the total all the same; what is computed is the term of that name."""
    rng = np.random.default_rng(7)
    drawn = rng.uniform(1, 5, (2, 1, 2, 4, 4)), rng.normal(size=(2, 1, 8, 8)), np.ones((1, 1, 8, 8))
    (predicted, measured), obj, (weight,) = (
        [keras.ops.convert_to_tensor(array.astype(np.float32)) for array in arrays] for arrays in drawn
    )
    config = LossConfig(**{"amplitude": 0.0, **dict.fromkeys(wanted, 0.3)})
    terms = losses.loss_terms(config, predicted, measured, tuple(obj), weight, 2.0)
    apart = {
        "amplitude": losses.amplitude_error(predicted, measured),
        "nll": losses.poisson_nll(predicted**2, measured**2),
        "mae": losses.absolute_error(predicted, measured),
        "total_variation": losses.total_variation(tuple(obj), weight, 2.0),
    }
    assert terms.keys() == wanted
    assert {name: value(term) for name, term in terms.items()} == {
        name: value(apart[name]) for name in wanted
    }
