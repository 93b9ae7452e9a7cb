"""Probes: published statistics, one normalisation, and preparation steps that are off unless asked for."""

import metamorphic as meta
import numpy as np
import oracles
import pytest

from ptycho.base.errors import DataContractError
from ptycho.physics import probes
from ptycho.settings.sections import ProbeConfig


class TestIdealized:
    def test_the_normalised_probe_has_the_published_statistics(self):
        probe, source = probes.make_probe(ProbeConfig(), 64)
        amplitude = np.abs(probe[0].astype(complex))
        assert probe.shape == (1, 64, 64)
        assert probe.dtype == np.complex64
        assert amplitude.max() == pytest.approx(1.08936, abs=5e-6)
        assert amplitude.mean() == pytest.approx(0.1, abs=1e-6)
        assert amplitude.std() == pytest.approx(0.2964, abs=5e-5)
        assert np.linalg.norm(amplitude) == pytest.approx(20.02, abs=5e-3)
        assert np.sum(amplitude**2) == pytest.approx(400.82, abs=5e-3)
        assert source == "idealised disk"

    def test_the_published_normalisation_factor(self):
        disk = probes.idealized_probe(64)
        factor = 10 * np.mean(probes.normalization_mask(64) * disk)
        assert factor == pytest.approx(0.917969, abs=1e-6)

    @pytest.mark.parametrize(("width", "pixels"), [(0.7, 376), (10.0, 4)])
    def test_the_disk_before_its_blur(self, width, pixels):
        """The blur keeps the sum, so the sum counts the pixels: 376 for the published probe, a dot for 10."""
        assert probes.idealized_probe(64, width).sum() == pytest.approx(pixels, abs=1e-2)

    @pytest.mark.parametrize("N", [32, 64])
    def test_it_is_centred_between_the_middle_pixels_and_round(self, N):
        disk = probes.idealized_probe(N)
        for other in (disk.T, disk[::-1], disk[:, ::-1]):
            np.testing.assert_allclose(disk, other, rtol=1e-12)
        assert disk.min() > 0


class TestZonePlate:
    @pytest.mark.parametrize("N", [32, 64, 128])
    def test_its_pupil_is_an_annulus(self, N):
        """Its far field, by explicit transform, is bright in the ring and dark in the stop and outside."""
        probe = probes.zone_plate_probe(N)
        pupil = oracles.far_field(probe, np.ones((1, N, N)))
        k = np.arange(N) - N // 2
        radius = np.hypot(k[:, None], k[None, :]) / (0.16 * N)
        ring = pupil[(radius > 0.45) & (radius < 0.9)]
        assert pupil[radius < 0.2].max() < 0.05 * ring.mean()
        assert pupil[radius > 1.3].max() < 0.05 * ring.mean()
        assert ring.std() < 0.1 * ring.mean()

    def test_it_has_no_symmetry_and_a_phase(self):
        probe = probes.zone_plate_probe(64)
        for other in (probe.T, probe[::-1], probe[:, ::-1], np.conj(probe[::-1, ::-1])):
            overlap = np.abs(np.vdot(probe, other)) / np.vdot(probe, probe).real
            assert overlap < 0.9
        assert np.abs(probe).max() == pytest.approx(1)

    def test_it_is_the_custom_probe_where_no_file_is_given(self):
        probe, source = probes.make_probe(ProbeConfig(kind="custom", scale=4.0), 64)
        assert np.mean(np.abs(probe[0]) * probes.normalization_mask(64)) == pytest.approx(0.25, rel=1e-5)
        assert "zone-plate" in source


class TestMask:
    @pytest.mark.finding("PROBE-MASK-DEFAULT-001")
    @pytest.mark.parametrize(("N", "pixels"), [(64, 812), (128, 3228)])
    def test_it_keeps_the_published_number_of_pixels(self, N, pixels):
        mask = probes.normalization_mask(N)
        assert mask.shape == (N, N)
        assert mask.sum() == pixels

    @pytest.mark.finding("PROBE-MASK-DEFAULT-001")
    def test_each_pixel_by_its_own_distance(self):
        mask = probes.normalization_mask(32)
        for i in range(32):
            for j in range(32):
                assert mask[i, j] == ((i - 15.5) ** 2 + (j - 15.5) ** 2 < 64)


class TestNormalization:
    @pytest.mark.finding("RECT-PROBE-SCALE-DOUBLE-DIV-001")
    @pytest.mark.parametrize("modes", [1, 3])
    @pytest.mark.parametrize("scale", [4.0, 10.0])
    def test_the_masked_mean_amplitude_is_one_over_the_scale(self, modes, scale):
        probe = probes.normalize_probe(oracles.lopsided_probe(32, modes), scale)
        total, kept = 0.0, 0
        for i in range(32):
            for j in range(32):
                if (i - 15.5) ** 2 + (j - 15.5) ** 2 < 64:
                    total += np.sqrt(sum(abs(probe[p, i, j]) ** 2 for p in range(modes)))
                    kept += 1
        assert kept < 1024
        assert total / 1024 * scale == pytest.approx(1.0, rel=1e-12)  # the mean over ALL pixels

    @pytest.mark.finding("RECT-PROBE-SCALE-DOUBLE-DIV-001")
    def test_twice_is_once(self):
        once = probes.normalize_probe(oracles.lopsided_probe(32, 2), 4)
        np.testing.assert_allclose(probes.normalize_probe(once, 4), once, rtol=1e-12)

    def test_it_is_one_real_factor_so_phase_ratios_and_the_outside_stay(self):
        probe = oracles.lopsided_probe(32, 2)
        ratio = probes.normalize_probe(probe, 7.0) / probe
        np.testing.assert_allclose(ratio, ratio[0, 0, 0].real, rtol=1e-12)
        meta.homogeneous(lambda p: probes.normalize_probe(p, 7.0), probe, 123.0, 0, rtol=1e-12)
        meta.pure(probes.normalize_probe, probe, 7.0)

    def test_the_measured_probe_has_the_published_statistics(self, measured):
        config = ProbeConfig(kind="custom", scale=4.0, file=measured("run1084/run1084_recon_only.npz"))
        probe, source = probes.make_probe(config, 64)
        amplitude = np.abs(probe[0].astype(complex))
        assert amplitude.max() == pytest.approx(2.841, abs=5e-4)
        assert amplitude.mean() == pytest.approx(0.5327, abs=5e-5)
        assert amplitude.std() == pytest.approx(0.4981, abs=5e-5)
        assert np.linalg.norm(amplitude) == pytest.approx(46.68, abs=5e-3)
        assert source.startswith("from a file with SHA-256 ")

    def test_a_probe_without_light_in_the_middle_is_refused(self):
        dark = np.zeros((1, 32, 32))
        dark[0, 0, 0] = 1
        with pytest.raises(DataContractError, match="no amplitude within N/4 of its centre"):
            probes.normalize_probe(dark, 10.0)
        with pytest.raises(DataContractError, match="no amplitude within N/4"):
            probes.normalize_probe(np.full((1, 32, 32), np.nan), 10.0)


class TestPreparation:
    @pytest.mark.finding("PROBE-MASK-DEFAULT-001")
    def test_by_default_it_is_bitwise_identity(self):
        probe = oracles.lopsided_probe(32, 2).astype(np.complex64)
        prepared = probes.prepare_probe(probe, ProbeConfig())
        assert prepared.dtype == np.complex64
        assert prepared.tobytes() == probe.tobytes()

    @pytest.mark.finding("PROBE-MASK-DEFAULT-001")
    def test_the_mask_zeroes_the_outside_and_keeps_the_inside(self):
        probe = (oracles.lopsided_probe(32, 2) + 0.1j).astype(np.complex64)
        prepared = probes.prepare_probe(probe, ProbeConfig(mask=True))
        inside = np.hypot(*(np.mgrid[:32, :32] - 15.5)) < 8
        np.testing.assert_array_equal(prepared[:, inside], probe[:, inside])
        assert not prepared[:, ~inside].any()

    @pytest.mark.finding("GRIDLINES-PROBE-PIPELINE-001")
    def test_smoothing_comes_before_the_mask(self):
        """The order is visible: the masked-out part is exactly zero; smoothing later would refill it."""
        probe = (oracles.lopsided_probe(32) + 0.5).astype(np.complex64)
        both = probes.prepare_probe(probe, ProbeConfig(mask=True, smoothing_sigma_px=1.5))
        inside = probes.normalization_mask(32)
        assert not both[0][~inside].any()
        smooth = probes.prepare_probe(probe, ProbeConfig(smoothing_sigma_px=1.5))
        np.testing.assert_array_equal(both[0][inside], smooth[0][inside])

    def test_smoothing_is_a_gaussian_on_each_mode_alone(self):
        point = np.zeros((2, 33, 33), np.complex64)
        point[0, 16, 12] = 2 - 3j
        smooth = probes.prepare_probe(point, ProbeConfig(smoothing_sigma_px=2.0))
        assert not smooth[1].any()
        assert smooth[0].sum() == pytest.approx(2 - 3j, rel=1e-5)
        fall = smooth[0, 16, 15] / smooth[0, 16, 12]
        assert fall == pytest.approx(np.exp(-9 / 8), rel=1e-5)


class TestTwinAmbiguity:
    @pytest.mark.parametrize("N", [32, 33])
    def test_a_real_centrosymmetric_probe_is_ambiguous_wherever_its_centre(self, N):
        disk = probes.idealized_probe(N)[None] * np.exp(0.4j)
        assert probes.is_twin_ambiguous(disk)
        assert probes.is_twin_ambiguous(np.roll(disk, (2, -3), axis=(1, 2)))

    def test_a_phase_curvature_or_a_lopsided_shape_breaks_it(self):
        y, x = np.mgrid[:32, :32] - 15.5
        curved = probes.idealized_probe(32) * np.exp(0.02j * (x**2 + y**2))
        assert not probes.is_twin_ambiguous(curved[None])
        assert not probes.is_twin_ambiguous(probes.zone_plate_probe(32)[None])

    def test_one_mode_that_breaks_it_is_enough(self):
        disk, lopsided = probes.idealized_probe(32), probes.zone_plate_probe(32)
        assert probes.is_twin_ambiguous(np.array([disk, disk]))
        assert not probes.is_twin_ambiguous(np.array([disk, lopsided]))

    def test_modes_that_are_twins_about_points_of_their_own_are_not_ambiguous(self):
        """Two disks apart, one brighter: each is its own twin about its own centre, and both are about none."""
        disk = probes.idealized_probe(32)
        apart = np.array([disk, 0.5 * np.roll(disk, (3, -5), axis=(0, 1))])
        assert not probes.is_twin_ambiguous(apart)
        # About the point between them they are each other's twin where they are equally bright.
        assert probes.is_twin_ambiguous(np.array([disk, np.roll(disk, (4, -6), axis=(0, 1))]))

    def test_it_says_so_of_mixtures_too(self):
        obj = oracles.noise_object(40, 40)
        twin = np.conj(obj[::-1, ::-1])
        disk = probes.idealized_probe(40)
        equal = np.array([np.roll(disk, (2, -3), axis=(0, 1)), np.roll(disk, (-2, 3), axis=(0, 1))])
        unequal = equal * np.array([1.0, 0.5])[:, None, None]
        np.testing.assert_allclose(oracles.far_field(twin, equal), oracles.far_field(obj, equal), rtol=1e-6)
        seen = oracles.far_field(obj, unequal)
        assert np.abs(oracles.far_field(twin, unequal) - seen).max() > 0.05 * seen.max()
        assert probes.is_twin_ambiguous(equal)
        assert not probes.is_twin_ambiguous(unequal)

    def test_what_it_says_is_so(self):
        """conj O(-r) gives the same pattern under the symmetric probe and another under the lopsided one."""
        obj = oracles.noise_object(32, 32)
        twin = np.conj(obj[::-1, ::-1])
        disk, lopsided = probes.idealized_probe(32)[None], probes.zone_plate_probe(32)[None]
        same = oracles.far_field(obj, disk)
        np.testing.assert_allclose(oracles.far_field(twin, disk), same, rtol=1e-8, atol=1e-10)
        seen = oracles.far_field(obj, lopsided)
        assert np.abs(oracles.far_field(twin, lopsided) - seen).max() > 0.1 * seen.max()
