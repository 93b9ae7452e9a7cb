"""Scans in NPZ files: the data contract of the README, read and written without pickle.

Required keys: `xcoords`, `ycoords` (M,), `diff3d` or `diffraction` (M, N, N), `probeGuess` (N, N) or
(modes, N, N). Optional: `scan_index`, `xcoords_start`, `ycoords_start`, `objectGuess`, `_metadata` (JSON text;
its `photon_scale` says that counts are ``(photon_scale * diff3d)**2``).
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.base import archive, atomic
from ptycho.base.errors import DataContractError, ScaleError
from ptycho.scan.raw import RawData

logger = logging.getLogger(__name__)

REQUIRED = ("xcoords", "ycoords", "diff3d", "probeGuess")
OPTIONAL = ("scan_index", "xcoords_start", "ycoords_start", "objectGuess", "_metadata")
ALIASES = {"diffraction": "diff3d"}

MAX_DEPTH = 50
"""Metadata that nest deeper are refused: everything that walks through them would have to care."""


def read_npz(path: Path | str, *, intensity: bool = False) -> RawData:
    """Read a scan.

    Parameters
    ----------
    path : path
    intensity : bool
        The file holds intensities (counts); take their square roots.

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
    missing = [key for key in REQUIRED if key not in arrays]
    if missing:
        raise DataContractError(
            f"{path}: required key{'s' * (len(missing) > 1)} {', '.join(missing)} missing; "
            f"found {', '.join(sorted(arrays)) or 'none of the known keys'}"
        )
    metadata = _read_metadata(path, arrays)
    try:
        with np.errstate(all="ignore"):  # what is not finite is named by what looks at it, and not by numpy
            return scan_of(path, arrays, metadata, intensity)
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
    atomic.write_arrays(Path(path), arrays)


def read_bad_pixels(path: Path, N: int) -> np.ndarray:
    """Read `bad_pixels` of an NPZ as (N, N) bool, zero frequency at [N/2, N/2]; raise DataContractError for any other or all."""
    arrays = archive.read_arrays(path, ("bad_pixels",))
    if "bad_pixels" not in arrays:
        raise DataContractError(f"{path}: required key bad_pixels missing")
    result = arrays["bad_pixels"]
    if result.dtype.kind not in "biuf" or result.shape != (N, N) or not np.isin(result, (0, 1)).all():
        raise DataContractError(
            f"{path}: bad_pixels must be {N} x {N} of 0 and 1 for N = {N}; got {result.dtype} {result.shape}"
        )
    if result.all():
        raise DataContractError(f"{path}: bad_pixels leaves no pixel; 1 is a bad one, 0 a good one")
    return result.astype(bool)


def scan_of(path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, Any], intensity: bool) -> RawData:
    """Return the scan that the arrays of a file hold; raise DataContractError where they hold none.

    `arrays` are those of the file, by its keys and of any shape.
    """
    for name in REQUIRED + tuple(key for key in OPTIONAL if key in arrays and key != "_metadata"):
        if arrays[name].dtype.kind not in "iufc" + "b" * (name == "scan_index"):
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
    return RawData(
        xcoords=arrays["xcoords"][rows],
        ycoords=arrays["ycoords"][rows],
        diff3d=amplitudes_of(path, patterns, intensity),
        probe=arrays["probeGuess"],
        scan_index=arrays["scan_index"][rows] if "scan_index" in arrays else None,  # type: ignore[arg-type]
        xcoords_start=arrays["xcoords_start"][rows] if "xcoords_start" in arrays else None,  # type: ignore[arg-type]
        ycoords_start=arrays["ycoords_start"][rows] if "ycoords_start" in arrays else None,  # type: ignore[arg-type]
        object_guess=object_guess,
        photon_scale=float(photon_scale),
        metadata=metadata,
    )


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


def amplitudes_of(path: Path, patterns: np.ndarray, intensity: bool) -> np.ndarray:
    """Return float32 amplitudes; warn where the numbers look like counts.

    `patterns` are (M, N, N). Raises DataContractError for negative intensities.
    """
    if intensity:
        if patterns.size and patterns.min() < 0:
            raise DataContractError(f"diff3d must hold intensities >= 0; found {patterns.min():.6g}")
        return np.asarray(np.sqrt(patterns, dtype=np.float64).astype(np.float32))
    if patterns.size and look_like_counts(patterns):
        logger.warning(
            "%s: diff3d holds whole numbers up to %g: these look like intensities (counts), not amplitudes; "
            "add --intensity to take their square roots",
            path,
            float(patterns.max()),
        )
    return patterns.astype(np.float32)


def look_like_counts(patterns: np.ndarray) -> bool:
    """Amplitudes (square roots of counts) are practically never all whole numbers above 1; counts are.

    `patterns` are (M, N, N).
    """
    sample = patterns[:: max(1, len(patterns) // 16)].astype(np.float64)
    return bool(sample.max() > 2 and np.array_equal(sample, np.round(sample)))


def _read_metadata(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    if "_metadata" not in arrays:
        return {}
    try:
        metadata = json.loads(str(arrays.pop("_metadata")))
    except (ValueError, RecursionError) as error:
        raise DataContractError(f"{path}: _metadata is not valid JSON: {error}") from None
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
