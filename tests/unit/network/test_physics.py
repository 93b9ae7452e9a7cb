"""The differentiable forward model against numpy, and its adjoint pieces against the definition."""

import numpy as np
import oracles
import pytest
from lazily import Lazy

from ptycho.physics import coords, forward

keras = Lazy("keras")
physics = Lazy("ptycho.network.physics")

N, CANVAS = 32, 44


@pytest.fixture
def scene():
    rng = np.random.default_rng(3)
    obj = (rng.normal(size=(CANVAS, CANVAS)) + 1j * rng.normal(size=(CANVAS, CANVAS))).astype(np.complex64)
    probe = (rng.normal(size=(2, N, N)) + 1j * rng.normal(size=(2, N, N))).astype(np.complex64)
    member = np.array([[-3.25, 2.5], [4.0, -1.75], [1.5, 3.0], [-2.25, -3.75]])
    positions = np.ascontiguousarray(-member.T[None, None]).astype(np.float32)
    return obj, probe, member, positions


def pair(value):
    return value.real.astype(np.float32), value.imag.astype(np.float32)


def as_numpy(value):
    return np.asarray(keras.ops.convert_to_numpy(value))


@pytest.mark.finding("TORCH-REASSEMBLY-SIGN-001")
def test_patches_are_cut_where_the_members_lie(scene):
    obj, _, member, positions = scene
    placement = physics.Placement(keras.ops.convert_to_tensor(positions), N, CANVAS)
    cut = as_numpy(placement.extract(keras.ops.convert_to_tensor(obj.real[None])))[0]
    expected = coords.extract_patches(obj.real, member + CANVAS / 2, N)
    np.testing.assert_allclose(cut, expected, atol=2e-5)


def test_placement_is_the_adjoint_of_extraction(scene):
    obj, _, _, positions = scene
    patches = np.random.default_rng(5).normal(size=(1, 4, N, N)).astype(np.float32)
    placement = physics.Placement(keras.ops.convert_to_tensor(positions), N, CANVAS)
    left = np.vdot(as_numpy(placement.extract(keras.ops.convert_to_tensor(obj.real[None]))), patches)
    right = np.vdot(obj.real[None], as_numpy(placement.place(keras.ops.convert_to_tensor(patches))))
    assert left == pytest.approx(right, rel=1e-4)


@pytest.mark.finding("PTY-AT-001")
@pytest.mark.finding("PROBE-MULTIMODE-001")
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-6)])
def test_predicted_amplitudes_are_those_of_the_numpy_model(scene, dtype, tolerance):
    if dtype == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX computes in single precision unless told otherwise at its start")
    obj, probe, member, positions = scene
    obj, probe = obj.astype(np.complex128), probe.astype(np.complex128)
    placement = physics.Placement(keras.ops.convert_to_tensor(positions.astype(dtype)), N, CANVAS)
    canvas = tuple(keras.ops.convert_to_tensor(part[None].astype(dtype)) for part in (obj.real, obj.imag))
    modes = tuple(keras.ops.convert_to_tensor(part.astype(dtype)) for part in (probe.real, probe.imag))
    predicted = np.sqrt(
        as_numpy(physics.shift_detector(physics.predict_intensity(canvas, placement, modes)))
    )[0]
    expected = forward.far_field_amplitude(coords.extract_patches(obj, member + CANVAS / 2, N), probe)
    np.testing.assert_allclose(predicted, expected, atol=tolerance * expected.max())


@pytest.mark.finding("TORCH-GS2-CENTRAL-MASK-MERGE-001")
def test_constants_merge_to_the_constant_and_darkness_to_zero(scene):
    _, probe, _, positions = scene
    placement = physics.Placement(keras.ops.convert_to_tensor(positions), N, CANVAS)
    modes = tuple(keras.ops.convert_to_tensor(part) for part in pair(probe))
    ones = keras.ops.ones((1, 4, N, N))
    weight = physics.probe_intensity(modes)
    weight = weight / keras.ops.max(weight)
    total = physics.placed_illumination(placement, modes, ones)
    merged, lit = as_numpy(physics.merge_patches(ones * 2.5, weight, placement, total))[0], as_numpy(total)[0]
    np.testing.assert_allclose(merged[lit > 1e-3], 2.5, rtol=1e-3)
    assert not merged[lit == 0].any()


def test_the_gradient_step_is_zero_at_the_truth_and_lowers_the_error_elsewhere(scene):
    obj, probe, member, positions = scene
    placement = physics.Placement(keras.ops.convert_to_tensor(positions), N, CANVAS)
    modes = tuple(keras.ops.convert_to_tensor(part) for part in pair(probe))
    measured = forward.far_field_amplitude(coords.extract_patches(obj, member + CANVAS / 2, N), probe)
    amplitude = physics.shift_detector(keras.ops.convert_to_tensor(measured[None]))
    lit = physics.placed_illumination(placement, modes, amplitude)
    truth = tuple(keras.ops.convert_to_tensor(part[None]) for part in pair(obj))
    still = physics.gradient_step(truth, amplitude, placement, modes, lit, 0.05)
    assert np.abs(as_numpy(still[0])).max() < 1e-3
    canvas = (truth[0] * 0.5, truth[1] * 0.5)
    errors = []
    for _ in range(3):
        predicted = np.sqrt(as_numpy(physics.predict_intensity(canvas, placement, modes)))
        errors.append(float(np.sum((predicted - as_numpy(amplitude)) ** 2)))
        step = physics.gradient_step(canvas, amplitude, placement, modes, lit, 0.05)
        canvas = (canvas[0] + step[0], canvas[1] + step[1])
    assert errors[0] > 2 * errors[1] > 2 * errors[2]


@pytest.mark.finding("DARK-PHASE-001")
def test_what_starts_a_millionth_off_ends_no_more_than_a_thousandth_off():
    """A flat start under a smooth probe leaves the detector's rim dark, where rounding alone has a phase."""
    probe = 3 * oracles.lopsided_probe(N, 1)
    member = np.array([[-3.25, 2.5], [4.0, -1.75], [1.5, 3.0], [-2.25, -3.75]])
    patches = oracles.sample(oracles.smooth_object(CANVAS, CANVAS, seed=4), member + CANVAS / 2, N)
    measured = np.array([oracles.far_field(patch, probe) for patch in patches]) + 0.01
    amplitude = physics.shift_detector(keras.ops.convert_to_tensor(measured[None].astype(np.float32)))
    positions = np.ascontiguousarray(-member.T[None, None]).astype(np.float32)
    placement = physics.Placement(keras.ops.convert_to_tensor(positions), N, CANVAS)
    modes = tuple(keras.ops.convert_to_tensor(part) for part in pair(probe))
    lit = physics.placed_illumination(placement, modes, amplitude)
    off = 1 + 1e-6 * np.random.default_rng(2).normal(size=(1, CANVAS, CANVAS))
    ends = []
    for start in (np.ones_like(off), off):
        obj = tuple(keras.ops.convert_to_tensor(part) for part in pair(start.astype(complex)))
        for _ in range(3):
            step = physics.gradient_step(obj, amplitude, placement, modes, lit, 0.02)
            obj = obj[0] + step[0], obj[1] + step[1]
        ends.append(as_numpy(obj[0]) + 1j * as_numpy(obj[1]))
    assert np.abs(ends[1] - ends[0]).max() < 1e-3
