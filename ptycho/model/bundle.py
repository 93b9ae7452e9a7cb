"""A trained model as a frozen value of plain arrays, and as one file.

The file is an NPZ without pickle: the weights by name, the probe, and a JSON text with the format version,
the resolved config, the scales, the training history, provenance and the SHA-256 of every array. Loading
rebuilds the architecture from the stored config and sets each weight by name and shape; nothing is taken
from defaults of the moment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.config import Config
from ptycho.errors import BundleError, ConfigError, DataContractError, ScaleError
from ptycho.io import atomic
from ptycho.io.npz import read_arrays
from ptycho.scaling import Scales

FORMAT = "ptycho-bundle-1"


@dataclass(frozen=True)
class Bundle:
    """Everything that inference needs.

    Attributes
    ----------
    config : Config
        The resolved config of the training run (N, gridsize, architecture, ...).
    weights : mapping of str to array
    probe : (P, N, N) complex64
        As the forward model used it.
    scales : Scales
        Measured on the training groups, reused unchanged.
    trained_intensity : float
        The model's photon scale after training.
    prediction_scale : float
        Least-squares factor between predicted and measured amplitudes of the training groups; a
        diagnostic, 1 for a good model.
    history : sequence of mappings
        One row an epoch.
    stopped : str
        Why training ended.
    provenance : mapping of str to str
    key : str
        Hash of the config subset and the data that made it.
    """

    config: Config
    weights: Mapping[str, np.ndarray]
    probe: np.ndarray
    scales: Scales
    trained_intensity: float
    prediction_scale: float = 1.0
    history: tuple[Mapping[str, Any], ...] = ()
    stopped: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)
    key: str = ""


def save_bundle(path: Path, bundle: Bundle) -> None:
    """Write a bundle atomically."""
    arrays = {f"weights/{name}": np.asarray(value) for name, value in bundle.weights.items()}
    arrays["probe"] = bundle.probe
    description = {
        "format": FORMAT,
        "config": bundle.config.to_dict(),
        "scales": asdict(bundle.scales),
        "trained_intensity": bundle.trained_intensity,
        "prediction_scale": bundle.prediction_scale,
        "history": list(bundle.history),
        "stopped": bundle.stopped,
        "provenance": dict(bundle.provenance),
        "key": bundle.key,
        "sha256": {name: digest(value) for name, value in arrays.items()},
    }
    arrays["_bundle"] = np.array(json.dumps(atomic.plain(description)))
    atomic.write_arrays(path, arrays)


def load_bundle(path: Path | str) -> Bundle:
    """Read a bundle; raise BundleError naming the file and the damage."""
    path = Path(path)
    try:
        arrays = read_arrays(path)
    except DataContractError as error:
        raise BundleError(f"{error}; train again or copy the bundle anew") from None
    if "_bundle" not in arrays:
        raise BundleError(
            f"{path}: not a model bundle (it has no _bundle entry); expected a file made by 'ptycho train'"
        )
    try:
        text = json.loads(str(arrays.pop("_bundle")))
    except json.JSONDecodeError as error:
        raise BundleError(f"{path}: its description is damaged: {error}") from None
    if text.get("format") != FORMAT:
        raise BundleError(f"{path}: bundle format is {text.get('format')!r}; this version reads {FORMAT!r}")
    _check_digests(path, arrays, text.get("sha256", {}))
    try:
        return Bundle(
            config=Config.from_dict(text["config"], str(path)),
            weights={
                name.removeprefix("weights/"): value for name, value in arrays.items() if name != "probe"
            },
            probe=arrays["probe"],
            scales=Scales(**text["scales"]),
            trained_intensity=float(text["trained_intensity"]),
            prediction_scale=float(text["prediction_scale"]),
            history=tuple(text["history"]),
            stopped=text["stopped"],
            provenance=text["provenance"],
            key=text["key"],
        )
    except (KeyError, TypeError, ConfigError, ScaleError) as error:
        raise BundleError(f"{path}: its description is incomplete or contradictory: {error}") from None


def digest(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's dtype, shape and bytes."""
    array = np.ascontiguousarray(array)
    return hashlib.sha256(f"{array.dtype.str}{array.shape}".encode() + array.tobytes()).hexdigest()


def get_weights(model: Any) -> dict[str, np.ndarray]:
    """Return copies of a model's weights by name."""
    return {
        variable.path: np.array(variable.numpy() if hasattr(variable, "numpy") else variable)
        for variable in model.weights
    }


def set_weights(model: Any, weights: Mapping[str, np.ndarray], source: str = "bundle") -> None:
    """Set a model's weights by name; raise BundleError where names or shapes do not match exactly."""
    variables = {variable.path: variable for variable in model.weights}
    missing, extra = sorted(variables.keys() - weights.keys()), sorted(weights.keys() - variables.keys())
    if missing or extra:
        raise BundleError(
            f"{source}: weights do not fit the architecture: "
            f"{len(missing)} missing ({', '.join(missing[:3])}), {len(extra)} unknown ({', '.join(extra[:3])})"
        )
    for name, variable in variables.items():
        if tuple(variable.shape) != weights[name].shape:
            raise BundleError(
                f"{source}: weight {name} has shape {weights[name].shape}; the architecture needs {tuple(variable.shape)}"
            )
        variable.assign(weights[name])


def _check_digests(path: Path, arrays: Mapping[str, np.ndarray], expected: Mapping[str, str]) -> None:
    if set(arrays) != set(expected):
        odd = sorted(set(arrays) ^ set(expected))
        raise BundleError(f"{path}: arrays missing or added: {', '.join(odd[:3])}")
    for name, value in arrays.items():
        if digest(value) != expected[name]:
            raise BundleError(
                f"{path}: array {name} does not match its checksum; the file was changed or damaged"
            )
