"""The conditions under which calibration computes a golden again to measure its noise: threads, backends, transforms."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import fft

from ptycho.base import atomic, provenance

DTYPE = "PTYCHO_GOLDEN_DTYPE"
"""Environment variable that `golden.dtype` reads."""
FFT = "PTYCHO_GOLDEN_FFT"
"""Environment variable that, where it is set, makes numpy transform in place of scipy."""
WEIGHT = "weight of "
LEAST_SEPARATION = 10.0
"""Least effect of a fault, in units of what is allowed."""
AGAIN, ONE_THREAD, OLDER_CPU, SINGLE = "again", "one thread", "older processor", "single precision"
NO_ONEDNN, GPU, OTHER_FFT = "oneDNN off", "GPU", "another FFT"
CLAIMS: Mapping[str, tuple[str, ...]] = {
    "numpy": (AGAIN, ONE_THREAD, OLDER_CPU),
    "framework": (AGAIN, ONE_THREAD, OLDER_CPU, NO_ONEDNN, *provenance.BACKENDS),
}
"""What a golden claims to hold under, by what computes it."""


ALWAYS = (AGAIN, SINGLE, GPU, OTHER_FFT)
"""Conditions under which every golden is computed where they can be had, claimed or not."""


def available() -> dict[str, dict[str, str]]:
    """Return the conditions that can be had here: their names and the environment that makes them."""
    result = {
        AGAIN: {},
        ONE_THREAD: dict.fromkeys(
            (
                *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
                *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
            ),
            "1",
        ),
        OLDER_CPU: _older_cpu(),
        NO_ONEDNN: {"TF_ENABLE_ONEDNN_OPTS": "0"},
        SINGLE: {DTYPE: "float32"},
        # Releases of scipy round their transforms differently, and so does numpy.
        OTHER_FFT: {FFT: "numpy"},
        **{
            name: {"KERAS_BACKEND": name}
            for name in provenance.BACKENDS
            if importlib.util.find_spec(name) is not None
        },
    }
    if shutil.which("nvidia-smi") is not None:
        result[GPU] = {"PYTEST_ADDOPTS": "--device=gpu"}
    return result


class NumpyTransforms:
    """A backend of `scipy.fft` that has numpy transform."""

    __ua_domain__ = "numpy.scipy.fft"

    @staticmethod
    def __ua_function__(method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        function = getattr(np.fft, method.__name__, None)
        if function is None:
            return NotImplemented
        return function(
            *args,
            **{name: value for name, value in kwargs.items() if name in ("s", "n", "axes", "axis", "norm")},
        )


def use_transforms_asked_for() -> None:
    """Have numpy transform in this process where the environment says so."""
    if os.environ.get(FFT):
        fft.set_global_backend(NumpyTransforms)


def _older_cpu() -> dict[str, str]:
    """Return what makes numpy and OpenBLAS compute as on a processor with fewer vector instructions."""
    core: Any = importlib.import_module("numpy._core._multiarray_umath")
    features = [name for name in core.__cpu_dispatch__ if core.__cpu_features__.get(name)]
    return {"NPY_DISABLE_CPU_FEATURES": " ".join(features), "OPENBLAS_CORETYPE": "Nehalem"}


def keep(
    folder: Path, nodeid: str, arrays: Mapping[str, np.ndarray], fields: Mapping[str, np.ndarray]
) -> None:
    """Write what a test computed, for calibration; of fields whose gauge is free, the weights too.

    Arrays are of any shape.
    """
    weights = {f"{WEIGHT}{name}": weight for name, weight in fields.items()}
    atomic.write_arrays(place(folder, nodeid), {**arrays, **weights})


def read_kept(folder: Path, nodeid: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]] | None:
    """Return what a test computed, and the weights of its fields; None where it got nowhere.

    Arrays are of any shape.
    """
    path = place(folder, nodeid)
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        everything = {name: stored[name] for name in stored.files}
    weights = {n.removeprefix(WEIGHT): a for n, a in everything.items() if n.startswith(WEIGHT)}
    return {n: a for n, a in everything.items() if not n.startswith(WEIGHT)}, weights


def keep_reached(folder: Path, counts: Mapping[str, Any]) -> None:
    """Write which functions were called while a test computed."""
    atomic.write_json(folder / "reached.json", [target for target, calls in counts.items() if calls.count])


def reached(folder: Path) -> set[str]:
    """Return which functions were called while a test computed; none where it got nowhere."""
    path = folder / "reached.json"
    return set(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else set()


def place(folder: Path, nodeid: str) -> Path:
    """Return where what a test computed lies."""
    return folder / f"{hashlib.sha256(nodeid.encode()).hexdigest()[:16]}.npz"
