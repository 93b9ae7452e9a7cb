"""Scans: photons, noise and frames; the published energies."""

import metamorphic as meta
import numpy as np
import oracles
import pytest
from scipy import fft

from ptycho.base import identity
from ptycho.base.errors import ConfigError
from ptycho.physics import probes
from ptycho.scan import positions, simulate
from ptycho.settings.layers import resolve
from ptycho.testing.golden import conditions


def small(*overrides, images=6):
    return resolve(
        {"N": 32, "simulation": {"object_size_px": 90, "base_total_images": images}}, overrides=overrides
    )


def energies(raw):
    return np.sum(raw.diff3d.astype(float) ** 2, axis=(1, 2))


class TestPublishedNumbers:
    @pytest.mark.parametrize(("images", "train", "test"), [(512, 3208.30, 3007.86), (1024, 3388.02, 2995.97)])
    def test_energies_of_the_two_halves(self, images, train, test):
        """Noise-free; with noise at 1e9 photons they move by less than the last digit."""
        raw = simulate.simulate_scan(
            resolve({}, overrides=[f"simulation.base_total_images={images}", "simulation.noise=false"])
        )
        order, energy = np.argsort(raw.ycoords), energies(raw)
        assert energy[order[: images // 2]].mean() == pytest.approx(train, abs=0.01)
        assert energy[order[images // 2 :]].mean() == pytest.approx(test, abs=0.01)


class TestNongrid:
    @pytest.mark.finding("PTY-AT-001")
    def test_each_pattern_is_the_far_field_of_the_object_at_its_position(self):
        raw = simulate.simulate_scan(small("simulation.noise=false", "probe.kind=custom"))
        patches = oracles.extract(raw.object_guess, raw.positions, 32)
        expected = np.array([oracles.far_field(patch, raw.probe) for patch in patches])
        np.testing.assert_allclose(raw.diff3d, expected, rtol=1e-4, atol=1e-5 * expected.max())

    def test_the_scan_holds_what_the_config_says(self):
        config = small("gridsize=2", "simulation.buffer_px=20.0")
        raw = simulate.simulate_scan(config)
        assert len(raw) == 24  # base_total_images * gridsize^2
        np.testing.assert_array_equal(raw.positions, positions.nongrid_positions(24, (90, 90), 20.0, 42))
        np.testing.assert_array_equal(raw.probe, probes.make_probe(config.probe, 32)[0])
        assert raw.scan_index.tolist() == [0] * 24
        assert raw.object_guess.shape == (90, 90)
        assert config.name not in str(raw.metadata)  # a name is no property of a scan
        assert raw.metadata["mode"] == "nongrid"

    @pytest.mark.finding("CONFIG-001")
    def test_a_config_is_a_scan_whatever_ran_before(self):
        first = simulate.simulate_scan(small())
        simulate.simulate_scan(small("seed=3", "gridsize=2", "simulation.nphotons=1e4"))
        again = simulate.simulate_scan(small())
        assert identity.digest(again) == identity.digest(first)
        meta.pure(lambda: simulate.simulate_scan(small()).diff3d)

    def test_the_seeds_have_their_own_jobs(self):
        base, noise, where, lines = (
            simulate.simulate_scan(small(f"{key}=7"))
            for key in ("gates.min_ssim=0.1 #", "seed", "simulation.seed", "simulation.object_seed")
        )
        np.testing.assert_array_equal(noise.positions, base.positions)
        np.testing.assert_array_equal(noise.object_guess, base.object_guess)
        assert not np.array_equal(noise.diff3d, base.diff3d)
        assert not np.array_equal(where.positions, base.positions)
        np.testing.assert_array_equal(where.object_guess, base.object_guess)
        np.testing.assert_array_equal(lines.positions, base.positions)
        assert not np.array_equal(lines.object_guess, base.object_guess)


class TestPhotons:
    def observe(self, nphotons, rng=None, modes=1):
        obj = oracles.smooth_object(70, 93)
        where = oracles.scan_positions(9, obj.shape, 32)
        probe = oracles.lopsided_probe(32, modes).astype(np.complex64)
        amplitudes, s = simulate.observe(obj.astype(np.complex64), where, probe, nphotons, rng)
        clean = np.array([oracles.far_field(patch, probe) for patch in oracles.extract(obj, where, 32)])
        return amplitudes.astype(float), s, clean

    @pytest.mark.finding("PTY-AT-020")
    @pytest.mark.parametrize("nphotons", [1e4, 1e6, 1e9])
    @pytest.mark.parametrize("modes", [1, 2])
    def test_the_scale_gives_the_asked_mean_over_the_scan(self, nphotons, modes):
        amplitudes, s, clean = self.observe(nphotons, modes=modes)
        assert s == pytest.approx(np.sqrt(nphotons / np.mean(np.sum(clean**2, axis=(1, 2)))), rel=1e-5)
        counts = np.sum((s * amplitudes) ** 2, axis=(1, 2))
        assert counts.mean() == pytest.approx(nphotons, rel=1e-5)
        assert counts.std() > 0.01 * nphotons  # one scale for the scan, not one a pattern

    @pytest.mark.finding("PTY-AT-020")
    def test_amplitudes_stay_in_the_units_of_probe_times_object(self):
        dim, _, clean = self.observe(1e4)
        bright, _, _ = self.observe(1e9)
        np.testing.assert_allclose(dim, clean, rtol=1e-4, atol=1e-5 * clean.max())
        np.testing.assert_array_equal(dim, bright)

    @pytest.mark.finding("PTY-AT-002")
    def test_noise_is_poisson_in_counts(self):
        expected, s, _ = self.observe(3e4)
        rate = (s * expected) ** 2
        samples = []
        for seed in range(30):
            noisy, s_noisy, _ = self.observe(3e4, np.random.default_rng(seed))
            assert s_noisy == s
            samples.append((s * noisy) ** 2)
        counts = np.array(samples)
        assert np.abs(counts - np.round(counts)).max() < 1e-2
        assert len(np.unique(np.round(counts))) > 50
        total = rate.sum()
        # Mean of the counts = rate, variance of the counts = rate: both within five standard errors.
        assert abs(counts.mean(axis=0).sum() - total) < 5 * np.sqrt(total / 30)
        variance = counts.var(axis=0, ddof=1).sum()
        assert abs(variance - total) < 5 * np.sqrt(2 * (rate**2).sum() / 29 + total / 30)

    @pytest.mark.finding("PTY-AT-002")
    def test_without_noise_it_is_bitwise_repeatable_and_with_noise_by_seed(self):
        np.testing.assert_array_equal(self.observe(1e4)[0], self.observe(1e4)[0])
        one, same, other = (self.observe(1e4, np.random.default_rng(seed))[0] for seed in (1, 1, 2))
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, other)

    @pytest.mark.finding("NOISE-BY-ROUNDING-001")
    def test_another_fourier_transform_draws_the_same_counts(self):
        """scipy's and numpy's round differently, as do two releases of scipy."""
        ours = self.observe(1e9, np.random.default_rng(3))[0]
        field = np.random.default_rng(0).normal(size=(32, 32)) + 1j
        mine = fft.fft2(field)
        with fft.set_backend(conditions.NumpyTransforms):
            theirs = self.observe(1e9, np.random.default_rng(3))[0]
            other = fft.fft2(field)
        assert not np.array_equal(mine, other)  # or this compares nothing
        np.testing.assert_array_equal(ours, theirs)

    @pytest.mark.finding("SYNTH-POISSON-DOSE-001")
    @pytest.mark.parametrize("nphotons", ["1e4", "1e9"])
    def test_the_recorded_dose_is_the_measured_one(self, nphotons):
        raw = simulate.simulate_scan(small(f"simulation.nphotons={nphotons}"))
        counts = (raw.photon_scale * raw.diff3d.astype(float)) ** 2
        measured = counts.sum(axis=(1, 2)).mean()
        assert raw.metadata["measured_photons_per_pattern"] == pytest.approx(measured, rel=1e-6)
        assert raw.metadata["requested_photons_per_pattern"] == float(nphotons)
        assert measured == pytest.approx(float(nphotons), rel=0.02)
        assert raw.metadata["measured_photons_per_pattern"] != float(nphotons)

    @pytest.mark.finding("SIM-LABELS-ILLUMINATED-001")
    def test_the_truth_is_the_object_before_the_probe(self):
        raw = simulate.simulate_scan(small("probe.scale=3.0"))
        other = simulate.simulate_scan(small("probe.scale=9.0"))
        np.testing.assert_array_equal(raw.object_guess, other.object_guess)

    def test_a_probe_that_misses_the_object_is_refused(self):
        with pytest.raises(ConfigError, match="every pattern would be empty"):
            simulate.observe(
                np.zeros((70, 93), np.complex64),
                np.array([[30.0, 30.0]]),
                oracles.lopsided_probe(32),
                1e9,
                None,
            )

    def test_more_photons_than_can_be_drawn_are_refused_in_words(self):
        with pytest.raises(ConfigError, match=r"nphotons = 1e\+20 asks for .* counts in one pixel"):
            simulate.simulate_scan(small("simulation.nphotons=1e20"))


class TestGrid:
    CONFIG = (
        "gridsize=2",
        "simulation.mode=grid",
        "simulation.object_size_px=60",
        "simulation.noise=false",
        "simulation.grid.outer_offset_train_px=16",
        "simulation.grid.n_objects_test=1",
        "probe.kind=custom",
    )

    @pytest.fixture(scope="class")
    @classmethod
    def raw(cls):
        return simulate.simulate_scan(small(*cls.CONFIG))

    def test_its_size_is_that_of_its_rasters(self, raw):
        # Windows of 32 + 4 px in 60 px: at a stride of 8 px they start at 0, 8, 16, 24; at 10 px at 0, 10, 20.
        train, test = 4**2 * 4, 3**2 * 4
        assert np.bincount(raw.scan_index).tolist() == [2 * train, test]
        assert raw.metadata["mode"] == "grid"

    def test_each_pattern_is_the_far_field_of_the_object_at_its_position(self, raw):
        some = np.arange(0, len(raw), 29)
        patches = oracles.extract(raw.object_guess, raw.positions[some], 32)
        expected = np.array([oracles.far_field(patch, raw.probe) for patch in patches])
        np.testing.assert_allclose(raw.diff3d[some], expected, rtol=1e-4, atol=1e-5 * expected.max())

    def test_training_and_test_patches_share_no_pixel_and_stay_in_the_objects(self, raw):
        owner = np.zeros(raw.object_guess.shape, int)
        for index in (0, 1):
            for x, y in raw.positions[raw.scan_index == index].astype(int):
                patch = (slice(y - 16, y + 16), slice(x - 16, x + 16))
                owner[patch] |= 1 << index
                assert raw.object_guess[patch].all()
        assert set(np.unique(owner)) == {0, 1, 2}

    def test_the_truth_is_divided_by_the_mean_of_the_training_groups_largest_amplitude(self, raw):
        """So the mean over training groups of their largest amplitude is 1, by loops over the result."""
        where = raw.positions[raw.scan_index == 0].astype(int)
        peaks = []
        for group in where.reshape(-1, 4, 2):
            peaks.append(
                max(np.abs(raw.object_guess[y - 16 : y + 16, x - 16 : x + 16]).max() for x, y in group)
            )
        assert np.mean(peaks) == pytest.approx(1.0, rel=1e-5)

    def test_groups_stand_together(self, raw):
        for group in raw.positions.reshape(-1, 4, 2)[::17]:
            assert (group - group[0]).tolist() == [[0, 0], [4, 0], [0, 4], [4, 4]]

    def test_objects_differ(self, raw):
        rows = raw.object_guess.shape[0] // 2
        first, second = raw.object_guess[16:76, 16:76], raw.object_guess[16:76, 116:176]
        assert rows == 100
        assert np.abs(first - second).mean() > 0.01


def test_photons_do_not_reach_the_truth_or_the_positions():
    dim, bright = (simulate.simulate_scan(small(f"simulation.nphotons={n}")) for n in ("1e4", "1e9"))
    np.testing.assert_array_equal(dim.object_guess, bright.object_guess)
    np.testing.assert_array_equal(dim.positions, bright.positions)
    assert bright.photon_scale / dim.photon_scale == pytest.approx(np.sqrt(1e5), rel=1e-6)
