"""Scans in NPZ files: the data contract of the README, read and written without pickle.

Required keys: `xcoords`, `ycoords` (M,), `diff3d` or `diffraction` (M, N, N), `probeGuess` (N, N) or
(modes, N, N). Optional: `scan_index`, `xcoords_start`, `ycoords_start`, `objectGuess`, `bad_pixels` (N, N; 1 where a
detector pixel is not to be believed), `_metadata` (JSON text; its `photon_scale` says that counts are
``(photon_scale * diff3d)**2``).
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.base import archive, atomic, documents
from ptycho.base.errors import DataContractError, ScaleError
from ptycho.scan import geometry, inspection
from ptycho.scan.formats import detector, source
from ptycho.scan.raw import RawData

logger = logging.getLogger(__name__)

REQUIRED = ("xcoords", "ycoords", "diff3d", "probeGuess")
OPTIONAL = ("scan_index", "xcoords_start", "ycoords_start", "objectGuess", "bad_pixels", "_metadata")
OWN = frozenset({"diff3d", "diffraction", "probeGuess", "xcoords", "ycoords", "objectGuess"})
"""An NPZ with any of these is meant to be a scan of this contract."""
PROBE = "probeGuess"
ALIASES = {"diffraction": "diff3d"}

CLEARLY = 0.8
"""Share of the other's data error with which one axis of a cube of patterns is the scan's."""
MAX_DEPTH = 50
"""Metadata that nest deeper are refused: everything that walks through them would have to care."""


def read_npz(
    path: Path | str, *, intensity: bool = False, mask: Path | None = None, first_probe: bool = False
) -> RawData:
    """Read a scan.

    Parameters
    ----------
    path : path
    intensity : bool
        The file holds intensities (counts); take their square roots.
    mask : path, optional
        Another NPZ file, with the `bad_pixels` of the detector.
    first_probe : bool
        A file without `probeGuess` gets a first probe, see :func:`ptycho.scan.formats.source.first_probe`.

    Raises
    ------
    DataContractError
        Naming the file, the key, what was found, what was expected and the remedy.
    """
    path = Path(path)
    arrays = archive.read_arrays(path, (*REQUIRED, *OPTIONAL, *ALIASES))
    for alias, name in ALIASES.items():
        if alias in arrays and name in arrays:
            raise DataContractError(
                f"{path}: holds both {name} and {alias}, two names for one array; keep one"
            )
        if alias in arrays:
            arrays[name] = arrays.pop(alias)
    missing = [key for key in REQUIRED if key not in arrays and not (first_probe and key == PROBE)]
    if missing:
        remedy = "; --probe-from data makes one from the patterns" if missing == [PROBE] else ""
        raise DataContractError(
            f"{path}: required key{'s' * (len(missing) > 1)} {', '.join(missing)} missing; "
            f"found {', '.join(sorted(arrays)) or 'none of the known keys'}{remedy}"
        )
    metadata = _read_metadata(path, arrays)
    try:
        with np.errstate(all="ignore"):  # what is not finite is named by what looks at it, and not by numpy
            return scan_of(path, arrays, metadata, intensity, mask)
    except (DataContractError, ScaleError) as error:
        raise DataContractError(f"{path}: {error}".replace(f"{path}: {path}:", f"{path}:")) from None


def write_npz(path: Path | str, raw: RawData) -> None:
    """Write a scan atomically; reading it back gives equal values and dtypes."""
    metadata = {**raw.metadata, "photon_scale": raw.photon_scale}
    arrays = {
        "xcoords": raw.xcoords,
        "ycoords": raw.ycoords,
        "diff3d": raw.diff3d,
        "probeGuess": raw.probe[0] if len(raw.probe) == 1 else raw.probe,
        "scan_index": raw.scan_index,
        "xcoords_start": raw.xcoords_start,
        "ycoords_start": raw.ycoords_start,
        "_metadata": np.array(json.dumps(atomic.plain(metadata))),
    }
    if raw.object_guess is not None:
        arrays["objectGuess"] = raw.object_guess
    if raw.bad_pixels is not None:
        arrays["bad_pixels"] = raw.bad_pixels.astype(np.uint8)
    atomic.write_arrays(Path(path), arrays)


def read_bad_pixels(path: Path, N: int) -> np.ndarray:
    """Read `bad_pixels` of an NPZ as (N, N) bool, zero frequency at [N/2, N/2]; raise DataContractError for any other or all."""
    arrays = archive.read_arrays(path, ("bad_pixels",))
    if "bad_pixels" not in arrays:
        raise DataContractError(f"{path}: required key bad_pixels missing")
    return _as_mask(arrays["bad_pixels"], N, path)


def _as_mask(result: np.ndarray, N: int, path: Path) -> np.ndarray:
    if result.dtype.kind not in "biuf" or result.shape != (N, N) or not np.isin(result, (0, 1)).all():
        raise DataContractError(
            f"{path}: bad_pixels must be {N} x {N} of 0 and 1 for N = {N}; got {result.dtype} {result.shape}"
        )
    if result.all():
        raise DataContractError(f"{path}: bad_pixels leaves no pixel; 1 is a bad one, 0 a good one")
    return result.astype(bool)


def mask_of(path: Path, arrays: dict[str, np.ndarray], N: int, mask: Path | None) -> np.ndarray | None:
    """Return the bad pixels (N, N) bool that a scan's file or another one names, None where neither does.

    `arrays` are those of the scan's file. Raises DataContractError where both do and disagree.
    """
    own = _as_mask(arrays["bad_pixels"], N, path) if "bad_pixels" in arrays else None
    if mask is None:
        return own
    other = read_bad_pixels(mask, N)
    if own is not None and (own != other).any():
        raise DataContractError(
            f"bad_pixels of the scan's file names {int(own.sum())} pixels and --mask {mask} names {int(other.sum())}, and they "
            f"differ in {int((own != other).sum())}; leave --mask out, or take bad_pixels out of the file"
        )
    return other


def scan_of(
    path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, Any], intensity: bool, mask: Path | None
) -> RawData:
    """Return the scan that the arrays of a file hold; raise DataContractError where they hold none.

    `arrays` are those of the file, by its keys and of any shape; `mask` is another file, with bad pixels.
    """
    for name in (key for key in REQUIRED + OPTIONAL if key in arrays and key != "_metadata"):
        if arrays[name].dtype.kind not in "iufc" + "b" * (name in ("scan_index", "bad_pixels")):
            raise DataContractError(f"{name} must be numeric; got dtype {arrays[name].dtype}")
        if name not in ("probeGuess", "objectGuess") and arrays[name].dtype.kind == "c":
            raise DataContractError(f"{name} must be real; got dtype {arrays[name].dtype}")
    count = arrays["xcoords"].size
    for name in ("xcoords", "ycoords", "scan_index", "xcoords_start", "ycoords_start"):
        # A column (M, 1) or a row (1, M), as MATLAB writes a list, is one.
        if name in arrays and arrays[name].ndim == 2 and 1 in arrays[name].shape:
            arrays[name] = arrays[name].reshape(-1)
        if name in arrays and arrays[name].shape != (count,):
            raise DataContractError(f"{name} has shape {arrays[name].shape} but xcoords has {count} entries")
    patterns = canonical_stack(arrays["diff3d"], count)
    if len(patterns) < count:
        logger.warning(
            "%s: %d positions but %d patterns; using the first %d", path, count, len(patterns), len(patterns)
        )
    rows = slice(0, len(patterns))
    photon_scale = metadata.pop("photon_scale", 1.0)
    if isinstance(photon_scale, bool) or not isinstance(photon_scale, (int, float)):
        raise DataContractError(f"photon_scale in _metadata must be a number; got {photon_scale!r}")
    if abs(photon_scale) > sys.float_info.max:
        raise DataContractError("photon_scale in _metadata is a number too large for a float")
    object_guess = arrays.get("objectGuess")
    if object_guess is not None and object_guess.size and (object_guess == object_guess.flat[0]).all():
        logger.warning("%s: objectGuess is constant, a placeholder; running without truth", path)
        object_guess = None
    bad = mask_of(path, arrays, patterns.shape[-1], mask)
    read = amplitudes_of(path, patterns, intensity, bad)
    if read.lines:
        metadata[inspection.READ] = list(read.lines)
    scan = RawData(
        xcoords=arrays["xcoords"][rows],
        ycoords=arrays["ycoords"][rows],
        diff3d=read.amplitudes,
        probe=arrays[PROBE] if PROBE in arrays else _first_probe(read.amplitudes, arrays, rows),
        scan_index=arrays["scan_index"][rows] if "scan_index" in arrays else None,  # type: ignore[arg-type]
        xcoords_start=arrays["xcoords_start"][rows] if "xcoords_start" in arrays else None,  # type: ignore[arg-type]
        ycoords_start=arrays["ycoords_start"][rows] if "ycoords_start" in arrays else None,  # type: ignore[arg-type]
        object_guess=object_guess,
        photon_scale=float(photon_scale),
        metadata=metadata,
        bad_pixels=read.bad,
    )
    return scan if patterns.shape[0] != patterns.shape[1] else turned(scan, patterns, intensity)


def _first_probe(amplitudes: np.ndarray, arrays: dict[str, np.ndarray], rows: slice) -> np.ndarray:
    positions = np.stack([arrays["xcoords"][rows], arrays["ycoords"][rows]], axis=1).astype(np.float64)
    if not np.isfinite(positions).all():
        raise DataContractError(
            "xcoords or ycoords hold values that are no numbers; leave those patterns out"
        )
    return source.first_probe(np.mean(amplitudes.astype(np.float64) ** 2, axis=0), positions, 2.0)


def turned(scan: RawData, cube: np.ndarray, intensity: bool) -> RawData:
    """Return a scan of as many patterns as these have rows with its last axis in front, where that explains more.

    `cube` (N, N, N) are the values that the file holds. The file's order stays where the patterns cannot tell.
    """
    other = detector.read(np.moveaxis(cube, -1, 0), intensity, scan.bad_pixels)
    sides = (scan, scan.derived(diff3d=other.amplitudes, bad_pixels=other.bad))
    first, last = (geometry.explained(side) for side in sides)
    if first < CLEARLY * last:
        return scan
    shape = " x ".join(map(str, cube.shape))
    if last < CLEARLY * first:
        line = f"diff3d is {shape}, and its last axis is taken for the scan (data error {last:.3g} against {first:.3g})"
    else:
        line = (
            f"diff3d is {shape}: which axis is the scan is not to be told (data error {first:.3g} for the first and {last:.3g} "
            "for the last), and the first is taken; move the axis of the scan to the front"
        )
    return inspection.with_line(sides[last < CLEARLY * first], line)


def canonical_stack(stack: np.ndarray, count: int) -> np.ndarray:
    """Bring a pattern stack to (M, N, N) by the number of positions, never by its sizes.

    (M, N, N, 1) is squeezed; (N, N, M) is moved; more positions than patterns in a square-patterned
    (M, N, N) stack is left to the caller; anything else raises DataContractError with both numbers.
    """
    if stack.ndim == 4 and stack.shape[-1] == 1:
        stack = stack[..., 0]
    if stack.ndim != 3:
        raise DataContractError(f"diff3d must have shape (M, N, N); got {stack.shape}")
    if stack.shape[0] == count:
        return stack
    if stack.shape[-1] == count and stack.shape[0] == stack.shape[1]:
        return np.moveaxis(stack, -1, 0)
    if stack.shape[1] == stack.shape[2] and stack.shape[0] < count and stack.shape[0] != stack.shape[1]:
        return stack
    raise DataContractError(
        f"diff3d has shape {stack.shape} but there are {count} positions: neither the first nor the last axis matches"
    )


def amplitudes_of(
    path: Path, patterns: np.ndarray, intensity: bool, bad: np.ndarray | None = None
) -> detector.Patterns:
    """Return the amplitudes of patterns (M, N, N), and which pixels have none; warn where the numbers look like counts.

    `bad` (N, N) bool are pixels that are not looked at. Raises DataContractError for what :func:`detector.read` refuses.
    """
    read = detector.read(patterns, intensity, bad)
    if not intensity and patterns.size and look_like_counts(patterns):
        logger.warning(
            "%s: diff3d holds whole numbers up to %g: these look like intensities (counts), not amplitudes; "
            "add --intensity to take their square roots",
            path,
            float(patterns.max()),
        )
    return read


def look_like_counts(patterns: np.ndarray) -> bool:
    """Amplitudes (square roots of counts) are practically never all whole numbers above 1; counts are.

    `patterns` are (M, N, N).
    """
    sample = patterns[:: max(1, len(patterns) // 16)].astype(np.float64)
    return bool(sample.max() > 2 and np.array_equal(sample, np.round(sample)))


def _read_metadata(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    if "_metadata" not in arrays:
        return {}
    metadata = documents.parsed(str(arrays.pop("_metadata")), f"{path}: _metadata")
    if not isinstance(metadata, dict):
        raise DataContractError(f"{path}: _metadata must be a JSON object; got {type(metadata).__name__}")
    if _depth(metadata) > MAX_DEPTH:
        raise DataContractError(f"{path}: _metadata nests more than {MAX_DEPTH} levels deep")
    return metadata


def _depth(value: Any) -> int:
    """Return how deep JSON values nest, without recursion."""
    depth, level = 0, [value]
    while level:
        depth += 1
        nested = [item for item in level if isinstance(item, (dict, list))]
        level = [inner for item in nested for inner in (item.values() if isinstance(item, dict) else item)]
    return depth
