"""The split: which patterns train and which test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.artifacts.stage import Execution
from ptycho.base import archive, atomic, layout
from ptycho.base.errors import DataContractError
from ptycho.scan.raw import RawData, Split
from ptycho.settings.params import Params

KIND = Split
FILE = layout.SPLIT


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> Split:
    """Divide the scan; see SplitConfig.

    Raises DataContractError where a part would be empty.
    """
    scan: RawData = inputs["inspect"].scan
    if params.split.method == "none":
        return Split(scan, np.arange(len(scan)), np.arange(len(scan)))
    if params.split.method == "scan_index":
        test = scan.scan_index != 0
    else:
        order = np.argsort(scan.ycoords, kind="stable")
        test = np.zeros(len(scan), bool)
        test[order[round(len(scan) * params.split.fraction) :]] = True
    if test.all() or not test.any():
        raise DataContractError(
            f"the split by {params.split.method} leaves {int((~test).sum())} patterns to train and {int(test.sum())} to test"
        )
    return Split(scan, np.flatnonzero(~test), np.flatnonzero(test))


def telemetry(split: Split) -> dict[str, float]:
    """Count both parts."""
    numbers: dict[str, float] = {"train": len(split.train_rows), "test": len(split.test_rows)}
    for name, rows in (("train", split.train_rows), ("test", split.test_rows)):
        if len(rows):
            numbers[f"{name}_mean_amplitude"] = float(np.mean(split.scan.diff3d[rows], dtype=np.float64))
    return numbers


def invariants(split: Split) -> Iterator[tuple[str, bool]]:
    """Check that the parts are disjoint and make up the scan, or that both are the whole scan."""
    every = np.arange(len(split.scan))
    rows = np.sort(np.concatenate([split.train_rows, split.test_rows]))
    both = all(np.array_equal(np.sort(part), every) for part in (split.train_rows, split.test_rows))
    yield "every pattern must be in one part, or all in both", both or np.array_equal(rows, every)


def save(split: Split, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the rows of both parts."""
    atomic.write_arrays(folder / FILE, {"train_rows": split.train_rows, "test_rows": split.test_rows})


def load(folder: Path, inputs: Mapping[str, Any]) -> Split:
    """Read them back and put them on the scan."""
    return Split(inputs["inspect"].scan, **archive.read_arrays(folder / FILE))
