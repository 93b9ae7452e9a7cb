"""Forward: the far field by its definition, by hand, and by somebody else's data."""

import metamorphic as meta
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptycho.base.errors import DataContractError
from ptycho.physics import forward


def stack(N, count=3, seed=0):
    return np.array([oracles.noise_object(N, N, seed + i) for i in range(count)])


class TestByDefinition:
    @pytest.mark.finding("PTY-AT-001")
    @pytest.mark.parametrize("N", [8, 9, 32])
    @pytest.mark.parametrize("modes", [1, 3])
    def test_it_is_the_centred_unitary_transform(self, N, modes):
        patches, probe = stack(N), oracles.lopsided_probe(N, modes)
        expected = np.array([oracles.far_field(patch, probe) for patch in patches])
        np.testing.assert_allclose(
            forward.far_field_amplitude(patches, probe), expected, rtol=1e-9, atol=1e-12
        )

    @pytest.mark.finding("PTY-AT-001")
    @pytest.mark.parametrize("N", [8, 9, 64])
    def test_a_constant_field_is_one_peak_in_the_middle(self, N):
        seen = forward.far_field_amplitude(np.full((1, N, N), 0.5 + 0j), np.full((1, N, N), 2j))[0]
        assert seen[N // 2, N // 2] == pytest.approx(N)  # sum 1 over N^2 pixels, divided by N
        seen[N // 2, N // 2] = 0
        assert np.abs(seen).max() < 1e-12

    @pytest.mark.finding("PTY-AT-001")
    def test_a_phase_ramp_moves_the_peak_along_its_own_axis(self):
        """exp(2 pi i (3 x - 2 y) / N): a crystal seen at kx = +3, ky = -2."""
        N = 16
        y, x = np.mgrid[:N, :N]
        seen = forward.far_field_amplitude(
            np.exp(2j * np.pi * (3 * x - 2 * y) / N)[None], np.ones((1, N, N))
        )[0]
        assert np.unravel_index(seen.argmax(), seen.shape) == (N // 2 - 2, N // 2 + 3)
        assert seen.max() == pytest.approx(N)

    def test_a_point_gives_a_flat_pattern(self):
        patch = np.zeros((1, 8, 8), complex)
        patch[0, 2, 5] = 3 - 4j
        np.testing.assert_allclose(forward.far_field_amplitude(patch, np.ones((1, 8, 8))), 5 / 8, rtol=1e-12)

    @pytest.mark.finding("PTY-AT-001")
    @given(st.integers(0, 1000), st.sampled_from([5, 8, 12]), st.integers(1, 3))
    def test_energy_is_preserved(self, seed, N, modes):
        patches, probe = stack(N, 2, seed), oracles.lopsided_probe(N, modes)
        seen = np.sum(forward.far_field_amplitude(patches, probe) ** 2, axis=(1, 2))
        lit = [sum(np.sum(np.abs(patch * mode) ** 2) for mode in probe) for patch in patches]
        np.testing.assert_allclose(seen, lit, rtol=1e-10)

    @pytest.mark.finding("PTY-AT-001")
    def test_it_is_a_real_amplitude_of_the_inputs_precision(self):
        patches, probe = stack(8).astype(np.complex64), oracles.lopsided_probe(8).astype(np.complex64)
        seen = forward.far_field_amplitude(patches, probe)
        assert seen.dtype == np.float32
        assert seen.min() >= 0
        assert forward.far_field_amplitude(stack(8), oracles.lopsided_probe(8)).dtype == np.float64


class TestModes:
    @pytest.mark.finding("PROBE-MULTIMODE-001")
    def test_intensities_add_pixel_by_pixel(self):
        patches, probe = stack(16), oracles.lopsided_probe(16, 3)
        singles = [forward.far_field_amplitude(patches, probe[p : p + 1]) ** 2 for p in range(3)]
        together = forward.far_field_amplitude(patches, probe) ** 2
        np.testing.assert_allclose(together, sum(singles), rtol=1e-10)
        coherent = (
            np.abs(np.fft.fftshift(np.fft.fft2(patches * probe.sum(0), norm="ortho"), axes=(1, 2))) ** 2
        )
        assert np.abs(together - coherent).max() > 0.1 * together.max()

    @pytest.mark.finding("PROBE-MULTIMODE-001")
    def test_the_phase_and_the_order_of_modes_do_not_matter(self):
        patches, probe = stack(16), oracles.lopsided_probe(16, 3)
        seen = forward.far_field_amplitude(patches, probe)
        turned = probe * np.exp(1j * np.array([0.3, -2.0, 1.1]))[:, None, None]
        np.testing.assert_allclose(forward.far_field_amplitude(patches, turned[[2, 0, 1]]), seen, rtol=1e-10)


class TestMetamorphic:
    @pytest.mark.finding("PROBE-RANK-001")
    @pytest.mark.parametrize("count", [8, 9])
    def test_samples_do_not_see_each_other_even_where_the_batch_is_as_long_as_a_side(self, count):
        patches, probe = stack(8, count), oracles.lopsided_probe(8, 2)
        meta.batch_independent(lambda p: forward.far_field_amplitude(p, probe), patches)
        meta.permutation_equivariant(lambda p: forward.far_field_amplitude(p, probe), patches)

    def test_it_is_pure_keeps_the_type_and_scales(self):
        patches, probe = stack(16), oracles.lopsided_probe(16, 2)
        meta.pure(forward.far_field_amplitude, patches, probe)
        meta.dtype_stable(lambda p: forward.far_field_amplitude(p, probe.astype(p.dtype)), patches)
        meta.homogeneous(lambda p: forward.far_field_amplitude(p, probe), patches, 3.0, 1)
        np.testing.assert_allclose(
            forward.far_field_amplitude(patches * np.exp(0.7j), probe),
            forward.far_field_amplitude(patches, probe),
        )

    @pytest.mark.finding("CI-ABSOLUTE-SCALE-CONTRACT-001")
    @pytest.mark.parametrize("q", [0.1, 1.0, 10.0])
    def test_a_brighter_probe_is_a_brighter_pattern(self, q):
        patches, probe = stack(16), oracles.lopsided_probe(16)
        seen = forward.far_field_amplitude(patches, q * probe) / q
        np.testing.assert_allclose(seen, forward.far_field_amplitude(patches, probe), rtol=1e-10)

    def test_transposing_patch_and_probe_transposes_the_pattern(self):
        patches, probe = stack(9), oracles.lopsided_probe(9)
        seen = forward.far_field_amplitude(patches, probe)
        turned = forward.far_field_amplitude(meta.transposed(patches), meta.transposed(probe))
        np.testing.assert_allclose(turned, meta.transposed(seen), rtol=1e-10)
        assert np.abs(meta.transposed(seen) - seen).max() > 0.1 * seen.max()

    def test_flipping_patch_and_probe_flips_the_pattern(self):
        patches, probe = stack(9), oracles.lopsided_probe(9)  # odd: the middle stays the middle
        seen = forward.far_field_amplitude(patches, probe)
        turned = forward.far_field_amplitude(patches[:, ::-1], probe[:, ::-1])
        np.testing.assert_allclose(turned, seen[:, ::-1], rtol=1e-10)

    def test_moving_patch_and_probe_together_changes_nothing(self):
        patches, probe = stack(8), oracles.lopsided_probe(8)
        rolled = [np.roll(a, (3, -2), axis=(1, 2)) for a in (patches, probe)]
        np.testing.assert_allclose(
            forward.far_field_amplitude(*rolled), forward.far_field_amplitude(patches, probe), rtol=1e-10
        )


class TestScan:
    def test_chunks_cover_the_scan_once_and_in_order(self, monkeypatch):
        monkeypatch.setattr(forward, "CHUNK", 4)
        obj, probe = oracles.smooth_object(40, 61), oracles.lopsided_probe(16, 2)
        where = oracles.scan_positions(11, obj.shape, 16)
        rows, amplitudes = zip(*forward.scan_amplitudes(obj, where, probe), strict=True)
        assert [list(range(11))[r] for r in rows] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
        expected = [oracles.far_field(patch, probe) for patch in oracles.extract(obj, where, 16)]
        np.testing.assert_allclose(np.concatenate(amplitudes), expected, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("count", [1, 255, 256, 257])
    def test_the_last_chunk_may_be_partial_or_full(self, count):
        obj, probe = oracles.smooth_object(20, 23), oracles.lopsided_probe(4)
        where = oracles.scan_positions(count, obj.shape, 4)
        found = np.concatenate([amplitudes for _, amplitudes in forward.scan_amplitudes(obj, where, probe)])
        assert len(found) == count
        last = oracles.far_field(oracles.extract(obj, where[-1:], 4)[0], probe)
        np.testing.assert_allclose(found[-1], last, rtol=1e-9, atol=1e-12)


class TestRefused:
    @pytest.mark.finding("PROBE-RANK-001")
    @pytest.mark.parametrize(
        ("patches", "probe"),
        [
            ((3, 8, 8), (8, 8)),
            ((3, 8, 8), (1, 9, 9)),
            ((8, 8), (1, 8, 8)),
            ((2, 8, 8, 1), (1, 8, 8)),
            ((3, 8, 8), (3, 1, 8, 8)),
        ],
    )
    def test_ranks_and_sizes_that_do_not_belong_together(self, patches, probe):
        with pytest.raises(DataContractError) as caught:
            forward.far_field_amplitude(np.ones(patches, complex), np.ones(probe, complex))
        assert str(patches) in str(caught.value)
        assert str(probe) in str(caught.value)


@pytest.mark.finding("PTY-AT-001")
@pytest.mark.finding("PROBE-MULTIMODE-001")
def test_it_reproduces_a_peers_simulation(measured):
    """169 patterns by tike: two modes, scan of top-left corners (row, col), zero frequency at [0, 0]."""
    case = np.load(measured("tike_operator_case/tike_operator_case.npz"))
    obj, modes = case["psi"][0].astype(complex), case["probe"][0, 0].astype(complex)
    where = case["scan"][:, ::-1].astype(float) + 16 // 2  # [x, y] of the centres
    probe = np.pad(modes, ((0, 0), (8, 8), (8, 8)))  # zero padded from 16 to 32 px about the same centre
    found = np.concatenate([amplitudes for _, amplitudes in forward.scan_amplitudes(obj, where, probe)])
    intensity = np.fft.ifftshift(found**2, axes=(1, 2))
    assert np.abs(intensity - case["data"]).max() < 1e-6 * case["data"].max()
