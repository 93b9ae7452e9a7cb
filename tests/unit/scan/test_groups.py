"""Groups of patterns and what a network is fed of them: gathered on demand, in the units that the scales say."""

import dataclasses

import numpy as np
import oracles
import pytest

from ptycho.base.errors import DataContractError
from ptycho.physics import forward, scaling
from ptycho.scan.groups import ClusteredData, GroupedData, PtychoDataContainer
from ptycho.scan.raw import RawData

N = 32


def parts(count=5, **changed):
    """The arguments of a small valid scan, without an object, some of them replaced."""
    rng = np.random.default_rng(7)
    values = {
        "xcoords": rng.uniform(16, 60, count),
        "ycoords": rng.uniform(16, 40, count),
        "diff3d": rng.uniform(0.5, 9, (count, N, N)),
        "probe": oracles.lopsided_probe(N)[0],
    }
    return {**values, **changed}


def group_of(raw, indices, gridsize=2):
    return GroupedData(raw, gridsize, np.array(indices))


class TestGroupedData:
    @pytest.mark.finding("BUG-TF-001")
    def test_channel_c_of_group_b_is_the_pattern_of_its_index(self):
        raw = oracles.make_scan()
        indices = np.array([[4, 0, 22, 7], [1, 9, 3, 2], [5, 5, 6, 8]])
        grouped = group_of(raw, indices)
        diffraction = grouped.diffraction()
        assert diffraction.shape == (3, N, N, 4)
        assert diffraction.dtype == np.float32
        for b in range(3):
            for c in range(4):
                np.testing.assert_array_equal(diffraction[b, :, :, c], raw.diff3d[indices[b, c]])
                assert grouped.coords_nn[b, 0, 0, c] == raw.xcoords[indices[b, c]]
                assert grouped.coords_nn[b, 0, 1, c] == raw.ycoords[indices[b, c]]

    @pytest.mark.finding("TORCH-REASSEMBLY-SIGN-001")
    def test_frames_by_hand(self):
        raw = RawData(**parts(4, xcoords=[10.0, 17, 12, 30], ycoords=[20.0, 21, 31, 60]))
        grouped = group_of(raw, [[0, 1, 2, 3], [3, 3, 3, 0]])
        assert grouped.coords_offsets[:, 0, :, 0].tolist() == [[17.25, 33.0], [25.0, 50.0]]
        assert grouped.coords_relative[0, 0].tolist() == [[7.25, 0.25, 5.25, -12.75], [13, 12, 2, -27]]
        assert grouped.coords_relative[1, 0].tolist() == [[-5, -5, -5, 15], [-10, -10, -10, 30]]

    @pytest.mark.finding("TF-LOADER-COORDS-001")
    def test_the_true_positions_are_used_not_the_nominal(self):
        raw = oracles.make_scan(xcoords_start=np.zeros(23), ycoords_start=np.zeros(23))
        grouped = group_of(raw, [[0, 1, 2, 3]])
        assert grouped.coords_offsets[0, 0, 0, 0] == pytest.approx(raw.xcoords[:4].mean())

    @pytest.mark.finding("NEW-LABEL-MIRROR")
    def test_a_label_patch_is_the_object_at_its_own_members_position(self):
        raw = oracles.make_scan(integer=True)
        indices = np.array([[4, 0, 22, 7], [1, 9, 3, 2]])
        labels = group_of(raw, indices).object_patches()
        assert labels.shape == (2, N, N, 4)
        for b in range(2):
            for c in range(4):
                x, y = int(raw.xcoords[indices[b, c]]), int(raw.ycoords[indices[b, c]])
                expected = raw.object_guess[y - 16 : y + 16, x - 16 : x + 16]
                # Offsets and relative offsets are means of integers over four: exact in binary.
                np.testing.assert_array_equal(labels[b, :, :, c], expected)

    @pytest.mark.finding("NEW-LABEL-MIRROR")
    def test_a_label_patch_explains_its_own_channel(self):
        """Sub-pixel positions; the patterns come from the naive forward model."""
        raw = oracles.make_scan(modes=2)
        indices = np.array([[4, 0, 22, 7], [1, 9, 3, 2]])
        grouped = group_of(raw, indices)
        labels = grouped.object_patches()
        for b in range(2):
            predicted = forward.far_field_amplitude(np.moveaxis(labels[b], -1, 0), raw.probe)
            seen = np.moveaxis(grouped.diffraction()[b], -1, 0)
            np.testing.assert_allclose(predicted, seen, rtol=1e-4, atol=2e-5 * seen.max())

    @pytest.mark.finding("NEW-COMPLEX-DTYPE")
    def test_label_patches_keep_the_phase(self):
        labels = group_of(oracles.make_scan(), [[0, 1, 2, 3]]).object_patches()
        assert labels.dtype == np.complex64
        assert np.angle(labels).std() > 0.1

    @pytest.mark.finding("DATA-SUP-001")
    def test_without_an_object_there_are_no_labels_rather_than_placeholders(self):
        grouped = group_of(oracles.make_scan().without_truth(), [[0, 1, 2, 3]])
        with pytest.raises(DataContractError, match="no objectGuess to cut label patches from"):
            grouped.object_patches()

    @pytest.mark.finding("PINN-CHUNKED-001")
    def test_some_rows_are_those_rows_of_the_whole(self):
        raw = oracles.make_scan()
        grouped = group_of(raw, np.random.default_rng(0).integers(0, 23, (9, 4)))
        rows = np.array([8, 2, 5])
        np.testing.assert_array_equal(grouped.diffraction(rows), grouped.diffraction()[rows])
        np.testing.assert_array_equal(grouped.object_patches(rows), grouped.object_patches()[rows])
        np.testing.assert_array_equal(grouped.diffraction(slice(2, 5)), grouped.diffraction()[2:5])

    @pytest.mark.finding("PINN-CHUNKED-001")
    def test_grouping_copies_no_patterns(self):
        raw = oracles.make_scan()
        grouped = group_of(raw, np.zeros((100_000, 4), int))
        assert grouped.raw.diff3d is raw.diff3d
        assert sum(v.nbytes for v in vars(grouped).values() if isinstance(v, np.ndarray)) == 100_000 * 4 * 8

    @pytest.mark.parametrize(
        ("indices", "message"),
        [
            ([[0, 1]], r"nn_indices must have shape \(B, 4\); got \(1, 2\)"),
            ([0, 1, 2, 3], r"nn_indices must have shape \(B, 4\); got \(4,\)"),
            ([[0, 1, 2, 23]], "reach outside of the scan's 23 patterns"),
            ([[0, 1, 2, -1]], "reach outside of the scan's 23 patterns"),
        ],
    )
    def test_indices_that_fit_no_scan(self, indices, message):
        with pytest.raises(DataContractError, match=message):
            group_of(oracles.make_scan(), indices)


class TestContainer:
    @staticmethod
    def build(raw, indices=None, **options):
        drawn = np.random.default_rng(0).integers(0, len(raw), (6, 4))
        grouped = group_of(raw, drawn if indices is None else indices)
        flat = grouped.nn_indices.ravel()
        scales = scaling.measure(raw.diff3d[flat], raw.probe, photon_scale=raw.photon_scale, **options)
        return PtychoDataContainer(grouped, scales)

    @pytest.mark.finding("DATALOADER-SCALE-001")
    def test_a_batch_as_long_as_a_patterns_side_is_scaled_like_single_ones(self):
        container = self.build(oracles.make_scan(), np.random.default_rng(4).integers(0, 23, (N, 4)))
        at_once = container.batch(np.arange(N))["amplitude"]
        singly = [container.batch(np.array([row]))["amplitude"][0] for row in range(N)]
        np.testing.assert_allclose(at_once, singly, rtol=1e-6)

    @pytest.mark.finding("POISSON-NORM-001")
    @pytest.mark.finding("NORMALIZATION-001")
    def test_the_fed_amplitudes_have_the_fixed_energy_and_type(self):
        fed = self.build(oracles.make_scan()).X()
        assert fed.dtype == np.float32
        energies = np.sum(fed.astype(float) ** 2, axis=(1, 2))
        assert energies.shape == (6, 4)
        assert energies.std() > 1  # not each pattern: their mean
        assert energies.mean() == pytest.approx((N / 2) ** 2, rel=1e-6)

    @pytest.mark.finding("BUG-DOUBLE-NORMALIZATION-001")
    @pytest.mark.parametrize("nphotons", [1e4, 1e9])
    def test_the_simulated_counts_come_back_whole_from_what_the_network_is_fed(self, nphotons):
        clean = oracles.make_scan(count=24)
        energy = np.mean(np.sum(clean.diff3d.astype(float) ** 2, axis=(1, 2)))
        s = np.sqrt(nphotons / energy)
        counts = np.random.default_rng(2).poisson((s * clean.diff3d.astype(float)) ** 2)
        raw = dataclasses.replace(clean, diff3d=np.sqrt(counts) / s, photon_scale=s)
        container = self.build(raw, np.random.default_rng(0).permutation(24).reshape(6, 4))
        fed = container.batch(slice(None))["amplitude"].astype(float) ** 2
        expected = np.moveaxis(counts[container.grouped.nn_indices], 1, -1)
        np.testing.assert_allclose(fed, expected, rtol=1e-4, atol=1e-2)
        if nphotons == 1e4:
            assert np.abs(fed - np.round(fed)).max() < 1e-2
        assert fed.sum(axis=(1, 2)).mean() == pytest.approx(nphotons, rel=0.01)

    @pytest.mark.finding("COORDS-RELATIVE (bug 2026-02-05)")
    def test_the_network_sees_relative_offsets_never_places(self):
        container = self.build(oracles.make_scan())
        batch = container.batch(np.array([4, 1]))
        assert batch["positions"].dtype == np.float32
        assert batch["positions"].shape == (2, 1, 2, 4)
        for fed, members in zip(batch["positions"], container.grouped.nn_indices[[4, 1]], strict=True):
            where = container.grouped.raw.positions[members]
            centre = np.round(where.mean(axis=0))  # a whole pixel of the object
            np.testing.assert_allclose(fed[0], -(where - centre).T, atol=1e-5)

    @pytest.mark.finding("PINN-CHUNKED-001")
    def test_some_rows_are_those_rows_of_the_whole(self):
        container = self.build(oracles.make_scan())
        np.testing.assert_array_equal(container.X(slice(3, 5)), container.X()[3:5])
        whole = container.batch(slice(None))
        for key, value in container.batch(np.array([5, 0])).items():
            np.testing.assert_array_equal(value, whole[key][[5, 0]])

    @pytest.mark.finding("TORCH-LOADER-MMAP-SIZING-001")
    def test_it_is_as_long_as_its_groups_and_no_row_is_left_unwritten(self):
        container = self.build(oracles.make_scan())
        assert len(container) == len(container.grouped) == len(container.X()) == 6
        assert container.X().any(axis=(1, 2, 3)).all()

    @pytest.mark.finding("DATA-SUP-001")
    def test_it_says_whether_labels_exist(self):
        raw = oracles.make_scan()
        assert self.build(raw).has_ground_truth
        assert not self.build(raw.without_truth()).has_ground_truth

    @pytest.mark.finding("RECT-B5-SCALE-001")
    def test_each_consumer_gets_its_own_factor(self):
        """Sentinel scales: the fed array carries g, the network's input g times s, nothing else."""
        raw = oracles.make_scan()
        scales = scaling.Scales(
            statistical=2.0, photon_scale=5.0, source="recorded", nphotons=7.0, object_unit=11.0
        )
        container = PtychoDataContainer(group_of(raw, [[0, 1, 2, 3]]), scales)
        np.testing.assert_array_equal(container.X()[0, :, :, 2], 2 * raw.diff3d[2])
        np.testing.assert_array_equal(
            container.batch(slice(None))["amplitude"][0, :, :, 2], 10 * raw.diff3d[2]
        )


class TestClusters:
    """Two groups of four and a judge, by loops over the members."""

    def clusters(self):
        rows = np.random.default_rng(3).permuted(np.tile(np.arange(24), (5, 1)), axis=1)[:, :9]
        return ClusteredData(oracles.make_scan(count=24), 2, rows, groups=2, judges=1)

    def test_how_far_members_lie_from_their_clusters_middle(self):
        data = self.clusters()
        for members, found in zip(data.nn_indices, data.reaches, strict=True):
            where = data.raw.positions[members]
            assert found == pytest.approx(np.abs(where - np.round(where.mean(axis=0))).max())

    def test_how_far_they_lie_from_their_groups_middle(self):
        data = self.clusters()
        for members, found in zip(data.nn_indices, data.group_reaches, strict=True):
            both = [data.raw.positions[members[part]] for part in (slice(0, 4), slice(4, 8))]
            assert found == pytest.approx(
                max(np.abs(where - np.round(where.mean(axis=0))).max() for where in both)
            )

    def test_a_cluster_has_the_members_of_its_groups_and_its_judges(self):
        assert self.clusters().members == 9
        with pytest.raises(DataContractError, match=r"nn_indices must have shape \(B, 10\)"):
            ClusteredData(oracles.make_scan(count=24), 2, np.zeros((2, 9), int), groups=2, judges=2)
