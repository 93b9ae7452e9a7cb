"""Scans in NPZ files: the data contract of the README, read and written without pickle.

Required keys: `xcoords`, `ycoords` (M,), `diff3d` or `diffraction` (M, N, N), `probeGuess` (N, N) or
(modes, N, N). Optional: `scan_index`, `xcoords_start`, `ycoords_start`, `objectGuess`, `_metadata` (JSON text;
its `photon_scale` says that counts are ``(photon_scale * diff3d)**2``).
"""

from __future__ import annotations

import json
import logging
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ptycho import machine
from ptycho.data import RawData
from ptycho.errors import DataContractError, ScaleError
from ptycho.io import atomic

logger = logging.getLogger(__name__)

REQUIRED = ("xcoords", "ycoords", "diff3d", "probeGuess")
OPTIONAL = ("scan_index", "xcoords_start", "ycoords_start", "objectGuess", "_metadata")
ALIASES = {"diffraction": "diff3d"}

MAX_RATIO = 500
"""A file that grows by more than this when unpacked, to more than `SUSPICIOUS_BYTES`, is taken for a zip bomb."""
SUSPICIOUS_BYTES = 2**30
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
    arrays = read_arrays(path, (*REQUIRED, *OPTIONAL, *ALIASES))
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
            return _build(path, arrays, metadata, intensity)
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


def read_arrays(path: Path, keys: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Read arrays of an NPZ without pickle, all or those of `keys` that exist.

    Raises DataContractError for a missing, truncated, foreign or over-large file and for pickled arrays.
    """
    machine.check_file(path, DataContractError)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {item.filename.removesuffix(".npy"): item for item in archive.infolist()}
            if len(members) < len(archive.infolist()):
                raise DataContractError(f"{path}: holds two arrays of one name; store each once")
            wanted = [key for key in (members if keys is None else keys) if key in members]
            _check_size(path, [members[key] for key in wanted])
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in wanted}
    except DataContractError:
        raise
    except (SyntaxError, tokenize.TokenError):
        raise DataContractError(f"{path}: an array is damaged: its header cannot be read") from None
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise DataContractError(
            f"{path}: not a complete NPZ file (damaged, truncated or another format)"
        ) from None
    except OSError as error:
        raise DataContractError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, NotImplementedError, RuntimeError, MemoryError) as error:
        if "pickle" in str(error).lower():
            raise DataContractError(
                f"{path}: holds a pickled (object) array, which may run code; store plain arrays and JSON text"
            ) from None
        raise DataContractError(f"{path}: an array is damaged: {error}") from None
    for key, array in arrays.items():
        if not isinstance(
            array, np.ndarray
        ):  # numpy hands out a member without an array's signature as bytes
            raise DataContractError(f"{path}: an array is damaged: {key} is no array")
    return arrays


def read_probe(path: Path, N: int) -> np.ndarray:
    """Read `probeGuess` of any NPZ as (modes, N, N) complex128."""
    arrays = read_arrays(path, ("probeGuess",))
    if "probeGuess" not in arrays:
        raise DataContractError(f"{path}: required key probeGuess missing")
    if arrays["probeGuess"].dtype.kind not in "iufc":
        raise DataContractError(f"{path}: probeGuess must be numeric; got dtype {arrays['probeGuess'].dtype}")
    probe = np.asarray(arrays["probeGuess"], np.complex128)
    probe = probe[None] if probe.ndim == 2 else probe
    if probe.ndim != 3 or probe.shape[1:] != (N, N):
        raise DataContractError(f"{path}: probeGuess must be {N} x {N} for N = {N}; got {probe.shape}")
    return probe


def read_bad_pixels(path: Path, N: int) -> np.ndarray:
    """Read `bad_pixels` of an NPZ as (N, N) bool, zero frequency at [N/2, N/2]; raise DataContractError for any other or all."""
    arrays = read_arrays(path, ("bad_pixels",))
    if "bad_pixels" not in arrays:
        raise DataContractError(f"{path}: required key bad_pixels missing")
    found = arrays["bad_pixels"]
    if found.dtype.kind not in "biuf" or found.shape != (N, N) or not np.isin(found, (0, 1)).all():
        raise DataContractError(
            f"{path}: bad_pixels must be {N} x {N} of 0 and 1 for N = {N}; got {found.dtype} {found.shape}"
        )
    if found.all():
        raise DataContractError(f"{path}: bad_pixels leaves no pixel; 1 is a bad one, 0 a good one")
    return found.astype(bool)


def _build(path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, Any], intensity: bool) -> RawData:
    for name in REQUIRED + tuple(key for key in OPTIONAL if key in arrays and key != "_metadata"):
        if arrays[name].dtype.kind not in "iufc" + "b" * (name == "scan_index"):
            raise DataContractError(f"{name} must be numeric; got dtype {arrays[name].dtype}")
        if name not in ("probeGuess", "objectGuess") and arrays[name].dtype.kind == "c":
            raise DataContractError(f"{name} must be real; got dtype {arrays[name].dtype}")
    count = arrays["xcoords"].size
    for name in ("xcoords", "ycoords", "scan_index", "xcoords_start", "ycoords_start"):
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
    if object_guess is not None and object_guess.size and np.ptp(np.abs(object_guess)) == 0:
        logger.warning("%s: objectGuess is constant, a placeholder; running without truth", path)
        object_guess = None
    return RawData(
        xcoords=arrays["xcoords"][rows],
        ycoords=arrays["ycoords"][rows],
        diff3d=_amplitudes(path, patterns, intensity),
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


def _amplitudes(path: Path, patterns: np.ndarray, intensity: bool) -> np.ndarray:
    """Return float32 amplitudes; warn where the numbers look like counts."""
    if intensity:
        if patterns.size and patterns.min() < 0:
            raise DataContractError(f"diff3d must hold intensities >= 0; found {patterns.min():.6g}")
        return np.sqrt(patterns, dtype=np.float64).astype(np.float32)
    if patterns.size and _look_like_counts(patterns):
        logger.warning(
            "%s: diff3d holds whole numbers up to %g: these look like intensities (counts), not amplitudes; "
            "add --intensity to take their square roots",
            path,
            float(patterns.max()),
        )
    return patterns.astype(np.float32)


def _look_like_counts(patterns: np.ndarray) -> bool:
    """Amplitudes (square roots of counts) are practically never all whole numbers above 1; counts are."""
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


def _check_size(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse what cannot be unpacked in good faith, before a byte of it is unpacked."""
    packed = sum(item.compress_size for item in members)
    unpacked = sum(item.file_size for item in members)
    if unpacked > SUSPICIOUS_BYTES and unpacked > MAX_RATIO * max(packed, 1):
        raise DataContractError(
            f"{path}: {packed} bytes would unpack to {unpacked} (more than {MAX_RATIO}:1), which looks like a "
            "zip bomb; if it is not, store it uncompressed with numpy.savez"
        )
    machine.check_memory(unpacked, f"{path}:", "split the scan into several files", DataContractError)
