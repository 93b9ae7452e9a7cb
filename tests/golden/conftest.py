"""Strict goldens: what the stock comparison lets through is closed here.

An array golden is refused where it is vacuous (constant, not finite, symmetric), and its dtype and shape are
compared beside its values, at a relative tolerance without any absolute one but that of the array's own size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from syrupy.extensions.json import JSONSnapshotExtension


@pytest.fixture
def snapshot_json(snapshot):
    """Snapshots as JSON, one file each: for configs, metadata and index tables."""
    return snapshot.use_extension(JSONSnapshotExtension)


@pytest.fixture
def golden_arrays(ndarrays_regression, data_regression) -> Callable[..., None]:
    """Compare named arrays with the stored ones: values, dtypes and shapes."""

    def check(arrays: Mapping[str, np.ndarray], *, rtol: float = 1e-6) -> None:
        for name, array in arrays.items():
            assert np.isfinite(array).all(), f"{name} is not finite"
            assert array.size > 1, f"{name} is a single number"
            assert np.ptp(np.abs(array)) > 0, f"{name} is constant and would hide most faults"
            if array.ndim == 2 and array.shape[0] == array.shape[1]:
                assert not np.allclose(array, array.T), f"{name} is symmetric and would hide swapped axes"
        tolerances = {
            name: {"rtol": rtol, "atol": rtol * float(np.abs(array).max())} for name, array in arrays.items()
        }
        ndarrays_regression.check(dict(arrays), tolerances=tolerances)
        data_regression.check({name: f"{array.dtype} {array.shape}" for name, array in arrays.items()})

    return check
