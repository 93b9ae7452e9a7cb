"""Faults of looking at a scan: damage that goes unnoticed, masks that are forgotten, values that are read the wrong way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ptycho.scan.formats import detector
from ptycho.testing.fault import Fault


def _unnoticed(_: Any) -> Any:
    """Notice nothing."""
    return lambda *_: iter(())


def _no_gaps(_: Any) -> Any:
    """Take the dark between modules for darkness."""
    return lambda total, light, good: np.zeros(total.shape, bool)


def _always_centred(_: Any) -> Any:
    """Believe that the beam hits the middle of the detector."""
    return lambda raw: (0, 0)


def _noticed_and_kept(_: Any) -> Any:
    """Say what is bad and use it all the same."""
    return lambda damage, kept: damage.where[:0]


def _values_as_they_are(_: Any) -> Any:
    """Take the roots of whatever a file holds."""

    def read(patterns: Any, intensity: bool, mask: Any) -> Any:
        values = patterns.astype(np.float64)
        with np.errstate(invalid="ignore"):
            amplitudes = np.sqrt(values) if intensity else values
        bad = np.zeros(patterns.shape[1:], bool) if mask is None else mask
        return detector.Patterns(amplitudes.astype(np.float32), bad)

    return read


def _first_axis(_: Any) -> Any:
    """Take the first axis of a cube for the scan, whatever it is."""
    return lambda scan, cube, intensity: scan


def _last_axis(_: Any) -> Any:
    """Take the last axis of a cube for the scan, whatever it is."""
    return lambda scan, cube, intensity: scan.derived(diff3d=np.moveaxis(cube, -1, 0))


def _mask_forgotten(original: Any) -> Any:
    """Take what is masked for measured darkness, in what is fed a scan."""

    def without(*arguments: Any, **named: Any) -> Any:
        believed = [
            each.derived(bad_pixels=None) if getattr(each, "bad_pixels", None) is not None else each
            for each in arguments
        ]
        return original(*believed, **named)

    return without


def _fed_as_dark(original: Any) -> Any:
    """Feed the network darkness where nothing was measured."""

    def batch(self: Any, rows: Any) -> Any:
        result = original(self, rows)
        return {**result, "amplitude": np.maximum(result["amplitude"], 0)}

    return batch


def _dark_in_the_step(original: Any) -> Any:
    """Make a gradient step towards darkness where nothing was measured."""

    def step(obj: Any, amplitude: Any, *rest: Any) -> Any:
        return original(obj, (amplitude + abs(amplitude)) / 2, *rest)

    return step


def _mask_stays(original: Any) -> Any:
    """Correct the patterns and leave the mask where it was."""

    def correct(raw: Any, text: str) -> Any:
        corrected = original(raw, text)
        return corrected.derived(bad_pixels=raw.bad_pixels)

    return correct


def _judged_half(_: Any) -> Any:
    """Leave the object of the part that was held out, as that of the scan."""
    return lambda inputs, params, execution: inputs["stitch"]


def _scan_forgotten(_: Any) -> Any:
    """Look for no scan of a finished run."""
    return lambda folder, record, data=None: (None, "")


def _solution_of_all(original: Any) -> Any:
    """Take a solution's positions for those of the first frames of the scan."""

    def with_solution(scan: Any, solution: Any, source: str) -> Any:
        made_from = {**solution.reconstruction.made_from}
        made_from["rows"] = f"0-{len(solution.positions) - 1}"
        return original(
            scan,
            replace(solution, reconstruction=replace(solution.reconstruction, made_from=made_from)),
            source,
        )

    return with_solution


def _solution_forgotten(original: Any) -> Any:
    """Read the scan of a finished run as its file has it, whatever it was solved to."""
    return lambda folder, record, data=None: original(folder / "nowhere", record, data)


def _never_first(_: Any) -> Any:
    """Train under the probe of the file."""
    return lambda request: False


def _no_guess_remembered(original: Any) -> Any:
    """Forget which probe the file of the training had."""
    return lambda scan, bundle, config, about: original(scan, bundle, config, {})


FRAMES, PIXELS = "ptycho.scan.odd_frames:", "ptycho.scan.odd_pixels:"


def _any_width(original: Any) -> Any:
    """Take every beam for one that fits."""
    return lambda raw: None


FAULTS = (
    Fault("NEAR-FIELD-001", "any-width", "ptycho.scan.near_field:check", _any_width),
    Fault("DARK-FRAMES-001", "unnoticed", f"{FRAMES}dark_frames", _unnoticed),
    Fault("DARK-FRAMES-001", "kept", "ptycho.scan.inspection:leave_out", _noticed_and_kept),
    Fault("FLASH-FRAMES-001", "unnoticed", f"{FRAMES}flash_frames", _unnoticed),
    Fault("SATURATED-001", "unnoticed", f"{FRAMES}saturated_frames", _unnoticed),
    Fault("REPEATED-FRAMES-001", "unnoticed", f"{FRAMES}repeated_frames", _unnoticed),
    Fault("SHIFTED-FRAMES-001", "unnoticed", f"{FRAMES}shifted_frames", _unnoticed),
    Fault("HOT-PIXELS-001", "unnoticed", f"{PIXELS}hot_pixels", _unnoticed),
    Fault("DEAD-PIXELS-001", "unnoticed", f"{PIXELS}dead_pixels", _unnoticed),
    Fault("DETECTOR-GAP-001", "unnoticed", f"{PIXELS}gaps", _no_gaps),
    Fault("OVERFLOW-001", "unnoticed", f"{PIXELS}overflowing", _unnoticed),
    Fault("BEAM-CENTRE-001", "never-off", "ptycho.scan.geometry:beam_centre", _always_centred),
    Fault("COUNTS-READ-001", "unnoticed", "ptycho.scan.counting:look", _unnoticed),
    Fault("GAP-CODES-001", "as-they-are", "ptycho.scan.formats.detector:read", _values_as_they_are),
    Fault("NEGATIVE-COUNTS-001", "as-they-are", "ptycho.scan.formats.detector:read", _values_as_they_are),
    Fault("CUBE-AXIS-001", "first", "ptycho.scan.formats.npz:turned", _first_axis),
    Fault("CUBE-AXIS-001", "last", "ptycho.scan.formats.npz:turned", _last_axis),
    Fault("MASK-EVERYWHERE-001", "geometry", "ptycho.scan.geometry:fit_error", _mask_forgotten),
    Fault("MASK-EVERYWHERE-001", "corrections", "ptycho.scan.geometry:correct", _mask_stays),
    Fault("MASK-EVERYWHERE-001", "solver", "ptycho.solve.engine:solve", _mask_forgotten),
    Fault("MASK-EVERYWHERE-001", "metrics", "ptycho.evaluation.consistency:data_error", _mask_forgotten),
    Fault("MASK-EVERYWHERE-001", "fed", "ptycho.scan.groups:PtychoDataContainer.batch", _fed_as_dark),
    Fault("MASK-EVERYWHERE-001", "step", "ptycho.network.physics:gradient_step", _dark_in_the_step),
    Fault(
        "LEFT-OUT-POSITIONS-001", "from-the-first", "ptycho.runs.illumination:with_solution", _solution_of_all
    ),
    Fault("GUESSED-PROBE-001", "as-the-file-says", "ptycho.runs.illumination:solves_first", _never_first),
    Fault("GUESSED-PROBE-001", "guess-forgotten", "ptycho.runs.illumination:of_bundle", _no_guess_remembered),
    Fault("GUESSED-PROBE-001", "solution-forgotten", "ptycho.runs.prepare:scan_of_run", _solution_forgotten),
    Fault("SCAN-SHORTCOMINGS-001", "unnoticed", "ptycho.scan.shortcomings:look", _unnoticed),
    Fault("WHOLE-SCAN-001", "judged-half", "ptycho.stages.whole:run", _judged_half),
    Fault("ASKED-RUN-001", "scan-forgotten", "ptycho.runs.prepare:scan_of_run", _scan_forgotten),
)
