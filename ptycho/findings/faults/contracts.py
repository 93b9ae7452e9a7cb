"""Faults of what is promised about values: types and shapes of containers and files, refusals, one table of parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ptycho.testing.fault import Fault


def _knobs_swallowed(original: Any) -> Any:
    """Drop keys that no parameter has."""

    def from_dict(cls: Any, values: Any, source: str = "config") -> Any:
        return original(cls, {k: v for k, v in values.items() if k in cls.model_fields}, source)

    return from_dict


def _size_rounded(original: Any) -> Any:
    """Take the nearest supported size for the one that was asked for."""

    def from_dict(cls: Any, values: Any, source: str = "config") -> Any:
        from ptycho.settings.config import SUPPORTED_N

        if "N" in values:
            values = {**values, "N": min(SUPPORTED_N, key=lambda known: abs(known - values["N"]))}
        return original(cls, values, source)

    return from_dict


def _text_stays(original: Any) -> Any:
    """Keep a path as the text that it came as."""

    def from_dict(cls: Any, values: Any, source: str = "config") -> Any:
        result = original(cls, values, source)
        file = None if result.probe.file is None else str(result.probe.file)
        return result.model_copy(update={"probe": result.probe.model_copy(update={"file": file})})

    return from_dict


def _loss_of_nothing(original: Any) -> Any:
    """Take a loss without a data term for the default one."""

    def from_dict(cls: Any, values: Any, source: str = "config") -> Any:
        loss = values.get("training", {}).get("loss", {})
        if not any(loss.get(name, name == "amplitude") for name in ("amplitude", "nll", "mae")):
            values = {**values, "training": {**values["training"], "loss": {}}}
        return original(cls, values, source)

    return from_dict


def _only_what_was_set(_: Any) -> Any:
    """Store only what differs from the defaults of the moment."""
    return lambda self: self.model_dump(mode="json", exclude_defaults=True)


def _nothing_is_idle(_: Any) -> Any:
    """Accept what cannot act without a word."""
    return lambda config, overrides, given, until=None, also=(): []


def _everything_is_idle(_: Any) -> Any:
    """Complain of every override."""
    return lambda config, overrides, given, until=None, also=(): [
        f"--set {text} has no effect" for text in overrides
    ]


def _no_hint(_: Any) -> Any:
    """Name nothing that is near an unknown name."""
    return lambda name, known, cutoff=0.6: ""


def _own_types(original: Any) -> Any:
    """Keep patterns in the type that they came in."""

    def init(self: Any) -> None:
        given = self.diff3d
        original(self)
        object.__setattr__(self, "diff3d", np.asarray(given))

    return init


def _own_rank(original: Any) -> Any:
    """Keep a single probe without an axis of modes."""

    def init(self: Any) -> None:
        original(self)
        object.__setattr__(self, "probe", self.probe[0] if len(self.probe) == 1 else self.probe)

    return init


def _nominal_for_true(original: Any) -> Any:
    """Use the nominal positions where there are any."""

    def init(self: Any) -> None:
        original(self)
        object.__setattr__(self, "xcoords", self.xcoords_start)
        object.__setattr__(self, "ycoords", self.ycoords_start)

    return init


def _row_column(original: Any) -> Any:
    """Give positions as (y, x)."""
    return lambda self: original(self)[:, ::-1]


def _square_frame(original: Any) -> Any:
    """Check positions against the object with its sides swapped."""

    def inside_object(positions: Any, shape: Any, margin_px: float = 0.0) -> Any:
        return original(positions, shape[::-1], margin_px)

    return inside_object


def _always_labelled(_: Any) -> Any:
    """Say that there are labels."""
    return lambda self: True


def _members_reversed(original: Any) -> Any:
    """Gather the members of a group from the last to the first."""
    return lambda self, rows=slice(None): original(self, rows)[..., ::-1]


def _gathered_at_once(original: Any) -> Any:
    """Copy every pattern into its groups when they are formed."""

    def init(self: Any) -> None:
        original(self)
        object.__setattr__(self, "gathered", np.zeros((len(self.nn_indices), 4)))

    return init


def _row_left_unwritten(original: Any) -> Any:
    """Allocate a row more than is filled."""

    def fed(self: Any, rows: Any = slice(None)) -> Any:
        result = original(self, rows)
        return np.concatenate([result, np.zeros_like(result[:1])])

    return fed


def _factors_broadcast(original: Any) -> Any:
    """Let a factor for each sample meet the last axis but one that is as long."""

    def batch(self: Any, rows: Any) -> Any:
        result = original(self, rows)
        amplitude = result["amplitude"]
        if amplitude.shape[0] == amplitude.shape[2]:
            factors = np.linspace(0.9, 1.1, len(amplitude), dtype=np.float32)
            amplitude = amplitude * factors[:, None]
        return {**result, "amplitude": amplitude}

    return batch


def _filled_up(original: Any) -> Any:
    """Give as many patterns as there are positions."""

    def canonical_stack(stack: Any, count: int) -> Any:
        result = original(stack[:count] if stack.ndim == 3 and len(stack) > count else stack, count)
        return np.concatenate([result, np.zeros((count - len(result), *result.shape[1:]), result.dtype)])

    return canonical_stack


def _cut_to_fit(original: Any) -> Any:
    """Cut all arrays to the shortest."""

    def build(path: Any, arrays: Any, *rest: Any) -> Any:
        names = [
            n for n in ("xcoords", "ycoords", "scan_index", "xcoords_start", "ycoords_start") if n in arrays
        ]
        shortest = min(len(arrays[name]) for name in (*names, "diff3d"))
        arrays = {name: value[:shortest] if name in names else value for name, value in arrays.items()}
        return original(path, {**arrays, "diff3d": arrays["diff3d"][:shortest]}, *rest)

    return build


def _key_missing(original: Any) -> Any:
    """Look for the patterns under another name."""

    def read_arrays(path: Any, keys: Any = None) -> Any:
        result = original(path, keys)
        if "diff3d" in result:
            result["diff3D"] = result.pop("diff3d")
        return result

    return read_arrays


def _first_mode_read(original: Any) -> Any:
    """Read the first mode of a probe."""

    def build(*args: Any) -> Any:
        raw = original(*args)
        return replace(raw, probe=raw.probe[:1])

    return build


def _counts_wrapped(original: Any) -> Any:
    """Do sums with counts in the type that they come in."""

    def amplitudes(path: Any, patterns: Any, intensity: bool, *rest: Any) -> Any:
        doubled = patterns * patterns.dtype.type(2)
        return original(path, doubled // patterns.dtype.type(2) if intensity else patterns, intensity, *rest)

    return amplitudes


def _counts_unnoticed(_: Any) -> Any:
    """Take counts for amplitudes without a word."""
    return lambda patterns: False


def _pickled(_: Any) -> Any:
    """Write whatever it is, with pickle where that is needed."""

    def write_arrays(path: Any, arrays: Any, *, compress: bool = False) -> None:
        np.savez(path, **arrays)

    return write_arrays


def _always_the_same_source(_: Any) -> Any:
    """Give one hash, whatever the sources are."""
    return lambda: 64 * "0"


def _loads_a_framework(original: Any) -> Any:
    """Load a deep learning framework when a module is loaded."""
    import importlib

    def get_logger(name: Any = None) -> Any:
        if str(name).startswith("ptycho"):
            importlib.import_module("keras")
        return original(name)

    return get_logger


FROM_DICT = "ptycho.settings.config:Config.from_dict"
FAULTS = (
    Fault("CONFIG-002", "knobs-swallowed", FROM_DICT, _knobs_swallowed),
    Fault("PARAMS-N-DIV4-001", "rounded", FROM_DICT, _size_rounded),
    Fault("TYPE-PATH-001", "text-stays", FROM_DICT, _text_stays),
    Fault("H-LOSS-WEIGHTS (D6a)", "loss-of-nothing", FROM_DICT, _loss_of_nothing),
    Fault(
        "GRIDLINES-OBJECT-BIG-001",
        "only-what-was-set",
        "ptycho.settings.config:Config.to_dict",
        _only_what_was_set,
    ),
    Fault(
        "HYBRES-ALIGN-001", "without-a-word", "ptycho.runs.idle:overrides_without_effect", _nothing_is_idle
    ),
    Fault(
        "HYBRES-ALIGN-001",
        "complains-of-all",
        "ptycho.runs.idle:overrides_without_effect",
        _everything_is_idle,
    ),
    Fault("METRICS-NAMING-001", "no-hint", "ptycho.base.errors:hint", _no_hint),
    Fault("DATA-001", "own-types", "ptycho.scan.raw:RawData.__post_init__", _own_types),
    Fault("DATA-001", "cut-to-fit", "ptycho.scan.formats.npz:scan_of", _cut_to_fit),
    Fault("DATA-001", "another-key", "ptycho.base.archive:read_arrays", _key_missing),
    Fault("PROBE-RANK-001", "own-rank", "ptycho.scan.raw:RawData.__post_init__", _own_rank),
    Fault(
        "TF-LOADER-COORDS-001", "nominal-for-true", "ptycho.scan.raw:RawData.__post_init__", _nominal_for_true
    ),
    Fault("REASSEMBLY-BRIDGE-001/axis", "row-column", "ptycho.scan.raw:RawData.positions", _row_column),
    Fault("REASSEMBLY-BRIDGE-001/axis", "frame", "ptycho.physics.coords:inside_object", _square_frame),
    Fault(
        "DATA-SUP-001",
        "always-labelled",
        "ptycho.scan.groups:PtychoDataContainer.has_ground_truth",
        _always_labelled,
    ),
    Fault("BUG-TF-001", "members-reversed", "ptycho.scan.groups:GroupedData.diffraction", _members_reversed),
    Fault("PINN-CHUNKED-001", "at-once", "ptycho.scan.groups:GroupedData.__post_init__", _gathered_at_once),
    Fault(
        "TORCH-LOADER-MMAP-SIZING-001",
        "row-unwritten",
        "ptycho.scan.groups:PtychoDataContainer.X",
        _row_left_unwritten,
    ),
    Fault("TORCH-LOADER-MMAP-SIZING-001", "filled-up", "ptycho.scan.formats.npz:canonical_stack", _filled_up),
    Fault(
        "DATALOADER-SCALE-001",
        "broadcast",
        "ptycho.scan.groups:PtychoDataContainer.batch",
        _factors_broadcast,
    ),
    Fault("PROBE-MULTIMODE-001", "first-mode-read", "ptycho.scan.formats.npz:scan_of", _first_mode_read),
    Fault("NORMALIZE-DATA-UINT16-001", "wrapped", "ptycho.scan.formats.npz:amplitudes_of", _counts_wrapped),
    Fault("POISSON-NORM-001", "unnoticed", "ptycho.scan.formats.npz:look_like_counts", _counts_unnoticed),
    Fault("DATA-002", "pickled", "ptycho.base.atomic:write_arrays", _pickled),
    Fault(
        "LINES256-IMPORT-PROVENANCE-001",
        "any-source",
        "ptycho.base.provenance:source_hash",
        _always_the_same_source,
    ),
    Fault("ANTIPATTERN-001", "framework-loaded", "logging:getLogger", _loads_a_framework),
)
