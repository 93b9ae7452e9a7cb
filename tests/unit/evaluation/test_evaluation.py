"""Evaluation: perfect patches score 1, a wrong frame, scale or orientation does not."""

import math

import numpy as np
import pytest

from ptycho.base.errors import DataContractError
from ptycho.evaluation import frames, metrics, summary
from ptycho.evaluation.frames import Comparison, apply_shift, compare_frames, find_shift
from ptycho.evaluation.metrics import all_metrics, cutoff, fourier_ring_correlation
from ptycho.evaluation.summary import evaluate
from ptycho.physics import coords, stitching
from ptycho.physics.forward import far_field_amplitude
from ptycho.physics.probes import zone_plate_probe
from ptycho.scan.objects import lines_object
from ptycho.scan.raw import RawData
from ptycho.settings.config import Config
from ptycho.settings.sections import EvaluationConfig


@pytest.fixture(scope="module")
def scene():
    """An asymmetric scan (COM far from mid-range) over a structured object, and its perfect reconstruction."""
    rng = np.random.default_rng(4)
    obj = lines_object(200, 9)[:180] * np.exp(0.3j * lines_object(200, 10)[:180].real)
    obj = obj.astype(np.complex64)
    where = np.stack([40 + 110 * rng.random(150) ** 2, 38 + 90 * rng.random(150)], axis=1)
    probe = zone_plate_probe(64)[None].astype(np.complex64) * 10
    amplitudes = far_field_amplitude(coords.extract_patches(obj, where, 64), probe)
    scan = RawData(where[:, 0], where[:, 1], amplitudes, probe, object_guess=obj)
    exact = np.round(where)  # whole pixels: placing these patches interpolates nothing
    patches = coords.extract_patches(obj, exact, 64)
    weights = np.broadcast_to(stitching.illumination(probe), patches.shape).copy()
    result = stitching.stitch(stitching.from_arrays(patches, weights, exact), exact, probe)
    return obj, scan, result, probe


@pytest.mark.finding("REASSEMBLY-METRIC-FRAME-001")
def test_perfect_patches_score_one(scene):
    obj, scan, result, probe = scene
    found = evaluate(result, obj, scan, probe, EvaluationConfig())
    assert found.direct["pearson"] > 0.9999
    assert found.direct["ssim"] > 0.999
    assert found.direct["amplitude_ratio"] == pytest.approx(1, abs=1e-4)
    assert found.direct["mae"] < 1e-3 * np.abs(obj).std()
    assert found.data["stitched_error"] < 1e-4
    assert found.data["stitched_scale"] == pytest.approx(1, abs=1e-3)


@pytest.mark.finding("REASSEMBLY-METRIC-FRAME-001")
def test_a_frame_error_of_two_pixels_is_seen_and_registration_finds_it(scene):
    from dataclasses import replace

    obj, scan, result, probe = scene
    x, y = result.origin_xy
    found = evaluate(replace(result, origin_xy=(x + 2, y - 1)), obj, scan, probe, EvaluationConfig())
    assert found.direct["pearson"] < 0.95
    assert found.registered["pearson"] > 0.999
    assert found.registered["shift_x_px"] == pytest.approx(-2, abs=0.05)
    assert found.registered["shift_y_px"] == pytest.approx(1, abs=0.05)


@pytest.mark.finding("EVALUATE-COVERAGE-001")
def test_what_was_not_lit_changes_no_number(scene):
    from dataclasses import replace

    obj, scan, result, probe = scene
    lit = stitching.coverage_map(scan.positions, probe, result.origin_xy, result.object.shape)
    noise = 100 * np.exp(1j * np.arange(result.object.shape[1]))
    garbage = np.where(lit > 0.1, result.object, noise)
    plain = evaluate(result, obj, scan, probe, EvaluationConfig())
    found = evaluate(
        replace(result, object=garbage.astype(np.complex64)), obj, scan, probe, EvaluationConfig()
    )
    assert found.direct == pytest.approx(plain.direct, rel=1e-6)
    assert found.structure == pytest.approx(plain.structure, rel=1e-6)


def test_a_factor_of_two_is_a_ratio_of_two(scene):
    from dataclasses import replace

    obj, scan, result, probe = scene
    found = evaluate(replace(result, object=2 * result.object), obj, scan, probe, EvaluationConfig())
    assert found.direct["amplitude_ratio"] == pytest.approx(2, abs=1e-3)
    assert found.direct["least_squares_scalar"] == pytest.approx(0.5, abs=1e-3)
    assert found.data["stitched_scale"] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.finding("NEW-MSSSIM-NEG")
def test_an_image_and_its_negative_have_a_similarity_and_it_is_small():
    truth = np.random.default_rng(8).uniform(1, 3, (40, 50)).astype(np.complex128)
    pair = Comparison(4 - truth, truth, np.ones(truth.shape, bool), (0, 0))
    assert -1 <= metrics.ssim(pair) < -0.5


@pytest.mark.finding("TORCH-N128-FLAT-AMP-001")
@pytest.mark.parametrize("size", [64, 128])
def test_a_flat_field_is_found_out_at_every_size(size):
    """Where it is scanned it has no structure, whatever lies beyond its edge; an object with some has it."""
    rng = np.random.default_rng(1)
    where = size / 2 + rng.uniform(0, 40, (30, 2))
    scan = RawData(where[:, 0], where[:, 1], np.ones((30, size, size)), np.ones((size, size)))
    side = size + 40
    for obj, flat in ((np.full((side, side), 2.0), True), (1 + rng.uniform(0, 1, (side, side)), False)):
        result = stitching.Reconstruction(obj.astype(np.complex64), np.ones((side, side)), (0, 0), 1.0, 30)
        assert (summary.structure(result, scan, 0.5)["std_over_mean"] < 0.01) == flat


@pytest.mark.finding("POISSON-LADDER-001")
@pytest.mark.parametrize(
    ("ripple", "correlation"), [(1e-3, 1.0), (1e-5, 1.0), (1e-7, math.nan), (0.0, math.nan)]
)
def test_how_flat_is_too_flat_to_correlate(ripple, correlation):
    """A faint image is one; what is left of a constant after rounding is none."""
    x = np.linspace(-1, 1, 50)
    assert metrics.pearson(5 * (1 + ripple * x), x + 2) == pytest.approx(correlation, nan_ok=True)
    assert metrics.pearson(x + 2, 5 * (1 + ripple * x)) == pytest.approx(correlation, nan_ok=True)


@pytest.mark.finding("POISSON-LADDER-001")
def test_a_flat_object_has_no_correlation(scene):
    from dataclasses import replace

    obj, scan, result, probe = scene
    flat = np.full_like(result.object, np.abs(obj).mean())
    found = evaluate(replace(result, object=flat), obj, scan, probe, EvaluationConfig())
    assert math.isnan(found.direct["pearson"])
    assert math.isnan(found.direct["ssim"])
    assert math.isnan(found.direct["frc_1_2"])
    assert found.structure["std_over_mean"] < 1e-6


def test_a_global_phase_and_a_ramp_are_taken_out(scene):
    obj, _, result, _ = scene
    pair = compare_frames(result, obj, 0.1, 2)
    rows, columns = np.mgrid[: pair.mask.shape[0], : pair.mask.shape[1]]
    ramp = np.exp(1j * (0.7 + 0.004 * columns - 0.003 * rows))
    found = all_metrics(Comparison(pair.prediction * ramp, pair.truth, pair.mask, pair.origin_xy))
    assert found["phase_mae"] > 0.05
    assert found["phase_mae_plane"] < 1e-3


@pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/REG-4")
def test_registration_recovers_a_sub_pixel_shift():
    truth = lines_object(120, 5)[:101]
    moved = coords.translate(truth, (3.2, -1.6))
    mask = np.zeros(truth.shape, bool)
    mask[12:90, 15:100] = True
    pair = Comparison(moved, truth, mask, (0, 0))
    dx, dy = find_shift(pair)
    assert (dx, dy) == pytest.approx((-3.2, 1.6), abs=0.05)
    before, after = all_metrics(pair), all_metrics(apply_shift(pair, (-3.2, 1.6)))
    assert after["mae"] < before["mae"] / 5


def test_frc_of_noise_is_near_zero_and_of_equals_is_one():
    rng = np.random.default_rng(8)
    a, b = (rng.normal(size=(91, 120)) + 1j * rng.normal(size=(91, 120)) for _ in range(2))
    mask = np.ones((91, 120), bool)
    frequencies, same = fourier_ring_correlation(Comparison(a, a, mask, (0, 0)))
    _, other = fourier_ring_correlation(Comparison(a, b, mask, (0, 0)))
    np.testing.assert_allclose(same, 1, atol=1e-9)
    assert abs(other[5:].mean()) < 0.05
    assert cutoff(frequencies, same, 0.5) == 0.5
    assert cutoff(np.array([0.1, 0.2, 0.3]), np.array([1.0, 0.8, 0.2]), 0.5) == pytest.approx(0.25)


@pytest.mark.finding("FRC-PHASE-001")
@pytest.mark.parametrize("phase", [1.2, -2.9])
def test_frc_does_not_see_a_global_phase(scene, phase):
    obj, _, result, _ = scene
    pair = compare_frames(result, obj, 0.1, 2)
    turned = Comparison(pair.prediction * np.exp(1j * phase), pair.truth, pair.mask, pair.origin_xy)
    _, plain = fourier_ring_correlation(pair)
    _, found = fourier_ring_correlation(turned)
    assert plain[:20].min() > 0.99
    np.testing.assert_allclose(found, plain, atol=1e-4)


@pytest.mark.finding("FRC-PHASE-001")
def test_frc_does_not_see_a_constant():
    """The mask's own spectrum times the mean would drown the first rings otherwise."""
    rng = np.random.default_rng(8)
    a, b = (rng.normal(size=(91, 120)) for _ in range(2))
    mask = np.zeros((91, 120), bool)
    mask[20:70, 15:100] = True
    _, plain = fourier_ring_correlation(Comparison(a, b, mask, (0, 0)))
    _, raised = fourier_ring_correlation(Comparison(a + 50, b + 20, mask, (0, 0)))
    np.testing.assert_allclose(raised, plain, atol=1e-6)


def test_frc_sees_a_phase_that_is_not_global(scene):
    """Half of the object turned by half a turn is no object with another global phase."""
    obj, _, result, _ = scene
    pair = compare_frames(result, obj, 0.1, 2)
    half = np.where(np.arange(pair.mask.shape[1]) < pair.mask.shape[1] // 2, 1, -1)
    _, found = fourier_ring_correlation(
        Comparison(pair.prediction * half, pair.truth, pair.mask, pair.origin_xy)
    )
    assert abs(found[:20].mean()) < 0.5


def test_a_truth_elsewhere_is_an_error(scene):
    from dataclasses import replace

    obj, _, result, _ = scene
    with pytest.raises(DataContractError, match="share no pixel"):
        compare_frames(replace(result, origin_xy=(5000, 0)), obj, 0.1)


def test_without_a_truth_only_the_data_speak(scene):
    _, scan, result, probe = scene
    found = evaluate(result, None, scan.without_truth(), probe, Config().evaluation)
    assert set(found.to_dict()) == {"data", "coverage", "structure"}
    assert not found.compared
    with_truth = evaluate(result, scan.object_guess, scan, probe, Config().evaluation)
    assert found.data == with_truth.data, "what the data say does not depend on a truth"


@pytest.mark.parametrize("border", [0, 1, 3])
def test_the_border_is_left_out_on_all_four_sides(border):
    inside = frames.inner((9, 12), border)
    for row in range(9):
        for column in range(12):
            nearest = min(row, 8 - row, column, 11 - column)
            assert inside[row, column] == (nearest >= border)


def test_ssim_by_loops_over_windows_that_lie_in_the_mask():
    """Wang et al. (2004): uniform 7 x 7 windows, sample covariance, the truth's range."""
    rng = np.random.default_rng(3)
    truth = np.abs(lines_object(60, 4)[:31, :41].real)
    prediction = truth + 0.3 * rng.normal(size=truth.shape)
    mask = np.zeros(truth.shape, bool)
    mask[4:27, 6:33] = True
    mask[10:14, 25:33] = False
    prediction = np.abs(prediction)
    span = np.ptp(truth[mask])
    one, two = (0.01 * span) ** 2, (0.03 * span) ** 2
    values = []
    for row in range(3, 28):
        for column in range(3, 38):
            window = (slice(row - 3, row + 4), slice(column - 3, column + 4))
            if mask[window].all():
                a, t = prediction[window].ravel(), truth[window].ravel()
                (va, cov), (_, vt) = np.cov(a, t)
                values.append(
                    (2 * a.mean() * t.mean() + one)
                    * (2 * cov + two)
                    / ((a.mean() ** 2 + t.mean() ** 2 + one) * (va + vt + two))
                )
    found = all_metrics(Comparison(prediction.astype(complex), truth.astype(complex), mask, (0, 0)))
    assert found["ssim"] == pytest.approx(np.mean(values), rel=1e-6)


@pytest.mark.parametrize("phase", [0.7, 2.9, -1.8])
def test_a_global_phase_alone_is_no_phase_error(scene, phase):
    obj, _, result, _ = scene
    pair = compare_frames(result, obj, 0.1, 2)
    found = all_metrics(Comparison(pair.truth * np.exp(1j * phase), pair.truth, pair.mask, (0, 0)))
    assert found["phase_mae"] == pytest.approx(0, abs=1e-5)
    assert found["phase_rmse"] == pytest.approx(0, abs=1e-5)


def test_a_shift_keeps_the_pixels_that_came_from_counted_ones():
    mask = np.zeros((12, 15), bool)
    mask[2:10, 3:13] = True
    mask[5, 7] = False
    image = np.arange(180.0).reshape(12, 15).astype(complex)
    moved = apply_shift(Comparison(image, image, mask, (0, 0)), (2.0, -1.0))
    for row in range(12):
        for column in range(15):
            source = row + 1 < 12 and column >= 2 and mask[row + 1, column - 2]
            assert moved.mask[row, column] == (mask[row, column] and source)


@pytest.mark.parametrize("shift", [(0.25, 0.0), (-0.75, 0.0), (0.0, 0.4)])
def test_a_pixel_that_is_touched_from_outside_by_a_fraction_no_longer_counts(shift):
    mask = np.zeros((12, 15), bool)
    mask[3:9, 4:11] = True
    image = np.ones((12, 15), complex)
    kept = apply_shift(Comparison(image, image, mask, (0, 0)), shift).mask
    expected = mask.copy()
    if shift[0]:
        expected[:, 4 if shift[0] > 0 else 10] = False
    else:
        expected[3] = False
    np.testing.assert_array_equal(kept, expected)
