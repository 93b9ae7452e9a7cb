"""The stitched object."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.artifacts.stage import Execution
from ptycho.base import archive, atomic, documents, identity, layout, progress
from ptycho.base.errors import DataContractError
from ptycho.base.progress import Progress
from ptycho.evaluation import frames
from ptycho.network.bundle import Bundle
from ptycho.physics import scaling, stitching
from ptycho.physics.stitching import Prediction, Reconstruction
from ptycho.scan import optics
from ptycho.scan.groups import GroupedData
from ptycho.scan.raw import RawData
from ptycho.settings.params import Params
from ptycho.stages import grouped

KIND = Reconstruction
FILE = layout.JUDGED
ARRAYS = ("object", "coverage", "origin_xy")
FARTHEST = 2**31
"""Pixels beyond which no origin of an object lies."""
DESCRIPTION = "_reconstruction"
"""Name of the JSON text beside the arrays."""
NUMBERS: Mapping[str, type] = {
    "kept_fraction": float,
    "n_patches": int,
    "n_outside": int,
    "n_nonfinite": int,
    "network_error": float,
    "prediction_scale": float,
}
"""What a file says beside its arrays."""


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

    result = stitching.stitch(prediction, grouped.used(groups).positions, bundle.probe, tell)
    result = replace(result, made_from=origin(groups, bundle), pixel_m=pixel_of(groups.raw))
    if params.inference.prediction_scale == "none":
        return result
    factor = bundle.prediction_scale
    if params.inference.prediction_scale == "least_squares":
        factor = fitted_factor(result, groups, params)
    return replace(result, object=result.object * np.float32(factor), prediction_scale=float(factor))


def pixel_of(raw: RawData) -> float | None:
    """Return the side of a pixel of a scan's object, m; None where it is not known."""
    return optics.pixel_of(raw.metadata, raw.N)


def origin(groups: GroupedData, bundle: Bundle) -> dict[str, str]:
    """Return what tells the patterns and the model that an object is made from."""
    return {"patterns": grouped.identify(groups), "model": identity.digest(bundle)}


def check_origin(result: Reconstruction, groups: GroupedData, bundle: Bundle, source: str) -> None:
    """Raise DataContractError where a reconstruction says that it was made from other patterns or another model."""
    remedies = {
        "patterns": "give the scan that it was made from, and --all where it was made with --all",
        "model": "give the bundle that it was made with",
    }
    for name, own in origin(groups, bundle).items():
        if result.made_from.get(name, own) != own:
            raise DataContractError(f"{source}: was made with other {name}; {remedies[name]}")


def fitted_factor(result: Reconstruction, groups: GroupedData, params: Params) -> float:
    """Return the factor that fits a reconstruction to the truth: a diagnostic.

    Raises DataContractError where there is no truth.
    """
    truth = grouped.truth_of(groups, params)
    if truth is None:
        raise DataContractError(
            "inference.prediction_scale = least_squares needs a truth; use none or recorded"
        )
    pair = frames.compare_frames(
        result, truth, params.evaluation.coverage_threshold, params.evaluation.border_px
    )
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
        "patches_outside": result.n_outside,
        "network_error": result.network_error,
        "prediction_scale": result.prediction_scale,
    }


def invariants(result: Reconstruction) -> Iterator[tuple[str, bool]]:
    """Check that object and coverage belong together."""
    yield "object and coverage must have one shape", result.object.shape == result.coverage.shape
    lit = bool(np.isfinite(result.coverage).all() and (result.coverage >= 0).all())
    yield "the coverage must be finite and not negative", lit


def write(path: Path, result: Reconstruction, more: Mapping[str, np.ndarray] | None = None) -> None:
    """Write `object` complex64, `coverage` float32 and `origin_xy`, what else is known as JSON text, and `more` arrays.

    `object` and `coverage` are (H, W).
    """
    known = {field.name: getattr(result, field.name) for field in fields(result) if field.name not in ARRAYS}
    atomic.write_arrays(
        path,
        {
            "object": result.object.astype(np.complex64),
            "coverage": result.coverage.astype(np.float32),
            "origin_xy": np.array(result.origin_xy, np.int64),
            DESCRIPTION: np.array(json.dumps(atomic.plain(known))),
            **(more or {}),
        },
    )


def read(path: Path, inputs: Any = None) -> Reconstruction:
    """Read what :func:`write` wrote; raise DataContractError for another file or a damaged one."""
    arrays = archive.read_arrays(path)
    if DESCRIPTION not in arrays:
        missing = sorted({*ARRAYS, DESCRIPTION} - set(arrays))
        raise DataContractError(f"{path}: not a reconstruction: {', '.join(missing)} missing")
    return _reconstruction(path, arrays)


def read_start(path: Path) -> Reconstruction:
    """Read an object to start from: `object`, `coverage` and `origin_xy` of any NPZ, whoever wrote it.

    Raises DataContractError where one of them is missing or is none.
    """
    return _reconstruction(path, archive.read_arrays(path))


def _reconstruction(path: Path, arrays: Mapping[str, np.ndarray]) -> Reconstruction:
    """Return the reconstruction that arrays hold, with what their description tells where there is one."""
    missing = sorted(set(ARRAYS) - set(arrays))
    if missing:
        raise DataContractError(f"{path}: not a reconstruction: {', '.join(missing)} missing")
    made_from: dict[str, str] = {}
    numbers: dict[str, Any] = {"kept_fraction": 1.0, "n_patches": 0}
    pixel = None
    try:
        if DESCRIPTION in arrays:
            known = documents.parsed(str(arrays[DESCRIPTION]), str(path))
            made_from = {str(name): str(value) for name, value in known.pop("made_from").items()}
            numbers = {name: kind(atomic.with_nan(known.pop(name))) for name, kind in NUMBERS.items()}
            pixel = known.get("pixel_m")
        if pixel is not None and not 0 < float(pixel) < math.inf:
            raise ValueError(f"pixel_m = {pixel} is no length")
        x, y = (int(value) for value in arrays["origin_xy"])
        if max(abs(x), abs(y)) > FARTHEST:
            raise ValueError(f"origin_xy = {x}, {y} px is nowhere")
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise DataContractError(
            f"{path}: its description is damaged: {type(error).__name__}: {error}"
        ) from None
    for name, kinds in (("object", "c"), ("coverage", "f")):
        if arrays[name].ndim != 2 or arrays[name].dtype.kind not in kinds or not arrays[name].size:
            raise DataContractError(
                f"{path}: {name} must be (H, W) and {'complex' if kinds == 'c' else 'real'}; got "
                f"{arrays[name].shape} {arrays[name].dtype}"
            )
    if arrays["object"].shape != arrays["coverage"].shape:
        raise DataContractError(
            f"{path}: object {arrays['object'].shape} and coverage {arrays['coverage'].shape} differ in shape"
        )
    return Reconstruction(
        object=arrays["object"].astype(np.complex64),
        coverage=arrays["coverage"].astype(np.float32),
        origin_xy=(x, y),
        made_from=made_from,
        pixel_m=None if pixel is None else float(pixel),
        **numbers,
    )
