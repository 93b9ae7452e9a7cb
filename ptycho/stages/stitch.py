"""The stitched object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ptycho import progress, scaling, stitching
from ptycho.data import GroupedData
from ptycho.errors import DataContractError
from ptycho.evaluation import frames
from ptycho.io import atomic, npz
from ptycho.model.bundle import Bundle
from ptycho.params import Params
from ptycho.progress import Progress
from ptycho.rows import Execution
from ptycho.stages import grouped
from ptycho.stitching import Prediction, Reconstruction

KIND = Reconstruction
FILE = "reconstruction.npz"


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Reconstruction:
    """Merge the patches on a canvas that holds them all."""
    groups: GroupedData = inputs["group_test"]
    bundle: Bundle = inputs["train"]
    prediction: Prediction = inputs["infer"]
    done = 0

    def tell(count: int) -> None:
        nonlocal done
        done += count
        progress.tell(execution.listener, Progress("stitch", done, len(prediction)))

    used = np.unique(groups.nn_indices)
    result = stitching.stitch(prediction, groups.raw.positions[used], bundle.probe, tell)
    if params.inference.prediction_scale == "none":
        return result
    factor = bundle.prediction_scale
    if params.inference.prediction_scale == "least_squares":
        factor = fitted_factor(result, groups, params)
    return replace(result, object=result.object * np.float32(factor), prediction_scale=float(factor))


def fitted_factor(result: Reconstruction, groups: GroupedData, params: Params) -> float:
    """Return the factor that fits a reconstruction to the truth: a diagnostic."""
    truth = grouped.truth_of(groups, params)
    if truth is None:
        raise DataContractError(
            "inference.prediction_scale = least_squares needs a truth; use none or recorded"
        )
    pair = frames.compare_frames(result, truth, params.evaluation.coverage_threshold)
    return scaling.least_squares_factor(np.abs(pair.prediction[pair.mask]), np.abs(pair.truth[pair.mask]))


def telemetry(result: Reconstruction) -> dict[str, float]:
    """Measure the canvas and count the patches."""
    return {
        "height_px": result.object.shape[0],
        "width_px": result.object.shape[1],
        "fits_canvas": result.fits_canvas,
        "kept_fraction": result.kept_fraction,
        "patches": result.n_patches,
        "nonfinite_patches": result.n_nonfinite,
        "network_data_error": result.data_error,
        "prediction_scale": result.prediction_scale,
    }


def invariants(result: Reconstruction) -> Iterator[tuple[str, bool]]:
    """No patch falls off the canvas."""
    yield "every patch must fit the canvas", result.fits_canvas or result.n_nonfinite > 0


def save(result: Reconstruction, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the object with its frame."""
    write(folder / FILE, result)


def load(folder: Path, inputs: Mapping[str, Any]) -> Reconstruction:
    """Read it back."""
    return read(folder / FILE)


def write(path: Path, result: Reconstruction) -> None:
    """Write `object` complex64, `coverage` float32 and `origin_xy`, with the counts beside them."""
    numbers = [result.kept_fraction, result.data_error, result.prediction_scale]
    atomic.write_arrays(
        path,
        {
            "object": result.object.astype(np.complex64),
            "coverage": result.coverage.astype(np.float32),
            "origin_xy": np.array(result.origin_xy, np.int64),
            "counts": np.array([result.n_patches, result.n_nonfinite], np.int64),
            "numbers": np.array(numbers),
        },
    )


def read(path: Path) -> Reconstruction:
    """Read what :func:`write` wrote; raise DataContractError for another file."""
    arrays = npz.read_arrays(path)
    missing = {"object", "coverage", "origin_xy", "counts", "numbers"} - set(arrays)
    if missing:
        raise DataContractError(f"{path}: not a reconstruction: {', '.join(sorted(missing))} missing")
    x, y = (int(value) for value in arrays["origin_xy"])
    kept, error, scale = (float(value) for value in arrays["numbers"])
    patches, nonfinite = (int(value) for value in arrays["counts"])
    return Reconstruction(
        object=arrays["object"],
        coverage=arrays["coverage"],
        origin_xy=(x, y),
        fits_canvas=bool(abs(kept - 1) <= stitching.FIT_TOLERANCE),
        kept_fraction=kept,
        n_patches=patches,
        n_nonfinite=nonfinite,
        data_error=error,
        prediction_scale=scale,
    )
