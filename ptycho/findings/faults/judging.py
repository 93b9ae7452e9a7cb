"""Faults of what judges: evaluation, gates, schedules, run directories."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ptycho.testing.fault import Fault


def _centre_of_the_truth(original: Any) -> Any:
    """Crop the truth about its own centre."""

    def compare_frames(reconstruction: Any, truth: Any, *rest: Any) -> Any:
        height, width = reconstruction.object.shape
        centre = ((truth.shape[1] - width) // 2, (truth.shape[0] - height) // 2)
        return original(replace(reconstruction, origin_xy=centre), truth, *rest)

    return compare_frames


def _global_phase_kept(original: Any) -> Any:
    """Let the FRC see the global phase."""

    def fourier_ring_correlation(pair: Any) -> Any:
        frequencies, frc = original(pair)
        product = pair.prediction[pair.mask] * np.conj(pair.truth[pair.mask])
        return frequencies, frc * np.cos(np.angle(product.sum()))

    return fourier_ring_correlation


def _first_below(_: Any) -> Any:
    """Take the first ring below the level."""

    def cutoff(frequencies: Any, frc: Any, level: Any) -> float:
        below = np.flatnonzero(frc < level)
        return float(frequencies[below[0]]) if len(below) else 0.5

    return cutoff


def _any_small_error(_: Any) -> Any:
    """Hold the data error against a fixed number."""

    def consistency_verdict(data: Any, most: float, oracle: Any = None) -> Any:
        from ptycho.evaluation import gates

        return gates.limit_verdict("data_consistency", data["stitched_error"], 0.05, "max", "data error")

    return consistency_verdict


def _root_of_the_mean(_: Any) -> Any:
    """Take the root of the mean counts for the mean of their roots."""
    return lambda root: root


def _no_map(_: Any) -> Any:
    """Look for no affine map of the positions."""
    return lambda positions, moves: np.zeros_like(moves)


def _least_bad(_: Any) -> Any:
    """Recommend the best reading, whether it explains anything or not."""

    def recommended(comparison: Any, least: float = 0.85) -> tuple[str, ...]:
        nulls = ("given", "shuffled", "affine")
        others = {name: error for name, error in comparison.errors.items() if name not in nulls}
        return (min(others, key=others.__getitem__),) if others else ()

    return recommended


def _shift_negated(original: Any) -> Any:
    """Register the wrong way."""

    def find_shift(pair: Any) -> Any:
        x, y = original(pair)
        return -x, -y

    return find_shift


def _flat_is_fine(_: Any) -> Any:
    """Score degenerate images."""
    return lambda a, b: float(np.nan_to_num(np.corrcoef(a, b)[0, 1], nan=1.0)) if a.std() * b.std() else 1.0


def _cropped_side(original: Any) -> Any:
    """Fit with one side taken at another scale."""
    return lambda prediction, truth: original(prediction / 4.7, truth)


def _groups_with_themselves(original: Any) -> Any:
    """Compare the number of groups with itself."""

    def judge(
        reconstruction: Any, evaluation: Any, result: Any, bundle: Any, requested: int, *more: Any
    ) -> Any:
        return original(reconstruction, evaluation, result, bundle, reconstruction.n_patches, *more)

    return judge


def _nothing_to_learn(original: Any) -> Any:
    """Let every training pass."""

    def learned(bundle: Any, noise: float, most: float) -> Any:
        return original(replace(bundle, trained_error=0.0 * bundle.untrained_error), noise, most)

    return learned


def _given_is_right(original: Any) -> Any:
    """Believe the scan's geometry."""

    def geometry(result: Any, least: float) -> Any:
        if not result.errors:
            return original(result, least)
        from ptycho.scan.geometry import GIVEN

        errors = {
            name: value if name == GIVEN else 9 * result.errors[GIVEN]
            for name, value in result.errors.items()
        }
        return original(replace(result, errors=errors), least)

    return geometry


def _capped_at_patterns(_: Any) -> Any:
    """Forget oversampling after the first epoch."""
    return lambda count, channels, config, include_seed=None: count


def _outliers_train(_: Any) -> Any:
    """Let patterns far from their neighbours train."""
    return lambda clusters: np.ones(len(clusters), bool)


def _own_judges(_: Any) -> Any:
    """Let only those judge a merge that took part in it, whatever the noise."""
    return lambda raw, config: config.training.cluster_judges or 0


def _every_scale(original: Any) -> Any:
    """Try all units of the positions, each as if it were a user's scan."""

    def better_scale(sample: Any) -> float:
        from ptycho.scan import checks, geometry

        for scale in geometry.SCALES:
            checks.check_canvas(sample.at(scale * sample.positions))
        return float(original(sample))

    return better_scale


def _everywhere(original: Any) -> Any:
    """Compare pixels that no probe reached."""

    def compare_frames(reconstruction: Any, truth: Any, threshold: float, border_px: int = 0) -> Any:
        return original(reconstruction, truth, -1.0, border_px)

    return compare_frames


def _canvas_on_truth(original: Any) -> Any:
    """Lay the canvas's centre, the mean scan position, on the truth's, and compare every pixel of it."""

    def evaluate(reconstruction: Any, truth: Any, scan: Any, probe: Any, config: Any) -> Any:
        from dataclasses import replace

        from ptycho.evaluation import frames, metrics

        result = original(reconstruction, truth, scan, probe, config)
        if truth is None:
            return result
        centre = np.round(reconstruction.to_canvas(scan.positions.mean(axis=0))).astype(int)
        middle = np.array(truth.shape)[::-1] // 2
        moved = replace(reconstruction, origin_xy=tuple((middle - centre).tolist()))
        shared = frames.compare_frames(moved, truth, -1.0)
        (left, top), (height, width) = shared.origin_xy, shared.mask.shape
        canvas = np.zeros(truth.shape, np.complex64)
        canvas[top : top + height, left : left + width] = shared.prediction
        pair = frames.Comparison(canvas, truth, np.ones(truth.shape, bool), (0, 0))
        numbers = metrics.all_metrics(pair)
        return replace(
            result,
            direct={
                **numbers,
                "pearson_well_covered": numbers["pearson"],
                "border_px": 0,
                "pixels": truth.size,
            },
            registered={**numbers, "shift_x_px": 0.0, "shift_y_px": 0.0},
        )

    return evaluate


def _folder_taken(_: Any) -> Any:
    """Write over whatever lies there."""
    return lambda place, metadata, check_run, resume: None


def _no_file_check(_: Any) -> Any:
    """Write over whatever file lies there."""
    return lambda place, inputs, overwrite=False: None


def _never_ambiguous(_: Any) -> Any:
    """Take no probe for one under which an object and its twin look the same."""
    return lambda probe, tolerance=0.02: False


def inherited_groups(_: Any) -> Any:
    """Keep the training run's number of groups for inference."""

    def of_bundle(bundle: Any, about: Any, overrides: Any, everything: bool, source: str) -> Any:
        from ptycho.settings import layers

        own = {"N": bundle.N, "gridsize": bundle.gridsize}
        extra = ["split.method=none"] if everything else []
        return layers.resolve(layers.merge(about.get("config", {}), own), None, [*overrides, *extra], source)

    return of_bundle


def _turned_about_the_middle(original: Any) -> Any:
    """Turn twins about the middle of the patch, wherever the light is."""

    def twin_correlation(prediction: Any, truth: Any, illumination: Any, border_px: int = 0) -> Any:
        return original(prediction, truth, np.ones_like(illumination), border_px)

    return twin_correlation


def _root_of_similarity(original: Any) -> Any:
    """Raise the similarity to a fractional power."""

    def ssim(pair: Any) -> float:
        with np.errstate(invalid="ignore"):
            return float(np.float64(original(pair)) ** 0.3)

    return ssim


def _any_heading(_: Any) -> Any:
    """Head every run alike."""
    return lambda verdicts: "PASS"


def _across_the_edge(original: Any) -> Any:
    """Look for structure on the whole canvas, the object's edge included."""

    def structure(reconstruction: Any, scan: Any, threshold: float) -> Any:
        result = original(reconstruction, scan, threshold)
        whole = np.abs(np.pad(reconstruction.object, 8))
        return {**result, "std_over_mean": float(whole.std() / whole.mean())}

    return structure


FAULTS = (
    Fault(
        "REASSEMBLY-METRIC-FRAME-001",
        "centre-of-the-truth",
        "ptycho.evaluation.frames:compare_frames",
        _centre_of_the_truth,
    ),
    Fault(
        "FRC-PHASE-001",
        "phase-kept",
        "ptycho.evaluation.metrics:fourier_ring_correlation",
        _global_phase_kept,
    ),
    Fault("FRC-FIRST-DIP-001", "first-below", "ptycho.evaluation.metrics:cutoff", _first_below),
    Fault(
        "DATA-ERROR-NULL-001",
        "any-small-error",
        "ptycho.evaluation.gates:consistency_verdict",
        _any_small_error,
    ),
    Fault("DATA-ERROR-NULL-001", "root-of-the-mean", "ptycho.physics.scaling:mean_root", _root_of_the_mean),
    Fault("AFFINE-POSITIONS-001", "no-map", "ptycho.solve.steps:affine", _no_map),
    Fault("LEAST-BAD-READING-001", "least-bad", "ptycho.solve.readings:recommended", _least_bad),
    Fault("DEBUG-SIM-LINES-DOSE-001/REG-4", "negated", "ptycho.evaluation.frames:find_shift", _shift_negated),
    Fault("POISSON-LADDER-001", "flat-is-fine", "ptycho.evaluation.metrics:pearson", _flat_is_fine),
    Fault(
        "VARPRO-SOLVE-UNITS-001",
        "one-side-scaled",
        "ptycho.physics.scaling:least_squares_factor",
        _cropped_side,
    ),
    Fault(
        "GATE-SELF-001", "groups-with-themselves", "ptycho.evaluation.gates:judge", _groups_with_themselves
    ),
    Fault(
        "TRAINED-NOTHING-001", "always-learned", "ptycho.evaluation.gates:learned_verdict", _nothing_to_learn
    ),
    Fault(
        "FALSE-GEOMETRY-001", "given-is-right", "ptycho.evaluation.gates:geometry_verdict", _given_is_right
    ),
    Fault("OVERSAMPLING-LOST-001", "capped", "ptycho.scan.grouping:most_groups", _capped_at_patterns),
    Fault("SPARSE-TEST-OVERLAP", "outliers-train", "ptycho.network.schedule:overlapping", _outliers_train),
    Fault("NOISE-LEARNED-001", "own-judges", "ptycho.network.schedule:judge_count", _own_judges),
    Fault("SCALE-SEARCH-CANVAS-001", "every-scale", "ptycho.scan.geometry:better_scale", _every_scale),
    Fault("EVALUATE-COVERAGE-001", "everywhere", "ptycho.evaluation.frames:compare_frames", _everywhere),
    Fault("EVALUATE-COVERAGE-001", "canvas-on-truth", "ptycho.evaluation.summary:evaluate", _canvas_on_truth),
    Fault("LOST-RUN-001", "folder-taken", "ptycho.runs.claim:check_contents", _folder_taken),
    Fault("LOST-RUN-001", "scan-overwritten", "ptycho.runs.claim:file", _no_file_check),
    Fault("TWIN-IMAGE-001", "never-ambiguous", "ptycho.physics.probes:is_twin_ambiguous", _never_ambiguous),
    Fault("INFERENCE-OVERSAMPLE-001", "inherited", "ptycho.runs.prepare:of_bundle", inherited_groups),
    Fault(
        "TWIN-IMAGE-001",
        "about-the-middle",
        "ptycho.evaluation.consistency:twin_correlation",
        _turned_about_the_middle,
    ),
    Fault("NEW-MSSSIM-NEG", "fractional-power", "ptycho.evaluation.metrics:ssim", _root_of_similarity),
    Fault("PREVIEW-PHASE-001", "any-heading", "ptycho.stages.gate:heading", _any_heading),
    Fault(
        "TORCH-N128-FLAT-AMP-001", "across-the-edge", "ptycho.evaluation.summary:structure", _across_the_edge
    ),
)
