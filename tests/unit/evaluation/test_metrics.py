"""Every metric of a pair against its formula, written out: by loops, by normal equations, by the definition."""

import math

import numpy as np
import pytest
from scipy import ndimage

from ptycho.evaluation import metrics
from ptycho.evaluation.frames import Comparison

SHAPE = (9, 14)


def images(seed=5):
    """A prediction and a truth that are alike, with amplitudes of about 1 and phases within a radian."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.5, 1.5, SHAPE) * np.exp(1j * rng.uniform(-0.5, 0.5, SHAPE))
    prediction = truth * rng.uniform(0.8, 1.4, SHAPE) * np.exp(1j * rng.normal(0.3, 0.1, SHAPE))
    return prediction, truth


@pytest.fixture
def pair():
    """Pixels outside of the mask hold nonsense."""
    prediction, truth = images()
    mask = np.zeros(SHAPE, bool)
    mask[1:8, 2:13] = True
    mask[3, 5:7] = False
    return Comparison(np.where(mask, prediction, 99), np.where(mask, truth, -7j), mask, (0, 0))


def test_the_amplitudes_numbers(pair):
    a, t = np.abs(pair.prediction[pair.mask]), np.abs(pair.truth[pair.mask])
    ordered = np.sort(a - t)

    def quantile(share):
        at = share * (len(ordered) - 1)
        low = int(at)
        return ordered[low] + (at - low) * (ordered[low + 1] - ordered[low])

    rmse = math.sqrt(sum((x - y) ** 2 for x, y in zip(a, t, strict=True)) / len(a))
    found = metrics.amplitude_metrics(pair)
    similarity = found.pop("ssim")
    assert found == pytest.approx(
        {
            "amplitude_ratio": a.sum() / t.sum(),
            "bias_mean": (a.sum() - t.sum()) / len(a),
            **{f"bias_p{p:02d}": quantile(p / 100) for p in (5, 25, 50, 75, 95)},
            "least_squares_scalar": (a @ t) / (a @ a),
            "mae": sum(abs(x - y) for x, y in zip(a, t, strict=True)) / len(a),
            "rmse": rmse,
            "nrmse": rmse * len(t) / t.sum(),
            "pearson": np.sum((a - a.mean()) * (t - t.mean())) / (len(a) * a.std() * t.std()),
            "psnr_db": 10 * math.log10((t.max() - t.min()) ** 2 / rmse**2),
        }
    )
    assert similarity == metrics.ssim(pair) or math.isnan(similarity)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_of_a_pixel_that_is_no_number_nothing_is_defined_and_nothing_breaks(pair, value):
    pair.prediction[4, 4] = value
    found = metrics.amplitude_metrics(pair)
    for name in ("pearson", "ssim", "psnr_db", "bias_p05", "bias_p50", "bias_p95"):
        assert math.isnan(found[name]), name
    assert not math.isfinite(found["mae"])


def test_a_perfect_or_a_flat_pair_has_no_signal_to_noise():
    prediction, truth = images()
    whole = np.ones(SHAPE, bool)
    assert math.isnan(metrics.amplitude_metrics(Comparison(truth, truth, whole, (0, 0)))["psnr_db"])
    flat = np.full(SHAPE, 2 + 0j)
    assert math.isnan(metrics.amplitude_metrics(Comparison(prediction, flat, whole, (0, 0)))["psnr_db"])


def test_the_phases_numbers_by_normal_equations(pair):
    """After the global phase; and after a plane as well, each pixel weighted by both amplitudes."""
    product = pair.prediction[pair.mask] * np.conj(pair.truth[pair.mask])
    error = np.angle(product * np.conj(product.sum()) / abs(product.sum()))
    rows, columns = np.nonzero(pair.mask)
    design = np.stack([rows, columns, np.ones(len(rows))], axis=1).astype(float)
    weight = np.abs(product)
    plane = np.linalg.solve(design.T @ (weight[:, None] * design), design.T @ (weight * error))
    rest = error - design @ plane
    assert metrics.phase_metrics(pair) == pytest.approx(
        {
            "phase_mae": np.mean(np.abs(error)),
            "phase_rmse": np.sqrt(np.mean(error**2)),
            "phase_mae_plane": np.mean(np.abs(rest)),
            "phase_rmse_plane": np.sqrt(np.mean(rest**2)),
        }
    )


def test_a_phase_beyond_half_a_turn_is_counted_the_short_way_round(pair):
    """A plane that wraps within the picture leaves errors no larger than half a turn."""
    columns = np.arange(SHAPE[1])
    steep = Comparison(pair.truth * np.exp(0.2j * columns), pair.truth, pair.mask, (0, 0))
    found = metrics.phase_metrics(steep)
    assert found["phase_mae_plane"] == pytest.approx(0, abs=1e-6)
    assert found["phase_rmse_plane"] == pytest.approx(0, abs=1e-6)


def test_a_phase_that_is_no_number_has_no_plane(pair):
    pair.prediction[4, 4] = complex(math.nan, 0)
    found = metrics.phase_metrics(pair)
    assert set(found) == {"phase_mae", "phase_rmse", "phase_mae_plane", "phase_rmse_plane"}
    assert all(math.isnan(value) for value in found.values())


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1.0], [2.0], math.nan),
        ([1.0, 2.0], [1.0, 3.0], 1.0),
        ([1.0, 2.0, 4.0], [-2.0, -4.0, -8.0], -1.0),
        ([1.0, math.nan, 2.0], [1.0, 2.0, 3.0], math.nan),
        ([1.0, 2.0, 3.0], [1.0, math.inf, 2.0], math.nan),
        ([-1.0, -1.0 - 1e-9], [1.0, 2.0], math.nan),
        ([0.0, 0.0, 0.0], [1.0, 2.0, 3.0], math.nan),
        ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], math.nan),
    ],
)
def test_a_correlation_where_there_is_one(a, b, expected):
    assert metrics.pearson(np.array(a), np.array(b)) == pytest.approx(expected, nan_ok=True)


def test_a_mean_of_zero_is_never_flat():
    assert metrics.pearson(np.array([-1e-9, 1e-9]), np.array([1.0, 2.0])) == pytest.approx(1)


def ring_correlation(pair):
    """By loops over frequencies: masked means off, soft edge, the global phase out, rings as wide as a sample."""
    height, width = pair.mask.shape
    soft = np.clip(2 * ndimage.gaussian_filter(pair.mask.astype(float), 2.0) - 1, 0, 1)
    product = np.sum(pair.prediction[pair.mask] * np.conj(pair.truth[pair.mask]))
    turned = pair.prediction * np.conj(product) / abs(product)
    spectra = []
    for image in (turned, pair.truth):
        mean = image[pair.mask].sum() / pair.mask.sum()
        spectra.append(np.fft.fft2(np.where(pair.mask, image - mean, 0 - mean) * soft))
    side = max(height, width)
    rings = {}
    for i in range(height):
        for j in range(width):
            fy, fx = (
                (i if i < height / 2 else i - height) / height,
                (j if j < width / 2 else j - width) / width,
            )
            rings.setdefault(round(math.hypot(fy, fx) * side), []).append(
                (spectra[0][i, j], spectra[1][i, j])
            )
    values = []
    for ring in range(1, side // 2 + 1):
        first, second = np.array(rings[ring]).T
        power = np.sum(np.abs(first) ** 2) * np.sum(np.abs(second) ** 2)
        values.append(np.sum(first * np.conj(second)).real / math.sqrt(power))
    return np.arange(1, side // 2 + 1) / side, np.array(values)


@pytest.mark.parametrize("side", [186, 198, 210, 64, 65])
def test_the_ring_at_nyquist_is_there(side):
    """0.5 / (1 / 186) is 92.99999999999999."""
    image = np.random.default_rng(0).normal(2, 1, (side, 20)) + 0j
    pair = Comparison(image, image, np.ones(image.shape, bool), (0, 0))
    frequencies, found = metrics.fourier_ring_correlation(pair)
    assert len(frequencies) == len(found) == side // 2
    assert frequencies[-1] == pytest.approx(side // 2 / side)


@pytest.mark.finding("FRC-PHASE-001")
@pytest.mark.parametrize("shape", [(20, 33), (32, 17), (24, 24)])
def test_the_ring_correlation_by_loops(shape):
    rng = np.random.default_rng(1)
    truth = rng.normal(size=shape) + 1j * rng.normal(size=shape) + 3
    prediction = (truth + 0.7 * (rng.normal(size=shape) + 1j * rng.normal(size=shape))) * np.exp(0.9j)
    mask = np.zeros(shape, bool)
    mask[2:-1, 1:-2] = True
    pair = Comparison(prediction, truth, mask, (0, 0))
    frequencies, found = metrics.fourier_ring_correlation(pair)
    expected_frequencies, expected = ring_correlation(pair)
    np.testing.assert_allclose(frequencies, expected_frequencies)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert 0.2 < expected.mean() < 0.95
    faint = Comparison(1e-6 * prediction, 1e-6 * truth, mask, (0, 0))
    np.testing.assert_allclose(metrics.fourier_ring_correlation(faint)[1], expected, atol=1e-9)


def test_rings_without_any_power_have_no_correlation():
    """A pattern of one frequency: all other rings of a full, soft-edged field are not empty, those of zero are."""
    zero = np.zeros((16, 16), complex)
    _, found = metrics.fourier_ring_correlation(Comparison(zero, zero, np.ones((16, 16), bool), (0, 0)))
    assert np.isnan(found).all()


FREQUENCIES = np.array([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    ("curve", "level", "expected"),
    [
        ([0.9, 0.8, 0.7, 0.6], 0.5, 0.5),
        ([0.9, 0.8, 0.5, 0.6], 0.5, 0.5),
        ([0.9, 0.8, 0.4, 0.9], 0.5, 0.2 + 0.1 * 0.75),
        ([0.9, 0.1, 0.6, 0.2], 0.5, 0.3 + 0.1 * 0.25),
        ([0.9, 0.1, 0.4, 0.2], 0.5, 0.1 + 0.1 * 0.5),
        ([0.4, 0.9, 0.9, 0.9], 0.5, 0.5),
        ([0.4, 0.9, 0.9, 0.3], 0.5, 0.3 + 0.1 * 4 / 6),
        ([0.4, 0.3, 0.2, 0.1], 0.5, 0.1),
        ([0.9, 0.8, math.nan, 0.1], 0.5, math.nan),
        ([0.9, 0.9, 0.9, 0.1], 1 / 7, 0.3 + 0.1 * (0.9 - 1 / 7) / 0.8),
    ],
)
@pytest.mark.finding("FRC-FIRST-DIP-001")
def test_the_resolution_is_where_the_curve_last_falls_below(curve, level, expected):
    assert metrics.cutoff(FREQUENCIES, np.array(curve), level) == pytest.approx(expected, nan_ok=True)


@pytest.mark.finding("FRC-FIRST-DIP-001")
def test_a_dip_of_the_lowest_ring_is_not_where_detail_ends():
    """A curve of a measured scan: its lowest ring holds six samples, and dips."""
    frequencies = np.arange(1, 129) / 256
    curve = 1 / (1 + np.exp((frequencies - 0.125) / 0.01))
    curve[0] = 0.4
    assert 0.5 / metrics.cutoff(frequencies, curve, 0.5) == pytest.approx(4, rel=0.02)


def test_a_ring_that_rises_by_chance_is_not_where_detail_ends():
    frequencies = np.arange(1, 129) / 256
    curve = 1 / (1 + np.exp((frequencies - 0.125) / 0.01))
    curve[100] = 0.9
    assert 0.5 / metrics.cutoff(frequencies, curve, 0.5) == pytest.approx(4, rel=0.02)


def test_the_smoothed_curve_is_that_of_running_means():
    rng = np.random.default_rng(2)
    curve = rng.uniform(size=70)
    expected = [np.mean(np.pad(curve, 2, mode="edge")[k : k + 5]) for k in range(70)]
    np.testing.assert_allclose(metrics.smoothed(curve), expected)
    assert (metrics.smoothed(curve[:31]) == curve[:31]).all()


def test_half_a_bit_needs_more_correlation_where_there_are_few_samples():
    """Of the twelfth ring of 100 px, half of them masked: 2 pi 12 / 2 = 37.7 samples (van Heel & Schatz, 2005, eq. 17)."""
    mask = np.zeros((100, 100), bool)
    mask[:50] = True
    level = metrics.half_bit(mask)
    samples = math.pi * 12
    expected = (0.2071 + 1.9102 / math.sqrt(samples)) / (1.2071 + 0.9102 / math.sqrt(samples))
    assert level[11] == pytest.approx(expected)
    assert level.shape == (50,)
    assert (np.diff(level) < 0).all()
    assert 0.17 < level[-1] < 0.35


def test_an_empty_curve_has_no_resolution():
    assert math.isnan(metrics.cutoff(np.array([]), np.array([]), 0.5))


def test_all_of_them_together_have_both_resolutions():
    rng = np.random.default_rng(1)
    truth = ndimage.gaussian_filter(rng.normal(size=(40, 40)), 1.5) + 1.0
    prediction = truth + 0.2 * rng.normal(size=truth.shape)
    pair = Comparison(prediction + 0j, truth + 0j, np.ones(truth.shape, bool), (0, 0))
    found = metrics.all_metrics(pair)
    curve = metrics.fourier_ring_correlation(pair)
    assert found["frc_1_2"] == metrics.cutoff(*curve, 0.5)
    assert found["frc_1_7"] == metrics.cutoff(*curve, 1 / 7)
    assert found["frc_1_2"] < found["frc_1_7"] < 0.5
    assert found.keys() == {
        *metrics.amplitude_metrics(pair),
        *metrics.phase_metrics(pair),
        "frc_1_2",
        "frc_1_7",
        "frc_half_bit",
    }


def test_of_a_flat_image_neither_resolution_is_defined():
    _, truth = images()
    flat = Comparison(np.ones(SHAPE, complex), truth, np.ones(SHAPE, bool), (0, 0))
    found = metrics.all_metrics(flat)
    assert math.isnan(found["frc_1_2"])
    assert math.isnan(found["frc_1_7"])


def test_similarity_needs_a_window_that_lies_in_the_mask():
    prediction, truth = images()
    narrow = np.zeros(SHAPE, bool)
    narrow[1:7] = True  # six rows: no window of seven fits
    assert math.isnan(metrics.ssim(Comparison(prediction, truth, narrow, (0, 0))))
    narrow[7] = True
    assert math.isfinite(metrics.ssim(Comparison(prediction, truth, narrow, (0, 0))))
