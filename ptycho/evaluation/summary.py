"""One call for all of it, labelled by frame and registration."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from ptycho.evaluation import consistency, frames, metrics
from ptycho.physics import stitching
from ptycho.physics.stitching import Reconstruction
from ptycho.scan.raw import RawData
from ptycho.settings.params import Params
from ptycho.settings.sections import EvaluationConfig
from ptycho.solve import explain

WELL_COVERED = 1.0
"""Coverage, in units of one probe's peak, from which on a pixel is no longer at the rim of a scan."""


@dataclass(frozen=True)
class Evaluation:
    """All that was measured, as plain numbers.

    Attributes
    ----------
    data, coverage, structure : dict
        Known for every scan.
    direct, registered : dict
        Against the truth, in the object's frame, without and with sub-pixel registration; empty without one.
    part : str
        Which patterns all this is about, for people.
    """

    data: dict[str, float]
    coverage: dict[str, float]
    structure: dict[str, float]
    direct: dict[str, float] = field(default_factory=dict)
    registered: dict[str, float] = field(default_factory=dict)
    part: str = ""

    @property
    def threshold(self) -> float:
        """Coverage above which a pixel counts."""
        return self.coverage["threshold"]

    @property
    def compared(self) -> bool:
        """Whether there was a truth to compare with."""
        return bool(self.direct)

    def to_dict(self) -> dict[str, Any]:
        """Return the parts that were measured."""
        return {name: part for name, part in asdict(self).items() if part}

    def summary(self) -> dict[str, float]:
        """Return all numbers under dotted names."""
        return {
            f"{part}.{name}": value
            for part, values in self.to_dict().items()
            if isinstance(values, dict)
            for name, value in values.items()
        }


@np.errstate(invalid="ignore")  # of what is not finite there is a gate of its own, and no warning beside it
def evaluate(
    reconstruction: Reconstruction,
    truth: np.ndarray | None,
    scan: RawData,
    probe: np.ndarray,
    config: EvaluationConfig | Params,
) -> Evaluation:
    """Evaluate a reconstruction of `scan`, against `truth` (H, W) where there is one.

    Parameters
    ----------
    reconstruction : Reconstruction
        Its object and frame are believed, nothing else: the coverage is taken anew from scan and probe.
    truth : (H, W) complex or None
    scan : RawData
        The patterns that it was made from.
    probe : (P, N, N) complex
    config : EvaluationConfig
    """
    threshold = config.coverage_threshold
    shape = reconstruction.object.shape
    lit = stitching.coverage_map(scan.positions, probe, reconstruction.origin_xy, (shape[0], shape[1]))
    offered = len(scan) * float(stitching.illumination(probe).sum(dtype=np.float64))
    reconstruction = replace(reconstruction, coverage=lit)
    inside = reconstruction.coverage > threshold
    box = inside[scanned_window(reconstruction, scan)]
    common = Evaluation(
        data={**consistency.data_error(reconstruction, scan, probe), **between(reconstruction, scan, probe)},
        coverage={
            "threshold": threshold,
            "covered_px": int(inside.sum()),
            "covered_fraction": float(box.mean()) if box.size else 0.0,
            "kept_fraction": float(lit.sum(dtype=np.float64)) / offered,
        },
        structure=structure(reconstruction, scan, threshold),
    )
    if truth is None:
        return common
    pair = frames.compare_frames(reconstruction, truth, threshold, config.border_px)
    shift = frames.find_shift(pair)
    registered = moved(pair, shift)
    return replace(
        common,
        direct={
            **metrics.all_metrics(pair),
            "pearson_well_covered": well_covered_pearson(pair),
            "border_px": config.border_px,
            "pixels": int(pair.mask.sum()),
        },
        registered={**metrics.all_metrics(registered), "shift_x_px": shift[0], "shift_y_px": shift[1]},
    )


def moved(pair: frames.Comparison, shift: tuple[float, float]) -> frames.Comparison:
    """Move the prediction of a comparison by (dx, dy) px where that is a registration.

    A shift by a quarter of the picture is none but a failure of it, and so is one that leaves no pixel to compare: the numbers
    as they are tell the story then.
    """
    if max(map(abs, shift)) >= min(pair.mask.shape) / 4:
        return pair
    registered = frames.apply_shift(pair, shift)
    return registered if registered.mask.any() else pair


def between(reconstruction: Reconstruction, scan: RawData, probe: np.ndarray) -> dict[str, float]:
    """Return what the data error stands between, under a probe (P, N, N), and its place there.

    Returns
    -------
    dict
        ``photon_noise``, ``mean_pattern``: the errors that photon noise and the mean pattern leave; ``unexplained``: where between
        them the object's is; see :mod:`ptycho.solve.explain`.
    """
    result = explain.explained(reconstruction, scan, probe)
    return {
        "photon_noise": result.noise,
        "mean_pattern": result.mean_pattern,
        "unexplained": result.unexplained,
    }


def well_covered_pearson(pair: frames.Comparison) -> float:
    """Return the amplitudes' correlation where the coverage exceeds `WELL_COVERED`: without the scan's rim."""
    mask = pair.mask if pair.coverage is None else pair.mask & (pair.coverage > WELL_COVERED)
    return metrics.pearson(np.abs(pair.prediction)[mask], np.abs(pair.truth)[mask])


def scanned_window(reconstruction: Reconstruction, scan: RawData) -> tuple[slice, slice]:
    """Return the part of the canvas that the scan's positions span, whole pixels; empty where it holds none of it.

    Positions lie in the object, so this window never reaches across its edge.
    """
    where = reconstruction.to_canvas(scan.positions)
    first, last = np.floor(where.min(axis=0)).astype(int), np.ceil(where.max(axis=0)).astype(int) + 1
    height, width = reconstruction.object.shape
    left, right = np.clip([first[0], last[0]], 0, width)
    top, bottom = np.clip([first[1], last[1]], 0, height)
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def structure(reconstruction: Reconstruction, scan: RawData, threshold: float) -> dict[str, float]:
    """Measure the object itself: mean amplitude and spread where it is scanned, and where it is no number."""
    window = scanned_window(reconstruction, scan)
    values = reconstruction.object[window][reconstruction.coverage[window] > threshold].astype(np.complex128)
    broken = ~np.isfinite(reconstruction.object) & (reconstruction.coverage > 0)
    mean = float(np.abs(values).mean()) if values.size else math.nan
    return {
        "mean_amplitude": mean,
        "std_over_mean": float(values.std()) / mean if mean > 0 else math.nan,
        "nonfinite_px": int(broken.sum()),
    }
