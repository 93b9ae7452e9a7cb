"""Predicted patches: on disk where they are large, and read as often as one likes."""

import dataclasses
import errno
import os

import numpy as np
import oracles
import pytest

from ptycho.artifacts.stage import Inputs
from ptycho.base import identity
from ptycho.base.errors import DataContractError, RunDirectoryError
from ptycho.network import inference
from ptycho.physics import forward, stitching
from ptycho.settings.sections import LossConfig
from ptycho.stages import pipeline


@pytest.fixture
def on_disk(finished, monkeypatch):
    """The small run's prediction made with next to no memory."""
    monkeypatch.setattr(inference, "MEMORY_BYTES", 1000)
    artifacts = finished.result.artifacts
    return inference.predict(artifacts["train"], artifacts["group_test"])


def test_large_arrays_lie_on_disk_and_hold_the_same(on_disk, finished, monkeypatch):
    # Predicted anew, under the usual limit: the run's own may have been loaded under the one of a test before this.
    monkeypatch.undo()
    whole = inference.predict(finished.result.artifacts["train"], finished.result.artifacts["group_test"])
    assert isinstance(on_disk.patches, np.memmap)
    assert isinstance(on_disk.weights, np.memmap)
    assert not isinstance(whole.patches, np.memmap)
    assert identity.digest(on_disk) == identity.digest(whole)


def test_they_are_read_any_number_of_times_without_the_network(on_disk, monkeypatch):
    monkeypatch.setattr(inference, "build_model", lambda *_: pytest.fail("a second pass"))
    first = np.concatenate([chunk.patches for chunk in on_disk.chunks(5)])
    np.testing.assert_array_equal(first, np.concatenate([chunk.patches for chunk in on_disk.chunks(32)]))


def test_stored_ones_stay_on_disk_too(on_disk, finished, tmp_path):
    stage = pipeline.stage_named("infer")
    stage.save(on_disk, tmp_path, {})
    again = stage.load(tmp_path, Inputs("infer", (), {}))
    assert isinstance(again.patches, np.memmap)
    assert not again.patches.flags.writeable
    assert identity.digest(again) == identity.digest(on_disk)


def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(RunDirectoryError, match=r"need 1\.0 GiB in .*: No space left on device; set TMPDIR"):
        inference.empty_array((2**27,), np.complex64)


def test_a_damaged_file_is_named(finished, tmp_path):
    stage = pipeline.stage_named("infer")
    stage.save(finished.result.artifacts["infer"], tmp_path, {})
    (tmp_path / "weights.npy").write_bytes(b"nothing")
    with pytest.raises(DataContractError, match=r"weights\.npy: cannot be read"):
        stage.load(tmp_path, Inputs("infer", (), {}))


def as_members_see(prediction, groups):
    """Gridsize 1: each pattern's own window (B, N, N), a fraction of a pixel off the middle of its canvas."""
    where = groups.raw.positions[groups.nn_indices[:, 0]] - prediction.positions + prediction.size // 2
    windows = [
        oracles.sample(p, at[None], groups.N)[0] for p, at in zip(prediction.patches, where, strict=True)
    ]
    return np.array(windows)


@pytest.mark.finding("OUTPUT-COMPLEX-001")
def test_residual_and_energy_are_those_of_each_group(finished):
    """Against the numpy forward model, from the predicted patches alone, by a network that gives them a phase."""
    groups, bundle = finished.result.artifacts["group_test"], finished.result.artifacts["train"]
    (last,) = [name for name in bundle.weights if name.endswith("last/bias")]
    bundle = dataclasses.replace(
        bundle, weights={**bundle.weights, last: np.array([0, 0.5, 0, 0], np.float32)}
    )
    prediction = inference.predict(bundle, groups)
    lit = np.abs(bundle.probe[0]) > 0.1 * np.abs(bundle.probe).max()
    seen = as_members_see(prediction, groups)
    assert np.angle(seen)[:, lit].std() > 0.02
    scan = groups.raw
    predicted = forward.far_field_amplitude(seen, bundle.probe)
    measured = groups.diffraction()[..., 0].astype(float)
    counts = scan.photon_scale**2
    np.testing.assert_allclose(prediction.energy, counts * np.sum(measured**2, axis=(1, 2)), rtol=1e-4)
    residual = counts * np.sum((predicted - measured) ** 2, axis=(1, 2))
    np.testing.assert_allclose(prediction.residual, residual, rtol=2e-2)


@pytest.mark.finding("GAIN-NOT-UNDONE-001")
@pytest.mark.parametrize("factor", [1.0, 2.5])
def test_a_prediction_is_in_the_units_of_the_scan_and_says_how_well_it_explains_it(finished, factor):
    """Far fields of the predicted patches, by the numpy forward model, against the scan's own counts.

    A trained photon scale that is off by a factor puts that factor into what the network holds; it is taken out.
    """
    bundle, groups = finished.result.artifacts["train"], finished.result.artifacts["group_test"]
    (name,) = [key for key in bundle.weights if key.endswith("log_scale")]
    weights = {**bundle.weights, name: bundle.weights[name] + np.log(np.float32(factor))}
    trained = bundle.trained_photon_scale * factor
    bundle = dataclasses.replace(bundle, weights=weights, trained_photon_scale=trained)
    found = inference.predict(bundle, groups, batch_size=5)

    raw, rows = groups.raw, groups.nn_indices[:, 0]
    np.testing.assert_array_equal(found.positions, np.round(raw.positions[rows]))
    measured = raw.photon_scale * raw.diff3d[rows].astype(float)
    predicted = raw.photon_scale * forward.far_field_amplitude(as_members_see(found, groups), raw.probe)
    np.testing.assert_allclose(found.energy, (measured**2).sum(axis=(1, 2)), rtol=1e-5)
    # The floor under the network's modulus is worth up to 1e-6 of the energy.
    np.testing.assert_allclose(
        found.residual, ((predicted - measured) ** 2).sum(axis=(1, 2)), rtol=0.05, atol=1e-6 * found.energy[0]
    )
    lit = (np.abs(raw.probe) ** 2).sum(axis=0)
    for patch, at in list(zip(found.weights, raw.positions[rows] - found.positions, strict=True))[:5]:
        side = len(patch)
        expected = oracles.place((lit / lit.max())[None], (at + side // 2)[None], (0, 0), (side, side))
        np.testing.assert_allclose(patch, expected, atol=1e-5)
    # The object is that of the truth, and not a factor of it.
    truth = np.abs(raw.object_guess).mean()
    middle = slice(found.size // 2 - 4, found.size // 2 + 4)
    centre = np.abs(found.patches[:, middle, middle]).mean()
    assert centre == pytest.approx(truth, rel=0.2)


@pytest.mark.finding("TF-XLA-BATCH-BROADCAST-001")
def test_a_groups_members_share_its_canvas():
    """Gridsize 2: the patch of a group lies at the pixel next to its members' mean, and is lit by all of them."""
    from ptycho.network import bundle as bundles
    from ptycho.network import network
    from ptycho.physics import scaling
    from ptycho.scan import grouping
    from ptycho.settings.sections import GroupingConfig, ModelConfig

    raw = oracles.make_scan()
    groups = grouping.group(raw, 2, GroupingConfig(neighbor_count=5), n_groups=3)
    scales = scaling.measure(raw.diff3d, raw.probe, photon_scale=raw.photon_scale)
    config = ModelConfig(filters=2, levels=1, warm_steps=2, steps=1)
    model = network.PtychoModel(
        config, LossConfig(), channels=4, canvas_px=48, photon_scale=scales.photon_scale,
        object_unit=scales.object_unit,
    )  # fmt: skip
    bundle = bundles.Bundle(
        N=raw.N,
        gridsize=2,
        model=config,
        weights=bundles.get_weights(model),
        probe=raw.probe,
        scales=scales,
        trained_photon_scale=scales.photon_scale,
    )
    found = inference.predict(bundle, groups)
    members = raw.positions[groups.nn_indices]
    np.testing.assert_array_equal(found.positions, np.round(members.mean(axis=1)))
    lit = np.broadcast_to(stitching.illumination(raw.probe), (4, raw.N, raw.N))
    for patch, centre, where in zip(found.weights, found.positions, members, strict=True):
        side = len(patch)
        expected = oracles.place(lit, where - centre + side / 2, (0, 0), (side, side))
        np.testing.assert_allclose(patch, expected, atol=1e-3)


@pytest.mark.finding("STITCH-BLUR-001")
def test_true_patches_where_the_network_puts_its_own_are_the_object_when_they_are_stitched(finished):
    """Nothing between prediction and object interpolates: what is lost there no training brings back."""
    prediction, groups = finished.result.artifacts["infer"], finished.result.artifacts["group_test"]
    truth = groups.raw.object_guess
    patches = oracles.extract(truth, prediction.positions, prediction.size).astype(np.complex64)
    whole = stitching.stitch(
        dataclasses.replace(prediction, patches=patches), groups.raw.positions, groups.raw.probe
    )
    x0, y0 = whole.origin_xy
    height, width = truth.shape
    rows, columns = slice(max(0, -y0), height - y0), slice(max(0, -x0), width - x0)
    found, lit = whole.object[rows, columns], whole.coverage[rows, columns] > 0.1
    expected = truth[y0 + rows.start :, x0 + columns.start :][: found.shape[0], : found.shape[1]]
    assert lit.sum() > 1000
    np.testing.assert_allclose(found[lit], expected[lit], atol=1e-4 * np.abs(truth).max())
