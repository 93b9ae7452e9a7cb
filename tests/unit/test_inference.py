"""Predicted patches: on disk where they are large, and read as often as one likes."""

import errno
import os

import numpy as np
import pytest

from ptycho import forward, identity, inference, pipeline
from ptycho.errors import DataContractError, RunDirectoryError
from ptycho.rows import Inputs


@pytest.fixture
def on_disk(finished, monkeypatch):
    """The small run's prediction made with next to no memory."""
    monkeypatch.setattr(inference, "MEMORY_BYTES", 1000)
    artifacts = finished.result.artifacts
    return inference.predict(artifacts["train"], artifacts["group_test"])


def test_large_arrays_lie_on_disk_and_hold_the_same(on_disk, finished):
    whole = finished.result.artifacts["infer"]
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


def test_residual_and_energy_are_those_of_each_group(finished):
    """Against the numpy forward model, from the predicted patches alone."""
    artifacts = finished.result.artifacts
    prediction, groups, bundle = artifacts["infer"], artifacts["group_test"], artifacts["train"]
    scan = groups.raw
    predicted = forward.far_field_amplitude(prediction.patches, bundle.probe)
    measured = groups.diffraction()[..., 0].astype(float)
    counts = scan.photon_scale**2
    np.testing.assert_allclose(prediction.energy, counts * np.sum(measured**2, axis=(1, 2)), rtol=1e-4)
    residual = counts * np.sum((predicted - measured) ** 2, axis=(1, 2))
    np.testing.assert_allclose(prediction.residual, residual, rtol=2e-2)
