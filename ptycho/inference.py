"""A trained model and groups of patterns -> a stream of object patches in the units of the scan's object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ptycho.data import GroupedData, PtychoDataContainer
from ptycho.errors import BundleError
from ptycho.model import bundle as bundles
from ptycho.model import canvas
from ptycho.stitching import PatchChunk, Prediction


def predict(bundle: bundles.Bundle, grouped: GroupedData, batch_size: int = 32) -> Prediction:
    """Prepare the prediction of all groups; the network runs when the stream is read, batch by batch.

    Parameters
    ----------
    bundle : Bundle
    grouped : GroupedData
        Any number of groups.
    batch_size : int
        Groups computed at once; bounds the memory, not the result.

    Raises
    ------
    BundleError
        The bundle was trained for another N or gridsize.
    """
    trained = bundle.config
    if grouped.raw.N != trained.N or grouped.gridsize != trained.gridsize:
        raise BundleError(
            f"the bundle was trained for N = {trained.N}, gridsize {trained.gridsize} but the data are "
            f"N = {grouped.raw.N}, gridsize {grouped.gridsize}"
        )
    side = canvas.canvas_side(canvas.reach_px([grouped]), trained.N, trained.model.levels)
    positions = grouped.coords_offsets[:, 0, :, 0]

    def chunks() -> Iterator[PatchChunk]:
        model = build_model(bundle, side)
        container = PtychoDataContainer(grouped, bundle.scales)
        size = min(batch_size, len(grouped))
        for start in range(0, len(grouped), size):
            rows = np.arange(start, min(start + size, len(grouped)))
            yield _predict_chunk(model, bundle, container, rows, size, positions[rows])

    return Prediction(positions=positions, size=side, chunks=chunks)


def build_model(bundle: bundles.Bundle, side: int) -> Any:
    """Rebuild the network of a bundle for group canvases of `side` px, with the bundle's weights."""
    from ptycho.model.network import PtychoModel

    model = PtychoModel(
        bundle.config.model,
        bundle.config.training.loss,
        channels=bundle.config.channels,
        canvas=side,
        intensity=bundle.scales.intensity,
        object_unit=bundle.scales.object_unit,
        seed=bundle.config.seed,
    )
    bundles.set_weights(model, bundle.weights)
    return model


def _predict_chunk(
    model: Any,
    bundle: bundles.Bundle,
    container: PtychoDataContainer,
    rows: np.ndarray,
    size: int,
    positions: np.ndarray,
) -> PatchChunk:
    """Predict the groups `rows`; a partial batch is filled up to `size`, so that one graph serves all."""
    from ptycho.model.network import model_inputs

    filled = np.resize(rows, size)
    out = model.predict_on_batch(model_inputs(container.batch(filled), bundle.probe))
    out = {name: np.asarray(value)[: len(rows)] for name, value in out.items()}
    patches = (out["real"] + 1j * out["imaginary"]).astype(np.complex64)
    residual = np.square(out["predicted"] - out["measured"], dtype=np.float64).sum()
    return PatchChunk(
        patches=bundle.scales.undo(patches, bundle.trained_intensity),
        weights=out["weight"],
        positions=positions,
        residual=float(residual),
        energy=float(np.square(out["measured"], dtype=np.float64).sum()),
    )
