"""Faults of what moves arrays about: forward model, scales, groups, coordinates."""

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
        _, result = tree.query(positions[seeds], k=k + 3)
        return result[:, 2:][:, :k]

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


def _probe_normalised(original: Any) -> Any:
    """Normalise the probe within the forward model."""
    return lambda patches, probe: original(patches, probe / np.abs(probe).max())


def _sums_in_own_dtype(_: Any) -> Any:
    """Sum products in the type that they come in."""

    def least_squares_factor(prediction: Any, truth: Any) -> float:
        return float((prediction * truth).sum() / (prediction * prediction).sum())

    return least_squares_factor


def _measured_twice(original: Any) -> Any:
    """Normalise what is normalised, when the scales are measured."""

    def measure(*args: Any, **named: Any) -> Any:
        from dataclasses import replace

        result = original(*args, **named)
        return replace(result, photon_scale=result.photon_scale / result.statistical)

    return measure


def _source_unsaid(original: Any) -> Any:
    """Say of every photon scale that it was recorded."""

    def measure(*args: Any, **named: Any) -> Any:
        from dataclasses import replace

        return replace(original(*args, **named), source="recorded")

    return measure


def _no_statistics(_: Any) -> Any:
    """Feed amplitudes as they are."""
    return lambda energy, N: 1.0


def _closed_form_undone(original: Any) -> Any:
    """Undo a photon scale that is one per cent off the measured one, whatever the trained one is."""

    def undo(self: Any, prediction: Any, trained_photon_scale: float) -> Any:
        return original(self, prediction, self.photon_scale * 1.01)

    return undo


def _first_groups_again(original: Any) -> Any:
    """Give the groups of the first call again."""
    kept: list[Any] = []

    def group(*args: Any, **named: Any) -> Any:
        kept.append(original(*args, **named))
        return kept[0]

    return group


def _filled_with_repeats(original: Any) -> Any:
    """Fill groups up with repeats where there are too few patterns."""

    def group(raw: Any, gridsize: int, config: Any, **named: Any) -> Any:
        from ptycho.base.errors import GroupingError
        from ptycho.scan.groups import GroupedData

        try:
            return original(raw, gridsize, config, **named)
        except GroupingError:
            return GroupedData(raw, gridsize, np.zeros((1, gridsize**2), int))

    return group


def _few_will_do(original: Any) -> Any:
    """Draw members among fewer neighbours than a group has, with repeats."""

    def nearest_groups(positions: Any, channels: int, k: int, *rest: Any, **named: Any) -> Any:
        result = original(positions, channels, max(k, channels), *rest, **named)
        return result if k >= channels else np.sort(result, axis=1)

    return nearest_groups


def _last_combination_missing(original: Any) -> Any:
    """Draw one combination for several ranks."""
    return lambda k, size, total, wanted, rng: original(k, size, total, wanted, rng) * 0 + np.arange(size)


def _channel_major(_: Any) -> Any:
    """Flatten groups channel by channel."""
    return lambda groups: np.moveaxis(groups, -1, 0).reshape(-1, *groups.shape[1:3])


def _to_the_first_member(_: Any) -> Any:
    """Take offsets from a group's first member for those from its centre."""
    return lambda coords: (coords[..., :1], -(coords - coords[..., :1]))


FAULTS = (
    Fault(
        "PTY-AT-001", "no-unitary-factor", "ptycho.physics.forward:far_field_amplitude", _no_unitary_factor
    ),
    Fault("PTY-AT-001", "no-shift", "ptycho.physics.forward:far_field_amplitude", _no_shift),
    Fault(
        "PROBE-MULTIMODE-001", "coherent-modes", "ptycho.physics.forward:far_field_amplitude", _coherent_modes
    ),
    Fault(
        "PROBE-MULTIMODE-001", "first-mode-only", "ptycho.physics.forward:far_field_amplitude", _first_mode
    ),
    Fault(
        "NORMALIZE-DATA-UINT16-001",
        "square-before-cast",
        "ptycho.physics.scaling:pattern_energies",
        _in_own_dtype,
    ),
    Fault(
        "CI-ABSOLUTE-SCALE-CONTRACT-001",
        "statistics-of-all",
        "ptycho.physics.scaling:mean_energy",
        _all_patterns,
    ),
    Fault(
        "NORMALIZATION-001",
        "photons-in-the-statistics",
        "ptycho.physics.scaling:statistical_scale",
        _photon_formula,
    ),
    Fault(
        "DEBUG-SIM-LINES-DOSE-001/D4",
        "scale-of-another-array",
        "ptycho.physics.scaling:closed_form",
        _raw_formula,
    ),
    Fault(
        "REASSEMBLY-BRIDGE-001/norm", "never-undone", "ptycho.physics.scaling:Scales.undo", _undone_without_g
    ),
    Fault("REASSEMBLY-BRIDGE-001/norm", "undone-twice", "ptycho.physics.scaling:Scales.undo", _undone_twice),
    Fault("GAIN-NOT-UNDONE-001", "initial-scale", "ptycho.physics.scaling:Scales.undo", _untrained_scale),
    Fault("OVERSAMPLING-001", "silent-cap", "ptycho.scan.grouping:nearest_groups", _capped),
    Fault("DEBUG-SIM-LINES-DOSE-001/B1-A1b", "sentinel", "ptycho.scan.grouping:neighbours_of", _sentinel),
    Fault(
        "DEBUG-SIM-LINES-DOSE-001/B1-A1b",
        "global-generator",
        "ptycho.scan.grouping:choose",
        _shared_generator,
    ),
    Fault("BUG-TF-001", "gridsize-one", "ptycho.scan.grouping:group", _gridsize_one),
    Fault("BUG-TF-001", "columns-first", "ptycho.physics.coords:channel_to_grid", _columns_first),
    Fault("NEW-LABEL-MIRROR", "offset-plus-relative", "ptycho.physics.coords:member_positions", _mirrored),
    Fault("REASSEMBLY-BRIDGE-001/axis", "extraction", "ptycho.physics.coords:extract_patches", _swapped),
    Fault(
        "REASSEMBLY-BRIDGE-001/axis", "placement", "ptycho.physics.coords:spread_windows", _swapped_windows
    ),
    Fault("COORDS-RELATIVE (bug 2026-02-05)", "absolute", "ptycho.physics.coords:group_offsets", _uncentred),
    Fault("TORCH-REASSEMBLY-SIGN-001", "plus", "ptycho.physics.coords:group_offsets", _plus_sign),
    Fault("NEW-TRANSLATE-SIGN", "minus", "ptycho.physics.coords:translate", _to_smaller_indices),
    Fault("DEBUG-SIM-LINES-DOSE-001/C1", "grid-canvas", "ptycho.physics.coords:canvas_frame", _grid_canvas),
    Fault("NEW-TRIM-ZERO", "minus-zero", "ptycho.physics.coords:centre_crop", _slice_of_nothing),
    Fault("NEW-COMPLEX-DTYPE", "real-buffer", "ptycho.physics.coords:extract_patches", _real_part),
    Fault(
        "CI-ABSOLUTE-SCALE-CONTRACT-001",
        "probe-normalised",
        "ptycho.physics.forward:far_field_amplitude",
        _probe_normalised,
    ),
    Fault(
        "NORMALIZE-DATA-UINT16-001",
        "fit-in-own-dtype",
        "ptycho.physics.scaling:least_squares_factor",
        _sums_in_own_dtype,
    ),
    Fault(
        "BUG-DOUBLE-NORMALIZATION-001", "measured-twice", "ptycho.physics.scaling:measure", _measured_twice
    ),
    Fault("POISSON-SCALE-001", "source-unsaid", "ptycho.physics.scaling:measure", _source_unsaid),
    Fault("POISSON-NORM-001", "no-statistics", "ptycho.physics.scaling:statistical_scale", _no_statistics),
    Fault(
        "DEBUG-SIM-LINES-DOSE-001/D4",
        "no-statistics",
        "ptycho.physics.scaling:statistical_scale",
        _no_statistics,
    ),
    Fault(
        "DEBUG-SIM-LINES-DOSE-001/D4",
        "closed-form-undone",
        "ptycho.physics.scaling:Scales.undo",
        _closed_form_undone,
    ),
    Fault("CONFIG-001", "first-groups-again", "ptycho.scan.grouping:group", _first_groups_again),
    Fault("DEBUG-SIM-LINES-DOSE-001/B1-A1b", "repeats", "ptycho.scan.grouping:group", _filled_with_repeats),
    Fault(
        "OVERSAMPLING-001",
        "one-combination",
        "ptycho.scan.grouping:distinct_combinations",
        _last_combination_missing,
    ),
    Fault(
        "DEBUG-SIM-LINES-DOSE-001/B1-A1b", "few-will-do", "ptycho.scan.grouping:nearest_groups", _few_will_do
    ),
    Fault("BUG-TF-001", "channel-major", "ptycho.physics.coords:channels_to_flat", _channel_major),
    Fault("BASELINE-OFFSET-001", "first-member", "ptycho.physics.coords:group_offsets", _to_the_first_member),
)
