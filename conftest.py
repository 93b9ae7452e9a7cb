"""Settings and fixtures of the whole test suite.

The environment is set before anything can import TensorFlow: thread counts are read once, at its import,
and a result may depend on them.
"""

from __future__ import annotations

import os

for _variable in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
):
    os.environ.setdefault(_variable, "2")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

# Derandomised: the same examples everywhere. `ci` looks for more of them.
_COMMON = {
    "derandomize": True,
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow],
}
settings.register_profile("dev", max_examples=25, **_COMMON)
settings.register_profile("ci", max_examples=100, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

REPOSITORY = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def datasets() -> Path:
    """Folder of other people's data files; skips where it is absent."""
    named = os.environ.get("PTYCHO_DATA_DIR")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "datasets"
    if not folder.is_dir():
        pytest.skip(f"no datasets at {folder}: set PTYCHO_DATA_DIR to the folder that holds them")
    return folder
