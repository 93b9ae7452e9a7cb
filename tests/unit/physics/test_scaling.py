"""Scaling: each factor is right together with the array it multiplies, and undone exactly once."""

import dataclasses
import math

import metamorphic as meta
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptycho.base import identity
from ptycho.base.errors import ScaleError
from ptycho.physics import scaling
from ptycho.physics.scaling import Scales

N = 64


def patterns(count=5, mean_count=840.0, seed=0):
    """Counts (count, 64, 64) float64, whole numbers, most of them above 255, brighter at one side."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0.5, 1.5, N)[None, :, None] * np.linspace(0.8, 1.2, count)[:, None, None]
    return rng.poisson(mean_count * ramp * np.ones((count, N, N))).astype(float)


def energy_by_loops(stack):
    total = 0.0
    for pattern in stack:
        for row in pattern:
            for value in row:
                total += float(value) * float(value)
    return total / len(stack)


def scales(**changed):
    values = {
        "statistical": 0.5,
        "photon_scale": 300.0,
        "source": "recorded",
        "nphotons": 1e6,
        "object_unit": 2.0,
    }
    return Scales(**{**values, **changed})


class TestPublishedNumbers:
    @pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/D4")
    def test_the_closed_form(self):
        s = scaling.closed_form(1e9, 64)
        assert s == pytest.approx(988.2118, abs=5e-5)
        assert s == math.sqrt(1e9) / 32

    @pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/D4")
    def test_from_the_raw_energy_of_the_published_scan(self):
        """What the raw amplitudes would need is what s and g together are."""
        both = scaling.closed_form(1e9, 64) * scaling.statistical_scale(14481.9, 64)
        assert both == pytest.approx(262.776, rel=1e-5)

    @pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/D4")
    def test_the_statistical_scale_of_the_published_scan(self):
        assert scaling.statistical_scale(14481.9, 64) == pytest.approx(0.2659, abs=5e-5)


class TestEnergy:
    def test_as_the_loops_say(self):
        stack = patterns(2)[:, :9, :13]
        assert scaling.mean_energy(stack) == pytest.approx(energy_by_loops(stack), rel=1e-14)

    def test_of_two_patterns_by_hand(self):
        assert scaling.mean_energy(np.array([[[1, 2], [3, 0]], [[0, 0], [0, 4]]])) == 15.0  # (14 + 16) / 2

    @pytest.mark.finding("NORMALIZE-DATA-UINT16-001")
    @pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.uint64, np.float32])
    @pytest.mark.parametrize("mean_count", [420.0, 840.0])
    def test_the_type_of_the_numbers_does_not_matter(self, dtype, mean_count):
        stack = patterns(mean_count=mean_count)
        assert (stack > 255).mean() > 0.5
        assert scaling.mean_energy(stack.astype(dtype)) == pytest.approx(scaling.mean_energy(stack), rel=1e-6)

    def test_single_precision_sums_do_not_drift(self):
        stack = np.full((1, 512, 512), 1 / 3, np.float32)
        assert scaling.mean_energy(stack) == pytest.approx(
            512 * 512 * float(np.float32(1 / 3)) ** 2, rel=1e-12
        )

    def test_metamorphic(self):
        stack = patterns()
        meta.permutation_invariant(scaling.mean_energy, stack, rtol=1e-14)
        meta.homogeneous(scaling.mean_energy, stack, 1e-3, 2)
        meta.pure(scaling.mean_energy, stack)
        assert scaling.mean_energy(meta.transposed(stack)) == pytest.approx(
            scaling.mean_energy(stack), rel=1e-13
        )
        assert scaling.mean_energy(np.concatenate([stack, stack])) == pytest.approx(
            scaling.mean_energy(stack)
        )

    def test_some_rows_count_as_often_as_they_are_named(self):
        stack = patterns()
        rows = np.array([4, 0, 4, 2])
        assert scaling.mean_energy(stack, rows) == pytest.approx(energy_by_loops(stack[rows]), rel=1e-13)
        np.testing.assert_allclose(
            scaling.pattern_energies(stack), [energy_by_loops(stack[i : i + 1]) for i in range(5)], rtol=1e-13
        )

    def test_of_no_patterns_there_is_none(self):
        with pytest.raises(ScaleError, match="mean energy of no patterns"):
            scaling.mean_energy(patterns(), np.array([], int))
        with pytest.raises(ScaleError, match="mean energy of no patterns"):
            scaling.mean_energy(np.zeros((0, 64, 64)))


class TestPhotonNoise:
    def test_it_is_a_quarter_of_a_count_a_pixel(self):
        counts = np.full((9, 32, 32), 16.0)
        assert scaling.photon_noise(np.sqrt(counts) / 2, 2.0) == pytest.approx(0.25 / 16)

    def test_of_pixels_with_less_than_that_it_is_all_they_hold(self):
        counts = np.full((4, 32, 32), 0.1)
        counts[:, :8] = 9.0
        expected = (0.25 * 8 + 0.1 * 24) / (9.0 * 8 + 0.1 * 24)
        assert scaling.photon_noise(np.sqrt(counts) / 3, 3.0) == pytest.approx(expected)

    def test_it_is_what_poisson_statistics_make_of_bright_pixels(self):
        rng = np.random.default_rng(3)
        counts = rng.uniform(50, 200, (8, 32, 32))
        drawn = rng.poisson(counts)
        apart = np.sum((np.sqrt(drawn) - np.sqrt(counts)) ** 2) / counts.sum()
        assert scaling.photon_noise(np.sqrt(drawn), 1.0) == pytest.approx(apart, rel=0.05)

    def test_of_darkness_nothing_can_be_said(self):
        assert math.isnan(scaling.photon_noise(np.zeros((2, 8, 8)), 1.0))


class TestStatisticalScale:
    @given(st.floats(1e-6, 1e12), st.sampled_from([32, 64, 128, 256]))
    def test_it_brings_any_energy_to_the_fixed_one(self, energy, side):
        assert scaling.statistical_scale(energy, side) ** 2 * energy == pytest.approx(
            (side / 2) ** 2, rel=1e-12
        )

    @pytest.mark.parametrize("energy", [0.0, -1.0, math.nan, math.inf])
    def test_no_energy_no_scale(self, energy):
        with pytest.raises(ScaleError, match=r"must be finite and > 0; got"):
            scaling.statistical_scale(energy, 64)


class TestMeasure:
    @pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/D4")
    @pytest.mark.parametrize("nphotons", [1e4, 1e9])
    def test_fed_amplitudes_times_s_carry_the_photons(self, nphotons):
        """The test is this, never the formula alone."""
        stack = np.sqrt(patterns())
        found = scaling.measure(stack, oracles.lopsided_probe(N), photon_scale=1.0, nphotons=nphotons)
        fed = found.statistical * stack
        assert energy_by_loops(found.photon_scale * fed) == pytest.approx(nphotons, rel=1e-9)
        assert found.nphotons == pytest.approx(nphotons, rel=1e-9)
        assert found.source == "closed_form"

    @pytest.mark.finding("BUG-DOUBLE-NORMALIZATION-001")
    @pytest.mark.parametrize("photon_scale", [0.37, 1.0, 4242.0])
    def test_recorded_counts_come_back(self, photon_scale):
        counts = patterns()
        stack = np.sqrt(counts) / photon_scale
        found = scaling.measure(stack, oracles.lopsided_probe(N), photon_scale=photon_scale)
        np.testing.assert_allclose((found.photon_scale * found.statistical * stack) ** 2, counts, rtol=1e-12)
        assert found.nphotons == pytest.approx(counts.sum(axis=(1, 2)).mean(), rel=1e-12)
        assert found.source == "recorded"

    @pytest.mark.finding("NORMALIZATION-001")
    @pytest.mark.parametrize("gain", [1e-3, 1.0, 1e3])
    def test_the_fed_array_ignores_a_gain_of_the_data(self, gain):
        stack, probe = np.sqrt(patterns()), oracles.lopsided_probe(N)
        plain = scaling.measure(stack, probe, photon_scale=1.0)
        loud = scaling.measure(gain * stack, probe, photon_scale=1.0 / gain)
        np.testing.assert_allclose(loud.statistical * gain * stack, plain.statistical * stack, rtol=1e-12)
        assert loud.photon_scale == pytest.approx(plain.photon_scale, rel=1e-12)
        assert loud.object_unit == pytest.approx(plain.object_unit, rel=1e-12)

    @pytest.mark.finding("NORMALIZATION-001")
    def test_normalising_twice_changes_nothing(self):
        stack, probe = np.sqrt(patterns()), oracles.lopsided_probe(N)
        once = scaling.measure(stack, probe, photon_scale=1.0)
        twice = scaling.measure(once.statistical * stack, probe, photon_scale=1.0)
        assert twice.statistical == pytest.approx(1.0, rel=1e-12)

    @pytest.mark.finding("NORMALIZATION-001")
    def test_photons_move_s_by_their_root_and_g_not_at_all(self):
        stack, probe = np.sqrt(patterns()), oracles.lopsided_probe(N)
        few, many = (scaling.measure(stack, probe, photon_scale=1.0, nphotons=n) for n in (1e4, 1e9))
        assert many.statistical == few.statistical
        assert many.object_unit == few.object_unit
        assert many.photon_scale / few.photon_scale == pytest.approx(math.sqrt(1e5), rel=1e-12)

    @pytest.mark.finding("NORMALIZE-DATA-UINT16-001")
    def test_whole_numbers_are_measured_like_floats(self):
        stack, probe = patterns(), oracles.lopsided_probe(N)
        whole = scaling.measure(stack.astype(np.uint16), probe, photon_scale=1.0)
        floats = scaling.measure(stack, probe, photon_scale=1.0)
        for field in dataclasses.fields(floats):
            assert getattr(whole, field.name) == pytest.approx(getattr(floats, field.name)), field.name

    def test_the_object_unit_is_the_objects_amplitude_in_fed_units(self):
        """An object of amplitude a everywhere: energy a^2 * sum |P|^2, so the unit is g * a."""
        probe = oracles.lopsided_probe(N, modes=2)
        stack = np.array([oracles.far_field(np.full((N, N), 2.5 * np.exp(0.3j)), probe)] * 2)
        found = scaling.measure(stack, probe, photon_scale=1.0)
        assert found.object_unit == pytest.approx(2.5 * found.statistical, rel=1e-10)

    @pytest.mark.finding("CI-ABSOLUTE-SCALE-CONTRACT-001")
    def test_only_the_patterns_that_are_given_count(self):
        stack, probe = np.sqrt(patterns(6)), oracles.lopsided_probe(N)
        scan = stack.copy()
        scan[3:] *= 100
        plain = scaling.measure(stack[:3], probe, photon_scale=1.0)
        assert scaling.measure(scan[:3], probe, photon_scale=1.0) == plain
        assert scaling.measure(scan, probe, photon_scale=1.0, rows=np.arange(3)) == plain
        assert scaling.measure(scan, probe, photon_scale=1.0) != plain

    def test_metamorphic(self):
        stack, probe = np.sqrt(patterns()), oracles.lopsided_probe(N)
        meta.pure(lambda s, p: scaling.measure(s, p, photon_scale=1.0).photon_scale, stack, probe)
        measure = lambda s: scaling.measure(s, probe, photon_scale=1.0).statistical  # noqa: E731
        meta.permutation_invariant(measure, stack, rtol=1e-14)
        meta.homogeneous(measure, stack, 7.0, -1)


class TestScales:
    @pytest.mark.parametrize("name", ["statistical", "photon_scale", "nphotons", "object_unit"])
    @pytest.mark.parametrize("value", [0.0, -2.0, math.nan, math.inf])
    def test_each_is_finite_and_positive(self, name, value):
        with pytest.raises(ScaleError, match=f"scale {name} must be finite and > 0; got {value!r}"):
            scales(**{name: value})

    def test_they_are_frozen(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            scales().statistical = 1.0

    @pytest.mark.finding("REASSEMBLY-BRIDGE-001/norm")
    def test_what_was_applied_on_the_way_in_is_undone_on_the_way_out(self):
        obj = oracles.smooth_object(5, 9).astype(np.complex64)
        held = (0.5 * obj).astype(np.complex64)  # the network explains g * diff3d with g * O
        out = scales(statistical=0.5).undo(held, trained_photon_scale=300.0)
        assert out.dtype == np.complex64
        np.testing.assert_allclose(out, obj, rtol=1e-6)

    @pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/D4")
    def test_a_trained_photon_scale_is_undone_too(self):
        """The network divides its input by t instead of s: it holds g * (s / t) * O."""
        obj = oracles.smooth_object(5, 9).astype(np.complex64)
        held = (0.5 * 300.0 / 240.0 * obj).astype(np.complex64)
        np.testing.assert_allclose(scales().undo(held, trained_photon_scale=240.0), obj, rtol=1e-6)

    def test_undoing_leaves_its_argument_and_the_phase_alone(self):
        obj = oracles.smooth_object(5, 9).astype(np.complex64)
        meta.pure(lambda o: scales().undo(o, 300.0), obj)
        np.testing.assert_allclose(np.angle(scales().undo(obj, 123.0)), np.angle(obj), atol=1e-6)


class TestClosedForm:
    @pytest.mark.parametrize("nphotons", [0.0, -3.0, math.nan, math.inf])
    def test_no_photons_no_scale(self, nphotons):
        with pytest.raises(ScaleError, match="nphotons must be finite and > 0"):
            scaling.closed_form(nphotons, 64)

    def test_less_than_one_photon_a_pattern_is_few_and_no_error(self):
        assert scaling.closed_form(0.25, 64) == pytest.approx(0.5 / 32, rel=1e-12)

    @pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/D4")
    def test_it_is_right_on_normalised_data_and_only_there(self):
        from_the_data = lambda energy: math.sqrt(1e9 / energy)  # noqa: E731
        assert scaling.closed_form(1e9, 64) == pytest.approx(988.21, rel=1e-5)
        assert scaling.closed_form(1e9, 64) == pytest.approx(from_the_data(32.0**2), rel=1e-12)
        assert from_the_data(3281.0) == pytest.approx(552.07, rel=1e-4)


@pytest.mark.finding("POISSON-SCALE-001")
def test_where_the_photon_scale_comes_from_is_part_of_what_the_scales_are():
    stack, probe = np.sqrt(patterns()), oracles.lopsided_probe(N)
    recorded = scaling.measure(stack, probe, photon_scale=3.0)
    formula = scaling.measure(stack, probe, photon_scale=3.0, nphotons=recorded.nphotons)
    assert (recorded.source, formula.source) == ("recorded", "closed_form")
    same = dataclasses.replace(formula, source="recorded", photon_scale=recorded.photon_scale, nphotons=1.0)
    assert same == dataclasses.replace(recorded, nphotons=1.0), "nothing else tells them apart"
    assert identity.digest(recorded) != identity.digest(dataclasses.replace(recorded, source="closed_form"))


class TestLeastSquares:
    @pytest.mark.finding("VARPRO-SOLVE-UNITS-001")
    def test_it_finds_a_known_factor_and_one_for_perfect_data(self):
        truth = patterns(1)[0, :7, :11]
        assert scaling.least_squares_factor(truth / 1.86, truth) == pytest.approx(1.86, rel=1e-12)
        assert scaling.least_squares_factor(truth, truth) == pytest.approx(1.0, rel=1e-15)

    def test_no_other_factor_is_better(self):
        rng = np.random.default_rng(1)
        prediction, truth = rng.normal(1, 1, 40), rng.normal(2, 1, 40)
        best = scaling.least_squares_factor(prediction, truth)
        residual = lambda c: np.sum((c * prediction - truth) ** 2)  # noqa: E731
        assert residual(best) < min(residual(best + 1e-3), residual(best - 1e-3))

    def test_of_nothing_it_is_undefined(self):
        assert math.isnan(scaling.least_squares_factor(np.zeros(3), np.ones(3)))

    @pytest.mark.finding("NORMALIZE-DATA-UINT16-001")
    def test_whole_numbers_do_not_wrap(self):
        truth = np.array([300, 400, 500], np.uint16)
        assert scaling.least_squares_factor(truth // 2, truth) == 2.0
