"""A run and everything it leaves behind in a folder. All file names stand here."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ptycho import report
from ptycho.config import Config
from ptycho.errors import DataContractError, RunDirectoryError
from ptycho.io import atomic
from ptycho.io.npz import read_arrays
from ptycho.model import bundle as bundles
from ptycho.pipeline import Context, PipelineResult, run_pipeline, stage_keys
from ptycho.provenance import provenance
from ptycho.stitching import Reconstruction

logger = logging.getLogger(__name__)

METADATA, TRUTH, RECONSTRUCTION, BUNDLE = "run_metadata.json", "truth.npz", "reconstruction.npz", "bundle.npz"


def execute(config: Config, folder: Path, context: Context) -> PipelineResult:
    """Run the pipeline and write its run directory.

    Numbers are written before pictures, and a failing picture fails nothing.

    Raises
    ------
    RunDirectoryError
        The folder cannot be written, or holds another run and `resume` is off.
    """
    with claimed_folder(folder, context.resume):
        finished = _finished_bundle(config, folder, context)
        context = Context(**{**vars(context), "state_dir": folder, "bundle": finished or context.bundle})
        result = run_pipeline(config, context)
        write_run(folder, result)
    return result


@contextmanager
def claimed_folder(folder: Path, resume: bool) -> Iterator[None]:
    """Make sure that `folder` can be written and holds no run that would be overwritten.

    After a failure a folder that was made here and is still empty is taken away again.
    """
    existed = folder.exists()
    _check_folder(folder, resume)
    try:
        yield
    except BaseException:
        if not existed and not any(folder.iterdir()):
            folder.rmdir()
        raise


def _check_folder(folder: Path, resume: bool) -> None:
    if folder.is_file():
        raise RunDirectoryError(f"--out {folder}: is a file; give a folder")
    if (folder / METADATA).exists() and not resume:
        raise RunDirectoryError(
            f"--out {folder}: holds a finished run; add --resume, or choose another folder"
        )
    with atomic.replacing(folder / ".writable") as stream:
        stream.write(b"")
    (folder / ".writable").unlink()


def write_run(folder: Path, result: PipelineResult) -> None:
    """Write arrays, metadata and report of a finished run."""
    artifacts = result.artifacts
    reconstruction: Reconstruction = artifacts["stitch"]
    write_reconstruction(folder / RECONSTRUCTION, reconstruction)
    bundles.save_bundle(folder / BUNDLE, artifacts["train"])
    names = {"reconstruction": RECONSTRUCTION, "bundle": BUNDLE, "history": "history.json"}
    atomic.write_json(
        folder / "history.json",
        {"epochs": list(artifacts["train"].history), "stopped": artifacts["train"].stopped},
    )
    scan = artifacts["scan"]
    if scan.object_guess is not None:
        atomic.write_arrays(folder / TRUTH, {"object": scan.object_guess})
        names["truth"] = TRUTH
    metadata = describe(result, names)
    atomic.write_json(folder / METADATA, metadata)
    written = report.write_report(folder, result)
    metadata["artifacts"].update({figure.name: figure.file for figure in written if figure.file})
    metadata["figure_errors"] = {figure.name: figure.error for figure in written if figure.error}
    atomic.write_json(folder / METADATA, metadata)


def describe(result: PipelineResult, names: dict[str, str]) -> dict[str, Any]:
    """Return the content of `run_metadata.json`."""
    reconstruction: Reconstruction = result.artifacts["stitch"]
    return {
        "name": result.config.name,
        "passed": result.passed,
        "verdicts": [asdict(verdict) for verdict in result.artifacts["gate"]],
        "metrics": result.artifacts["evaluate"].to_dict(),
        "fits_canvas": reconstruction.fits_canvas,
        "prediction_scale": reconstruction.prediction_scale,
        "scales": asdict(result.artifacts["train"].scales),
        "stopped": result.artifacts["train"].stopped,
        "telemetry": result.telemetry,
        "timings_s": result.seconds,
        "notes": list(result.notes),
        "keys": result.keys,
        "scan": dict(result.artifacts["scan"].metadata),
        "config": result.config.to_dict(),
        "provenance": provenance(),
        "artifacts": dict(names),
    }


def write_reconstruction(path: Path, reconstruction: Reconstruction) -> None:
    """Write `object` complex64, `coverage` float32 and `origin_xy`, with the counts beside them."""
    atomic.write_arrays(
        path,
        {
            "object": reconstruction.object.astype(np.complex64),
            "coverage": reconstruction.coverage.astype(np.float32),
            "origin_xy": np.array(reconstruction.origin_xy, np.int64),
            "counts": np.array([reconstruction.n_patches, reconstruction.n_nonfinite], np.int64),
            "numbers": np.array(
                [reconstruction.kept_fraction, reconstruction.data_error, reconstruction.prediction_scale]
            ),
        },
    )


def read_reconstruction(path: Path) -> Reconstruction:
    """Read what :func:`write_reconstruction` wrote."""
    arrays = read_arrays(path)
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
        fits_canvas=abs(kept - 1) < 1e-6,
        kept_fraction=kept,
        n_patches=patches,
        n_nonfinite=nonfinite,
        data_error=error,
        prediction_scale=scale,
    )


def _finished_bundle(config: Config, folder: Path, context: Context) -> bundles.Bundle | None:
    """Return the bundle of a run that is resumed, if it is complete and of the same config and data."""
    if not context.resume or not (folder / BUNDLE).exists():
        return None
    bundle = bundles.load_bundle(folder / BUNDLE)
    if bundle.key != stage_keys(config, context)["train"]:
        raise RunDirectoryError(
            f"{folder / BUNDLE}: was trained with another config or other data; use the same ones, or another --out"
        )
    return bundle
