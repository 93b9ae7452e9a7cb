"""Faults of what moves arrays about: forward model, scales, groups, coordinates, stitching."""

from __future__ import annotations

from typing import Any

import numpy as np

from ptycho.testing.fault import Fault


def _no_unitary_factor(original: Any) -> Any:
    """Leave out the factor 1/N of a unitary transform."""
    return lambda patches, probe: original(patches, probe) * probe.shape[-1]


def _no_shift(original: Any) -> Any:
    """Leave the zero frequency in the corner."""
    return lambda patches, probe: np.fft.ifftshift(original(patches, probe), axes=(-2, -1))


def _coherent_modes(original: Any) -> Any:
    """Sum the fields of the modes before the modulus."""

    def far_field_amplitude(patches: Any, probe: Any) -> Any:
        return original(patches, probe.sum(axis=0, keepdims=True))

    return far_field_amplitude


def _first_mode(original: Any) -> Any:
    """Use the first mode only."""
    return lambda patches, probe: original(patches, probe[:1])


def _in_own_dtype(_: Any) -> Any:
    """Square counts in the type they come in."""
    return lambda diffraction: np.array([np.square(p).sum(dtype=np.float64) for p in diffraction])


def _all_patterns(original: Any) -> Any:
    """Take the mean over training and test patterns."""
    return lambda diffraction, rows=None: original(diffraction)


def _photon_formula(original: Any) -> Any:
    """Use the photons where the fixed energy belongs."""
    return lambda energy, N: original(energy, N) * np.sqrt(1e9) / (N / 2)


def _raw_formula(_: Any) -> Any:
    """Take the scale that is right for raw amplitudes, whatever they are multiplied with."""
    return lambda nphotons, N: float(np.sqrt(nphotons / 14481.9))


def _undone_without_g(_: Any) -> Any:
    """Leave the network's normalisation on the result."""

    def undo(self: Any, prediction: Any, trained_photon_scale: float) -> Any:
        return (prediction * trained_photon_scale / self.photon_scale).astype(prediction.dtype)

    return undo


def _undone_twice(original: Any) -> Any:
    """Undo the scales twice."""

    def undo(self: Any, prediction: Any, trained_photon_scale: float) -> Any:
        return original(self, original(self, prediction, trained_photon_scale), trained_photon_scale)

    return undo


def _untrained_scale(original: Any) -> Any:
    """Undo the initial photon scale and not the trained one."""

    def undo(self: Any, prediction: Any, trained_photon_scale: float) -> Any:
        return original(self, prediction, self.photon_scale)

    return undo


def _capped(original: Any) -> Any:
    """Deliver as many groups as there are patterns, and not a word."""

    def nearest_groups(
        positions: Any, channels: int, k: int, n: Any, rng: Any, *rest: Any, **named: Any
    ) -> Any:
        n = len(positions) if n is None else min(n, len(positions))
        return original(positions, channels, k, n, rng, *rest, **named)

    return nearest_groups


def _sentinel(original: Any) -> Any:
    """Ask the tree for more neighbours than there are."""

    def neighbours_of(tree: Any, positions: Any, seeds: Any, k: int) -> Any:
        _, found = tree.query(positions[seeds], k=k + 3)
        return found[:, 2:][:, :k]

    return neighbours_of


def _gridsize_one(original: Any) -> Any:
    """Group singly, whatever the gridsize."""
    return lambda raw, gridsize, *rest, **named: original(raw, 1, *rest, **named)


def _columns_first(_: Any) -> Any:
    """Count the channels of a group column by column."""
    return lambda channel, gridsize: divmod(channel, gridsize)[::-1]


def _mirrored(_: Any) -> Any:
    """Read positions as offset + relative."""
    return lambda offsets, relative: (offsets + relative)[:, 0].transpose(0, 2, 1).reshape(-1, 2)


def _swapped(original: Any) -> Any:
    """Take (x, y) for (y, x) where patches are cut out."""
    return lambda image, positions, size: original(image, np.asarray(positions)[:, ::-1], size)


def _swapped_windows(original: Any) -> Any:
    """Take (x, y) for (y, x) where patches are placed."""
    return lambda windows, top_left: original(windows, np.asarray(top_left)[:, ::-1])


def _uncentred(_: Any) -> Any:
    """Keep absolute positions where offsets from the group's centre are meant."""
    return lambda coords: (np.zeros((*coords.shape[:3], 1)), -coords)


def _plus_sign(original: Any) -> Any:
    """Turn the sign of the offsets within a group."""

    def group_offsets(coords: Any) -> Any:
        offsets, relative = original(coords)
        return offsets, -relative

    return group_offsets


def _to_smaller_indices(original: Any) -> Any:
    """Shift images towards smaller indices."""
    return lambda image, shift: original(image, (-shift[0], -shift[1]))


def _grid_canvas(original: Any) -> Any:
    """Size the canvas for a grid's step, whatever the positions are."""

    def canvas_frame(positions: Any, size: int) -> Any:
        centre = np.asarray(positions, float).mean(axis=0)
        low = np.floor(centre - 37).astype(int)
        original(positions, size)
        return (int(low[0]), int(low[1])), (74, 74)

    return canvas_frame


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
        size = values.shape[-1]
        corner = np.asarray(positions) - size // 2 - np.asarray(self.origin_xy)
        inside = (corner + size + 1 < np.array(self.shape)[::-1]).all(axis=1)
        return original(self, values[inside], weights[inside], positions[inside])

    return add


def _averaged(original: Any) -> Any:
    """Put the mean of all patches everywhere."""

    def add(self: Any, values: Any, weights: Any, positions: Any) -> Any:
        return original(self, np.broadcast_to(values.mean(axis=0), values.shape), weights, positions)

    return add


def _unweighted_count(_: Any) -> Any:
    """Divide the sum by a count that has another support."""

    def merged(self: Any) -> Any:
        count = (self.weight > 0.5) + 1e-3
        return self._sum[: self.shape[0], : self.shape[1]] / count

    return merged


def _slice_of_nothing(_: Any) -> Any:
    """Crop with x[c:-c]."""

    def centre_crop(image: Any, size: int) -> Any:
        margin = (image.shape[-1] - size) // 2
        return image[..., margin:-margin, margin:-margin]

    return centre_crop


def _real_part(original: Any) -> Any:
    """Drop the imaginary part, as a buffer of floats does."""
    return lambda obj, positions, size: original(np.asarray(obj).real, positions, size)


def _shared_generator(original: Any) -> Any:
    """Draw from numpy's global generator."""

    def choose(candidates: Any, size: int, rng: Any) -> Any:
        order = np.random.random(candidates.shape).argsort(axis=1)[:, :size]  # noqa: NPY002  the fault itself
        return np.take_along_axis(candidates, order, axis=1)

    return choose


FAULTS = (
    Fault("PTY-AT-001", "no-unitary-factor", "ptycho.forward:far_field_amplitude", _no_unitary_factor),
    Fault("PTY-AT-001", "no-shift", "ptycho.forward:far_field_amplitude", _no_shift),
    Fault("PROBE-MULTIMODE-001", "coherent-modes", "ptycho.forward:far_field_amplitude", _coherent_modes),
    Fault("PROBE-MULTIMODE-001", "first-mode-only", "ptycho.forward:far_field_amplitude", _first_mode),
    Fault(
        "NORMALIZE-DATA-UINT16-001", "square-before-cast", "ptycho.scaling:pattern_energies", _in_own_dtype
    ),
    Fault("CI-ABSOLUTE-SCALE-CONTRACT-001", "statistics-of-all", "ptycho.scaling:mean_energy", _all_patterns),
    Fault(
        "NORMALIZATION-001", "photons-in-the-statistics", "ptycho.scaling:statistical_scale", _photon_formula
    ),
    Fault(
        "DEBUG-SIM-LINES-DOSE-001/D4", "scale-of-another-array", "ptycho.scaling:closed_form", _raw_formula
    ),
    Fault("REASSEMBLY-BRIDGE-001/norm", "never-undone", "ptycho.scaling:Scales.undo", _undone_without_g),
    Fault("REASSEMBLY-BRIDGE-001/norm", "undone-twice", "ptycho.scaling:Scales.undo", _undone_twice),
    Fault("GAIN-NOT-UNDONE-001", "initial-scale", "ptycho.scaling:Scales.undo", _untrained_scale),
    Fault("OVERSAMPLING-001", "silent-cap", "ptycho.grouping:nearest_groups", _capped),
    Fault("DEBUG-SIM-LINES-DOSE-001/B1-A1b", "sentinel", "ptycho.grouping:_neighbours_of", _sentinel),
    Fault(
        "DEBUG-SIM-LINES-DOSE-001/B1-A1b", "global-generator", "ptycho.grouping:_choose", _shared_generator
    ),
    Fault("BUG-TF-001", "gridsize-one", "ptycho.grouping:group", _gridsize_one),
    Fault("BUG-TF-001", "columns-first", "ptycho.coords:channel_to_grid", _columns_first),
    Fault("NEW-LABEL-MIRROR", "offset-plus-relative", "ptycho.coords:member_positions", _mirrored),
    Fault("REASSEMBLY-BRIDGE-001/axis", "extraction", "ptycho.coords:extract_patches", _swapped),
    Fault("REASSEMBLY-BRIDGE-001/axis", "placement", "ptycho.coords:spread_windows", _swapped_windows),
    Fault("COORDS-RELATIVE (bug 2026-02-05)", "absolute", "ptycho.coords:group_offsets", _uncentred),
    Fault("TORCH-REASSEMBLY-SIGN-001", "plus", "ptycho.coords:group_offsets", _plus_sign),
    Fault("NEW-TRANSLATE-SIGN", "minus", "ptycho.coords:translate", _to_smaller_indices),
    Fault("DEBUG-SIM-LINES-DOSE-001/C1", "grid-canvas", "ptycho.coords:canvas_frame", _grid_canvas),
    Fault(
        "REASSEMBLY-BATCH-001",
        "last-chunk-dropped",
        "ptycho.stitching:Prediction.chunks",
        _last_chunk_dropped,
    ),
    Fault("TORCH-GS2-POSITION-OFFSETS-001", "modulo", "ptycho.stitching:Canvas.add", _whole_chunks_modulo),
    Fault("REASSEMBLY-BRIDGE-001/ring", "strict-bound", "ptycho.stitching:Canvas.add", _outer_ring_dropped),
    Fault("PTYCHOVIT-ASSEMBLY-001", "averaged", "ptycho.stitching:Canvas.add", _averaged),
    Fault("TORCH-GS2-STITCH-001", "unequal-support", "ptycho.stitching:Canvas.merged", _unweighted_count),
    Fault("NEW-TRIM-ZERO", "minus-zero", "ptycho.coords:centre_crop", _slice_of_nothing),
    Fault("NEW-COMPLEX-DTYPE", "real-buffer", "ptycho.coords:extract_patches", _real_part),
)
