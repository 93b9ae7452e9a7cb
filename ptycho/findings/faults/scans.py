"""Faults of configs, files and simulated scans."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ptycho.physics import forward
from ptycho.testing.fault import Fault


def _amplitude_noise(original: Any) -> Any:
    """Draw Poisson noise on the amplitude."""

    def observe(obj: Any, where: Any, probe: Any, nphotons: float, rng: Any) -> Any:
        clean, s = original(obj, where, probe, nphotons, None)
        return (clean if rng is None else (rng.poisson(clean * s) / s).astype(np.float32)), s

    return observe


def _unscaled(original: Any) -> Any:
    """Leave the photon scale in the amplitudes."""

    def observe(*args: Any) -> Any:
        amplitudes, s = original(*args)
        return (amplitudes * s).astype(np.float32), s

    return observe


def _single_rates(original: Any) -> Any:
    """Compute the rates in single precision."""

    def observe(obj: Any, where: Any, probe: Any, nphotons: float, rng: Any) -> Any:
        clean, s = original(obj, where, probe, nphotons, None)
        if rng is not None:
            amplitudes = forward.scan_amplitudes(obj.astype(np.complex64), where, probe.astype(np.complex64))
            clean = np.concatenate(
                [np.sqrt(rng.poisson((a.astype(float) * s) ** 2)) / s for _, a in amplitudes]
            )
        return clean.astype(np.float32), s

    return observe


def _fixed_counts(original: Any) -> Any:
    """Dose by a fixed number of counts a pixel and keep the request in the metadata."""
    return lambda obj, where, probe, nphotons, rng: original(
        obj, where, probe, 108.0 * probe.shape[-1] ** 2, rng
    )


def _lit_truth(original: Any) -> Any:
    """Store what the probe lights as the object."""

    def simulate_scan(config: Any) -> Any:
        raw = original(config)
        return replace(raw, object_guess=raw.object_guess * np.abs(raw.probe).max())

    return simulate_scan


def _masked(_: Any) -> Any:
    """Mask unless told otherwise."""

    def prepare_probe(probe: Any, config: Any) -> Any:
        from ptycho.physics import probes

        return (probe * probes.normalization_mask(probe.shape[-1])).astype(np.complex64)

    return prepare_probe


def _mask_first(original: Any) -> Any:
    """Mask, then smooth."""

    def prepare_probe(probe: Any, config: Any) -> Any:
        from ptycho.physics import probes

        if config.mask and config.smoothing_sigma_px:
            probe = probe * probes.normalization_mask(probe.shape[-1])
            return original(probe, config.model_copy(update={"mask": False}))
        return original(probe, config)

    return prepare_probe


def _divided_twice(original: Any) -> Any:
    """Divide the probe by its scale twice."""
    return lambda probe, scale: original(probe, scale) / scale


def _guess_by_size(_: Any) -> Any:
    """Take the shorter axis of a stack for the number of patterns."""
    return lambda stack, count: np.moveaxis(stack, -1, 0) if stack.shape[0] < stack.shape[-1] else stack


def _never_moved(_: Any) -> Any:
    """Take every stack for one whose patterns come first."""
    return lambda stack, count: stack


def _intensity_written(original: Any) -> Any:
    """Write intensities under the name of amplitudes."""
    return lambda path, raw: original(path, replace(raw, diff3d=raw.diff3d**2))


def _nominal_positions(original: Any) -> Any:
    """Read both positions from the same key."""

    def take(path: Any, arrays: Any, *rest: Any) -> Any:
        arrays = {**arrays, "xcoords_start": arrays["xcoords"], "ycoords_start": arrays["ycoords"]}
        return original(path, arrays, *rest)

    return take


def _frame_unchecked(_: Any) -> Any:
    """Take every position for one inside the object."""
    return lambda positions, shape, margin_px=0.0: np.ones(len(positions), bool)


def _positions_unsliced(original: Any) -> Any:
    """Slice patterns and leave positions as they were."""

    def take(self: Any, rows: Any) -> Any:
        part = original(self, rows)
        return replace(part, xcoords=self.xcoords[: len(part)], ycoords=self.ycoords[: len(part)])

    return take


def _complement(original: Any) -> Any:
    """Take the share that trains for the one that tests."""

    def run(inputs: Any, params: Any, execution: Any) -> Any:
        result = original(inputs, params, execution)
        return replace(result, train_rows=result.test_rows, test_rows=result.train_rows)

    return run


def _bool_of_text(original: Any) -> Any:
    """Read booleans with bool()."""

    def parse_override(text: str) -> Any:
        path, value = original(text)
        return path, bool(text.partition("=")[2]) if isinstance(value, bool) else value

    return parse_override


def _profile_wins(original: Any) -> Any:
    """Forget the overrides."""
    return lambda values, profile=None, overrides=(), source="scenario": original(values, profile, (), source)


def _corner_of_four(_: Any) -> Any:
    """Put the mask's centre on a pixel."""

    def normalization_mask(N: int) -> Any:
        offset = np.arange(N) - N / 2
        return np.hypot(offset[:, None], offset[None, :]) < N // 4

    return normalization_mask


def _masked_from_the_start(original: Any) -> Any:
    """Cut the disk out of the probe when it is made."""

    def zone_plate_probe(N: int) -> Any:
        from ptycho.physics import probes

        return original(N) * probes.normalization_mask(N)

    return zone_plate_probe


def _height_for_width(original: Any) -> Any:
    """Keep the buffer of the other axis."""
    return lambda count, shape, buffer_px, seed: original(count, shape[::-1], buffer_px, seed)


def _columns_of_groups(original: Any) -> Any:
    """Run along columns."""
    return lambda *args, **named: original(*args, **named)[:, ::-1]


def _columns_first(original: Any) -> Any:
    """Draw columns before rows."""
    return lambda size, seed: original(size, seed).T


def _another_seed(original: Any) -> Any:
    """Draw the numbers of another seed."""
    return lambda size, seed: original(size, seed + 1)


FAULTS = (
    Fault("PTY-AT-002", "noise-on-amplitudes", "ptycho.scan.simulate:observe", _amplitude_noise),
    Fault("NOISE-BY-ROUNDING-001", "single", "ptycho.scan.simulate:observe", _single_rates),
    Fault("PTY-AT-020", "scale-left-in", "ptycho.scan.simulate:observe", _unscaled),
    Fault("SYNTH-POISSON-DOSE-001", "fixed-counts", "ptycho.scan.simulate:observe", _fixed_counts),
    Fault("SIM-LABELS-ILLUMINATED-001", "lit-truth", "ptycho.scan.simulate:simulate_scan", _lit_truth),
    Fault("PROBE-MASK-DEFAULT-001", "always-masked", "ptycho.physics.probes:prepare_probe", _masked),
    Fault(
        "GRIDLINES-PROBE-PIPELINE-001",
        "mask-before-smoothing",
        "ptycho.physics.probes:prepare_probe",
        _mask_first,
    ),
    Fault(
        "RECT-PROBE-SCALE-DOUBLE-DIV-001",
        "divided-twice",
        "ptycho.physics.probes:normalize_probe",
        _divided_twice,
    ),
    Fault("FORMAT-001", "guess-by-size", "ptycho.scan.formats.npz:canonical_stack", _guess_by_size),
    Fault("FORMAT-001", "never-moved", "ptycho.scan.formats.npz:canonical_stack", _never_moved),
    Fault("DATA-001", "intensity-written", "ptycho.scan.formats.npz:write_npz", _intensity_written),
    Fault("TF-LOADER-COORDS-001", "one-key-for-both", "ptycho.scan.formats.npz:scan_of", _nominal_positions),
    Fault("PTYCHOVIT-FRAME-001", "unchecked", "ptycho.physics.coords:inside_object", _frame_unchecked),
    Fault("NEW-SPLIT-ALIGN", "positions-unsliced", "ptycho.scan.raw:RawData.take", _positions_unsliced),
    Fault("SPLIT-SHARE-001", "complement", "ptycho.stages.split:run", _complement),
    Fault("NEW-CLI-PRECEDENCE", "bool-of-text", "ptycho.settings.layers:parse_override", _bool_of_text),
    Fault("NEW-CLI-PRECEDENCE", "overrides-forgotten", "ptycho.settings.layers:resolve", _profile_wins),
    Fault(
        "PROBE-MASK-DEFAULT-001", "on-a-pixel", "ptycho.physics.probes:normalization_mask", _corner_of_four
    ),
    Fault(
        "PROBE-MASK-DEFAULT-001",
        "from-the-start",
        "ptycho.physics.probes:zone_plate_probe",
        _masked_from_the_start,
    ),
    Fault(
        "REASSEMBLY-BRIDGE-001/axis",
        "buffer",
        "ptycho.scan.positions:nongrid_positions",
        _height_for_width,
    ),
    Fault("BUG-TF-001", "along-columns", "ptycho.scan.positions:grid_positions", _columns_of_groups),
    Fault("LINES-OBJECT-DRAW-001", "columns-first", "ptycho.scan.objects:lines_object", _columns_first),
    Fault("LINES-OBJECT-DRAW-001", "another-seed", "ptycho.scan.objects:lines_object", _another_seed),
)
