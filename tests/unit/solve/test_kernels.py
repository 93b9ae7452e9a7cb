"""The compiled loops: kept where they can be, and no less right where they cannot; what they compute is tested by their users."""

import numpy as np
import pytest

from ptycho.solve import compiling, kernels


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same():
    """A function without a file has no place to be kept at."""
    made = {}
    exec("def double(x):\n    return 2 * x", made)
    assert compiling.compiled(made["double"])(21) == 42


@pytest.mark.parametrize("poisson", [False, True])
def test_a_nan_comes_out_where_it_went_in(poisson):
    waves = np.ones((2, 1, 8, 16), np.float32)
    waves[1, 0, 3, 4] = np.nan
    measured = np.ones((2, 8, 8), np.float32)
    assert np.isnan(kernels.compare(waves, measured, 1e-3, poisson))
    assert np.isnan(waves[1, 0, 3, 4:6]).all()
    assert np.isfinite(waves[0]).all()
    assert np.isnan(waves).sum() == 2


def test_what_was_not_measured_lacks_nothing():
    waves = np.full((1, 2, 8, 16), 3, np.float32)
    measured = np.full((1, 8, 8), 5, np.float32)
    measured[0, 2, 6] = -1
    kernels.compare(waves, measured, 1e-3, False)
    assert (waves[0, :, 2, 12:14] == 0).all()
    assert (waves == 0).sum() == 4
