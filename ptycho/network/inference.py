"""A trained model and groups of patterns -> object patches in the units of the scan's object."""

from __future__ import annotations

import math
import os
import tempfile
from dataclasses import replace
from typing import Any

import numpy as np

from ptycho.base import progress
from ptycho.base.errors import BundleError, RunDirectoryError
from ptycho.base.progress import Listener, Progress
from ptycho.network import backends, group_canvas
from ptycho.network import bundle as bundles
from ptycho.physics.stitching import Prediction
from ptycho.scan.groups import GroupedData, PtychoDataContainer
from ptycho.settings.sections import LossConfig

MEMORY_BYTES = 2**28
"""Arrays of predicted patches that are larger than this go to disk."""


def predict(
    bundle: bundles.Bundle, grouped: GroupedData, batch_size: int = 32, listener: Listener | None = None
) -> Prediction:
    """Predict all groups, batch by batch.

    Parameters
    ----------
    bundle : Bundle
    grouped : GroupedData
        Any number of groups.
    batch_size : int
        Groups computed at once; bounds the memory, not the result.
    listener : callable, optional
        Told about every batch.

    Raises
    ------
    BundleError
        The bundle was trained for another N or gridsize.
    """
    if grouped.N != bundle.N or grouped.gridsize != bundle.gridsize:
        raise BundleError(
            f"the bundle was trained for N = {bundle.N}, gridsize {bundle.gridsize} but the data are "
            f"N = {grouped.N}, gridsize {grouped.gridsize}"
        )
    count, size = len(grouped), min(batch_size, len(grouped))
    canvas_px = group_canvas.side_px(group_canvas.reach_px([grouped]), bundle.N, bundle.model.multiple)
    model = build_model(bundle, canvas_px)
    container = PtychoDataContainer(grouped, bundle.scales)
    patches = empty_array((count, canvas_px, canvas_px), np.complex64)
    weights = empty_array((count, canvas_px, canvas_px), np.float32)
    residual, energy = np.zeros(count), np.zeros(count)
    for start in range(0, count, size):
        rows = np.arange(start, min(start + size, count))
        with backends.single_precision():
            out = predict_rows(model, bundle, container, rows, size)
        patches[rows] = bundle.scales.undo(out["object"], bundle.trained_photon_scale)
        weights[rows] = out["weight"]
        difference = out["predicted"] - out["measured"]
        residual[rows] = np.square(difference, dtype=np.float64).sum(axis=(1, 2, 3))
        energy[rows] = np.square(out["measured"], dtype=np.float64).sum(axis=(1, 2, 3))
        progress.tell(listener, Progress("infer", int(rows[-1]) + 1, count))
    return Prediction(patches, weights, grouped.on_canvas[0][:, 0, :, 0], residual, energy)


def physics_alone(bundle: bundles.Bundle) -> bundles.Bundle:
    """Return a bundle that takes as many gradient steps as the network of `bundle`, and nothing that was learned.

    The null of training: whatever such a bundle reconstructs, physics knows.
    """
    model = bundle.model
    steps = model.warm_steps + model.steps + model.final_steps
    plain = {"architecture": "unrolled", "warm_steps": steps, "steps": 0, "final_steps": 0}
    return replace(
        bundle,
        model=model.model_copy(update=plain),
        weights={name: value for name, value in bundle.weights.items() if name.endswith("log_scale")},
    )


def empty_array(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Return an array to be filled: in memory, or where it is large on a file that vanishes with it.

    The array is of any shape.

    Raises RunDirectoryError where there is no room for it.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= MEMORY_BYTES:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile(prefix="ptycho-") as stream:
            # A file with holes would kill the process by a signal where the disk is full.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, size)
            return np.memmap(stream, dtype=dtype, mode="w+", shape=shape)
    except OSError as error:
        raise RunDirectoryError(
            f"the predicted patches need {size / 2**30:.1f} GiB in {tempfile.gettempdir()}: {error.strerror}; set TMPDIR "
            "to a folder with more room, or reconstruct fewer patterns at once"
        ) from None


def build_model(bundle: bundles.Bundle, canvas_px: int) -> Any:
    """Rebuild the network of a bundle for group canvases of `canvas_px`, with the bundle's weights.

    Raises ConfigError in a process that was forked from one that has used a network.
    """
    from ptycho.network import network

    backends.check_process()
    # Neither the loss nor the seed of the initial weights matters to a model whose weights are set.
    model = network.PtychoModel(
        bundle.model,
        LossConfig(),
        channels=bundle.gridsize**2,
        canvas_px=canvas_px,
        photon_scale=bundle.scales.photon_scale,
        object_unit=bundle.scales.object_unit,
    )
    model.jit_compile = backends.compiles(backends.backend())
    bundles.set_weights(model, bundle.weights)
    return model


def predict_rows(
    model: Any, bundle: bundles.Bundle, container: PtychoDataContainer, rows: np.ndarray, size: int
) -> dict[str, np.ndarray]:
    """Predict the groups `rows`; a partial batch is filled up to `size`, so that one graph serves all.

    `rows` are (b,) int64; every array that comes back has b entries along its first axis, see
    :class:`ptycho.physics.stitching.Prediction`: (b, M, M) and (b,).
    """
    from ptycho.network import network

    filled = np.resize(rows, size)
    out = model.predict_on_batch(network.model_inputs(container.batch(filled), bundle.probe))
    out = {name: np.asarray(value)[: len(rows)] for name, value in out.items()}
    out["object"] = (out["real"] + 1j * out["imaginary"]).astype(np.complex64)
    return out
