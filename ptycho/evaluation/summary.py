"""One call for all of it, labelled by frame and registration."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from ptycho.config import EvaluationConfig
from ptycho.data import RawData
from ptycho.evaluation import consistency, frames, metrics
from ptycho.params import Params
from ptycho.stitching import Reconstruction


@dataclass(frozen=True)
class Evaluation:
    """All that was measured, as plain numbers.

    Attributes
    ----------
    data, coverage, structure : dict
        Known for every scan.
    direct, registered : dict
        Against the truth, in the object's frame, without and with sub-pixel registration; empty without one.
    """

    data: dict[str, float]
    coverage: dict[str, float]
    structure: dict[str, float]
    direct: dict[str, float] = field(default_factory=dict)
    registered: dict[str, float] = field(default_factory=dict)

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
            for name, value in values.items()
        }


def evaluate(
    reconstruction: Reconstruction,
    truth: np.ndarray | None,
    scan: RawData,
    probe: np.ndarray,
    config: EvaluationConfig | Params,
) -> Evaluation:
    """Evaluate a reconstruction of `scan`, against `truth` (H, W) where there is one."""
    threshold = config.coverage_threshold
    inside = reconstruction.coverage > threshold
    low, high = scan.positions.min(axis=0), scan.positions.max(axis=0)
    first = np.floor(low - reconstruction.origin_xy).astype(int)
    last = np.ceil(high - reconstruction.origin_xy).astype(int) + 1
    box = inside[first[1] : last[1], first[0] : last[0]]
    amplitude = np.abs(reconstruction.object[inside])
    mean = float(amplitude.mean()) if amplitude.size else math.nan
    common = Evaluation(
        data=consistency.data_error(reconstruction, scan, probe),
        coverage={
            "threshold": threshold,
            "covered_px": int(inside.sum()),
            "covered_fraction": float(box.mean()) if box.size else 0.0,
        },
        structure={
            "mean_amplitude": mean,
            "std_over_mean": float(amplitude.std()) / mean if mean > 0 else math.nan,
        },
    )
    if truth is None:
        return common
    pair = frames.compare_frames(reconstruction, truth, threshold, config.border_px)
    shift = frames.find_shift(pair, config.registration_upsampling)
    # Very large shifts are no registration but a failure of it: the direct numbers tell the story then.
    registered = frames.apply_shift(pair, shift) if max(map(abs, shift)) < min(pair.mask.shape) / 4 else pair
    return replace(
        common,
        direct={**metrics.all_metrics(pair), "border_px": config.border_px, "pixels": int(pair.mask.sum())},
        registered={**metrics.all_metrics(registered), "shift_x_px": shift[0], "shift_y_px": shift[1]},
    )
