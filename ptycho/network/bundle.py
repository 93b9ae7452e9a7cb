"""A trained model as a frozen value of plain arrays, and as one file.

The file is an NPZ without pickle: the weights by name, the probe, and a JSON text with the format version,
N, gridsize and architecture, the scales, the training history and the SHA-256 of every array, sealed by a
SHA-256 of its own. Loading rebuilds the architecture from what is stored and sets each weight by name and shape;
nothing is taken from defaults of the moment. Beside the bundle the file says how it was made (`about`: the whole
config, provenance); that is no part of the bundle and of its identity.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.base import archive, atomic, documents
from ptycho.base.errors import BundleError, DataContractError, ScaleError
from ptycho.physics.scaling import Scales
from ptycho.settings import config as configs
from ptycho.settings.sections import ModelConfig

FORMAT = "ptycho-bundle-5"


@dataclass(frozen=True)
class Bundle:
    """Everything that inference needs.

    Attributes
    ----------
    N, gridsize : int
        Of the patterns and groups that it was trained on.
    model : ModelConfig
        The architecture.
    weights : mapping of str to array
    probe : (P, N, N) complex64
        As the forward model used it.
    scales : Scales
        Measured on the training groups, reused unchanged.
    trained_photon_scale : float
        The model's photon scale after training.
    prediction_scale : float
        Least-squares factor between predicted and measured amplitudes of the training groups; a
        diagnostic, 1 for a good model.
    untrained_error, trained_error : float
        sum (A_pred - A)^2 / sum A^2 of the validation clusters' patterns before and after training.
    held_out_patterns : int
        Patterns in those clusters; 0 where none were held out: then the errors are those of patterns that trained.
    history : sequence of mappings
        One row an epoch; row 0 is the network before training.
    stopped : str
        Why training ended.
    """

    N: int
    gridsize: int
    model: ModelConfig
    weights: Mapping[str, np.ndarray]
    probe: np.ndarray
    scales: Scales
    trained_photon_scale: float
    prediction_scale: float = 1.0
    untrained_error: float = math.nan
    trained_error: float = math.nan
    held_out_patterns: int = 0
    history: tuple[Mapping[str, Any], ...] = ()
    stopped: str = ""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.trained_photon_scale) and self.trained_photon_scale > 0):
            raise BundleError(
                f"trained_photon_scale must be finite and > 0; got {self.trained_photon_scale!r}"
            )
        if self.probe.ndim != 3 or self.probe.shape[1:] != (self.N, self.N):
            raise BundleError(
                f"the probe must be (modes, {self.N}, {self.N}) for N = {self.N}; got {self.probe.shape}"
            )
        if self.gridsize < 1:
            raise BundleError(f"gridsize must be at least 1; got {self.gridsize}")


def save_bundle(path: Path, bundle: Bundle, about: Mapping[str, Any] | None = None) -> None:
    """Write a bundle atomically, and beside it how it was made (JSON values)."""
    arrays = {f"weights/{name}": np.asarray(value) for name, value in bundle.weights.items()}
    arrays["probe"] = bundle.probe
    description = {
        "format": FORMAT,
        "N": bundle.N,
        "gridsize": bundle.gridsize,
        "model": bundle.model.model_dump(mode="json"),
        "scales": asdict(bundle.scales),
        "trained_photon_scale": bundle.trained_photon_scale,
        "prediction_scale": bundle.prediction_scale,
        "untrained_error": bundle.untrained_error,
        "trained_error": bundle.trained_error,
        "held_out_patterns": bundle.held_out_patterns,
        "history": list(bundle.history),
        "stopped": bundle.stopped,
        "sha256": {name: digest(value) for name, value in arrays.items()},
        "about": dict(about or {}),
    }
    text = json.dumps(atomic.plain(description))
    atomic.write_arrays(path, {**arrays, "_bundle": np.array(text), "_seal": np.array(seal_of(text))})


def load_bundle(path: Path | str) -> Bundle:
    """Read a bundle; raise BundleError naming the file and the damage."""
    path = Path(path)
    arrays, text = _read(path)
    try:
        check_digests(path, arrays, text["sha256"])
        result = Bundle(
            N=int(text["N"]),
            gridsize=int(text["gridsize"]),
            model=ModelConfig.model_validate(text["model"]),
            weights={
                name.removeprefix("weights/"): value for name, value in arrays.items() if name != "probe"
            },
            probe=arrays["probe"],
            scales=Scales(**text["scales"]),
            trained_photon_scale=float(text["trained_photon_scale"]),
            prediction_scale=_number(text["prediction_scale"]),
            untrained_error=_number(text["untrained_error"]),
            trained_error=_number(text["trained_error"]),
            held_out_patterns=int(text["held_out_patterns"]),
            history=tuple(text["history"]),
            stopped=str(text["stopped"]),
        )
        check_sizes(result)
        return result
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, ScaleError, BundleError) as error:
        raise BundleError(f"{path}: its description is incomplete or contradictory: {error}") from None


def check_sizes(bundle: Bundle) -> None:
    """Raise ValueError for a bundle whose parts cannot belong together: before a network is built, which may take gigabytes."""
    widest = max((size for weight in bundle.weights.values() for size in weight.shape), default=0)
    model = bundle.model
    if model.filters * 2 ** (model.levels - 1) > widest and widest:
        raise ValueError(
            f"{model.filters} filters at {model.levels} levels, and weights of at most {widest} channels"
        )
    for row in bundle.history:
        if not all(name.isidentifier() for name in row):
            raise ValueError("odd names in the history")


def read_about(path: Path | str) -> dict[str, Any]:
    """Return what a bundle's file says of how it was made: the whole `config`, `provenance`; maybe nothing."""
    return dict(_read(Path(path))[1]["about"])


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays of a bundle's file and its description."""
    try:
        arrays = archive.read_arrays(path)
    except DataContractError as error:
        raise BundleError(f"{error}; train again or copy the bundle anew") from None
    if "_bundle" not in arrays:
        raise BundleError(
            f"{path}: not a model bundle (it has no _bundle entry); expected a file made by 'ptycho train'"
        )
    written, seal = str(arrays.pop("_bundle")), str(arrays.pop("_seal", ""))
    try:
        text = documents.parsed(written, str(path), BundleError)
        form = text["format"]
    except (TypeError, KeyError) as error:
        raise BundleError(f"{path}: its description is damaged: {type(error).__name__}: {error}") from None
    if form != FORMAT:
        raise BundleError(
            f"{path}: bundle format is {configs.shown(form)}; this version reads {FORMAT!r}; train again"
        )
    if seal_of(written) != seal:
        raise BundleError(
            f"{path}: its description does not match its checksum; the file was changed or damaged"
        )
    return arrays, text


def _number(value: float | None) -> float:
    """Undo JSON's null for what is not a number."""
    return math.nan if value is None else float(value)


def seal_of(text: str) -> str:
    """Return the SHA-256 of a description as it is written."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's dtype, shape and bytes.

    The array is of any shape.
    """
    array = np.ascontiguousarray(array)
    return hashlib.sha256(f"{array.dtype.str}{array.shape}".encode() + array.tobytes()).hexdigest()


def get_weights(model: Any) -> dict[str, np.ndarray]:
    """Return copies of a model's weights by name.

    Arrays are of any shape, float32.
    """
    return {
        variable.path: np.array(variable.numpy() if hasattr(variable, "numpy") else variable)
        for variable in model.weights
    }


def set_weights(model: Any, weights: Mapping[str, np.ndarray], source: str = "bundle") -> None:
    """Set a model's weights by name; raise BundleError where names or shapes do not match exactly.

    Arrays are of any shape, float32.
    """
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


def check_digests(path: Path, arrays: Mapping[str, np.ndarray], expected: Mapping[str, str]) -> None:
    """Raise BundleError where arrays are not those whose digests a bundle lists.

    Arrays are of any shape.
    """
    if set(arrays) != set(expected):
        odd = sorted(set(arrays) ^ set(expected))
        raise BundleError(f"{path}: arrays missing or added: {', '.join(odd[:3])}")
    for name, value in arrays.items():
        if digest(value) != expected[name]:
            raise BundleError(
                f"{path}: array {name} does not match its checksum; the file was changed or damaged"
            )
