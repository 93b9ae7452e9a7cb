"""Faults of stitching: what is placed where, with which weight, and what is said of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ptycho.testing.fault import Fault


def _last_chunk_dropped(original: Any) -> Any:
    """Drop the last, incomplete chunk of patches."""

    def chunks(self: Any, count: int = 256) -> Any:
        for chunk in original(self, count):
            if len(chunk.patches) == count or count >= len(self.patches):
                yield chunk

    return chunks


def _whole_chunks_modulo(original: Any) -> Any:
    """Pair patch i with position i modulo the number of groups."""

    def add(self: Any, values: Any, weights: Any, positions: Any) -> Any:
        half = positions[: max(1, len(positions) // 2)]
        return original(self, values, weights, np.resize(half, positions.shape))

    return add


def _outer_ring_dropped(original: Any) -> Any:
    """Take a patch that ends at the canvas's edge for one that reaches beyond it."""

    def add(self: Any, values: Any, weights: Any, positions: Any) -> Any:
        size = weights.shape[-1]
        corner = np.asarray(positions) - size // 2 - np.asarray(self.origin_xy)
        inside = (corner + size + 1 < np.array(self.shape)[::-1]).all(axis=1)
        kept = None if values is None else values[inside]
        return original(self, kept, weights[inside], positions[inside])

    return add


def _averaged(original: Any) -> Any:
    """Put the mean of all patches everywhere."""

    def add(self: Any, values: Any, weights: Any, positions: Any) -> Any:
        if values is not None:
            values = np.broadcast_to(values.mean(axis=0), values.shape)
        return original(self, values, weights, positions)

    return add


def _weighted_sum(canvas: Any) -> Any:
    real, imaginary, _ = canvas._sums[:, : canvas.shape[0], : canvas.shape[1]]
    return real + 1j * imaginary


def _unweighted_count(_: Any) -> Any:
    """Divide the sum by a count that has another support."""

    def merged(self: Any) -> Any:
        count = (self.weight > 0.5) + 1e-3
        return _weighted_sum(self) / count

    return merged


def _mirrored_canvas(original: Any) -> Any:
    """Place patches on the other side of the scan's centre."""

    def add(self: Any, values: Any, weights: Any, positions: Any) -> Any:
        middle = np.asarray(self.origin_xy) + (np.array(self.shape)[::-1] - weights.shape[-1] % 2) / 2
        return original(self, values, weights, 2 * middle - np.asarray(positions))

    return add


def _groups_only(original: Any) -> Any:
    """Place nothing where there is one patch only."""

    def add(self: Any, values: Any, weights: Any, positions: Any) -> Any:
        if len(weights) > 1:
            original(self, values, weights, positions)

    return add


def _nothing_outside(original: Any) -> Any:
    """Count nothing as lost."""

    def add(self: Any, values: Any, weights: Any, positions: Any) -> Any:
        original(self, values, weights, positions)
        self.outside, self.offered = 0, float(self.weight.sum())

    return add


def _cropped_again(original: Any) -> Any:
    """Crop patches that are whole."""

    def add(self: Any, values: Any, weights: Any, positions: Any) -> Any:
        return original(self, values, _middle(weights, weights.shape[-1] // 4), positions)

    return add


def _middle_of_20(original: Any) -> Any:
    """Place the middle 20 x 20 px of every patch, each pixel with the same weight."""

    def add(self: Any, values: Any, weights: Any, positions: Any) -> Any:
        edge = max((weights.shape[-1] - 20) // 2, 0)
        return original(self, values, _middle(np.ones_like(weights), edge), positions)

    return add


def _middle(weights: Any, edge: int) -> Any:
    """Return weights (b, M, M) that are zero within `edge` px of a patch's edge."""
    inside = slice(edge, weights.shape[-1] - edge)
    kept = np.zeros_like(weights)
    kept[:, inside, inside] = weights[:, inside, inside]
    return kept


def _not_divided(_: Any) -> Any:
    """Sum weighted patches and divide by nothing."""
    return _weighted_sum


def _layout_unchecked(_: Any) -> Any:
    """Take chunks of any layout."""
    return lambda self: None


def _numbers_for_nan(original: Any) -> Any:
    """Make numbers of what is none."""

    def stitch(prediction: Any, *rest: Any, **named: Any) -> Any:
        from dataclasses import replace

        return original(
            replace(prediction, patches=np.nan_to_num(prediction.patches, posinf=0, neginf=0)), *rest, **named
        )

    return stitch


def _said_off_by_one(original: Any) -> Any:
    """Say of the object that it begins a pixel later than it does."""

    def stitch(*args: Any, **named: Any) -> Any:
        from dataclasses import replace

        result = original(*args, **named)
        return replace(result, origin_xy=(result.origin_xy[0] + 1, result.origin_xy[1]))

    return stitch


def _between_pixels(_: Any) -> Any:
    """Centre a group's canvas on its mean position."""

    def canvas_offsets(offsets: Any, relative: Any) -> Any:
        return offsets, relative

    return canvas_offsets


ADD, MERGED = "ptycho.physics.stitching:Canvas.add", "ptycho.physics.stitching:Canvas.merged"
FAULTS = (
    Fault(
        "REASSEMBLY-BATCH-001",
        "last-chunk-dropped",
        "ptycho.physics.stitching:Prediction.chunks",
        _last_chunk_dropped,
    ),
    Fault(
        "TORCH-GS2-POSITION-OFFSETS-001",
        "modulo",
        "ptycho.physics.stitching:Canvas.add",
        _whole_chunks_modulo,
    ),
    Fault(
        "REASSEMBLY-BRIDGE-001/ring",
        "strict-bound",
        "ptycho.physics.stitching:Canvas.add",
        _outer_ring_dropped,
    ),
    Fault("PTYCHOVIT-ASSEMBLY-001", "averaged", "ptycho.physics.stitching:Canvas.add", _averaged),
    Fault(
        "TORCH-GS2-STITCH-001", "unequal-support", "ptycho.physics.stitching:Canvas.merged", _unweighted_count
    ),
    Fault("REASSEMBLY-METRIC-FRAME-001", "off-by-one", "ptycho.physics.stitching:stitch", _said_off_by_one),
    Fault("TORCH-REASSEMBLY-SIGN-001", "mirrored", ADD, _mirrored_canvas),
    Fault("STITCH-GRIDSIZE-001", "groups-only", ADD, _groups_only),
    Fault("STITCH-BLUR-001", "between-pixels", "ptycho.physics.coords:canvas_offsets", _between_pixels),
    Fault("DEBUG-SIM-LINES-DOSE-001/C1", "nothing-outside", ADD, _nothing_outside),
    Fault("REASSEMBLY-M-CONTRACT-001", "cropped-again", ADD, _cropped_again),
    Fault("REASSEMBLY-M-CONTRACT-001", "middle-of-20", ADD, _middle_of_20),
    Fault("REASSEMBLY-BRIDGE-001/norm", "not-divided", MERGED, _not_divided),
    Fault("TORCH-GS2-CENTRAL-MASK-MERGE-001", "unequal-support-stitched", MERGED, _unweighted_count),
    Fault(
        "TORCH-GS2-STITCH-001",
        "any-layout",
        "ptycho.physics.stitching:PatchChunk.__post_init__",
        _layout_unchecked,
    ),
    Fault(
        "TORCH-GS2-POSITION-OFFSETS-001",
        "any-layout",
        "ptycho.physics.stitching:PatchChunk.__post_init__",
        _layout_unchecked,
    ),
    Fault(
        "REASSEMBLY-BRIDGE-001/ring",
        "any-number",
        "ptycho.physics.stitching:Prediction.__post_init__",
        _layout_unchecked,
    ),
    Fault(
        "DEBUG-SIM-LINES-DOSE-001/success",
        "numbers-for-nan",
        "ptycho.physics.stitching:stitch",
        _numbers_for_nan,
    ),
)
