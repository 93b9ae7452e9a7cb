"""The one table of parameters: frozen, validated values that are passed down and never looked up.

The defaults stand here and nowhere else; :mod:`ptycho.settings.layers` lays scenarios, profiles and overrides over them.

Units stand in the names: ``_px`` object pixels. Every angle is in radians.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Self

from pydantic import BaseModel, ValidationError, model_validator
from pydantic.fields import FieldInfo

from ptycho.base import errors
from ptycho.base.errors import ConfigError
from ptycho.base.section import Section
from ptycho.settings import fields
from ptycho.settings.sections import (
    EvaluationConfig,
    GatesConfig,
    GroupingConfig,
    InferenceConfig,
    InspectionConfig,
    ModelConfig,
    ProbeConfig,
    ScalingConfig,
    SimulationConfig,
    SolverConfig,
    SplitConfig,
    TrainingConfig,
)

SUPPORTED_N = (32, 64, 128, 256)


def check_name(name: str) -> None:
    """Raise ValueError for the name of a run that would lead its folder elsewhere, or cannot be shown."""
    parts = PurePath(name).parts
    if not parts or ".." in parts or PurePath(name).is_absolute() or not name.isprintable():
        raise ValueError(f"name = {name!r} must be a name that a folder can have, without ..")


class Config(Section):
    """Everything that a run depends on; the resolved form is stored with every run."""

    name: str = "custom"
    """Name of the run, for people."""
    description: str = ""
    """What it is, for people."""
    N: int = fields.setting(64, "px")
    """Side of a diffraction pattern and of a patch, px."""
    gridsize: int = fields.setting(1, "patterns a side", ge=1, le=4)
    """A group has gridsize^2 patterns."""
    seed: int = fields.setting(0, "seed", ge=0, lt=2**32)
    """Seed of the noise, the network's initial weights and the order of the training batches."""
    probe: ProbeConfig = ProbeConfig()
    """The illumination."""
    simulation: SimulationConfig = SimulationConfig()
    """The synthetic experiment."""
    inspection: InspectionConfig = InspectionConfig()
    """What of a scan is kept although it is bad."""
    split: SplitConfig = SplitConfig()
    """Training part and test part."""
    grouping: GroupingConfig = GroupingConfig()
    """Groups that train."""
    scaling: ScalingConfig = ScalingConfig()
    """The photon scale."""
    model: ModelConfig = ModelConfig()
    """The network."""
    training: TrainingConfig = TrainingConfig()
    """Optimisation."""
    inference: InferenceConfig = InferenceConfig()
    """Prediction and stitching."""
    solver: SolverConfig = SolverConfig()
    """The direct solver."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Where and how a reconstruction is compared."""
    gates: GatesConfig = GatesConfig()
    """What counts as success."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_name(self.name)
        if self.N not in SUPPORTED_N:
            raise ValueError(f"N must be one of {', '.join(map(str, SUPPORTED_N))}; got {self.N}")
        channels = self.gridsize**2
        if self.grouping.method == "nearest" and channels > 1 and self.grouping.neighbor_count < channels:
            raise ValueError(
                f"grouping.neighbor_count = {self.grouping.neighbor_count} must be >= gridsize^2 = {channels}"
            )
        if self.inference.prediction_scale == "least_squares" and not self.evaluation.use_object_guess:
            raise ValueError(
                "inference.prediction_scale = least_squares fits to the truth, which evaluation.use_object_guess = false "
                "leaves out; use none or recorded"
            )
        if self.N % self.model.multiple:
            raise ValueError(f"N = {self.N} is not divisible by model.block * 2^(model.levels - 1)")
        return self

    @property
    def channels(self) -> int:
        """Patterns in a group, gridsize^2."""
        return self.gridsize**2

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain JSON types, none left out."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "config") -> Config:
        """Validate `values`; raise ConfigError naming `source`, the key, the value and the expectation."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigError(f"{source}: {_explain(error)}") from None


def leaf_paths(section: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Return the dotted path of every parameter."""
    paths: list[str] = []
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            paths += leaf_paths(inner, f"{prefix}{name}.")
        else:
            paths.append(prefix + name)
    return paths


def fields_on_the_way(path: str) -> list[FieldInfo]:
    """Return the fields of the groups that the parameter at a dotted `path` is in, outermost first, and its own."""
    section: Any = Config
    result = []
    for part in path.split("."):
        result.append(section.model_fields[part])
        section = result[-1].annotation
    return result


def lookup(values: Mapping[str, Any], path: str) -> Any:
    """Return the value or table at a dotted `path`."""
    result: Any = values
    for part in path.split("."):
        result = result[part]
    return result


def with_values(config: Config, values: Mapping[str, Any], source: str = "config") -> Config:
    """Return a config with other values at dotted paths; raise ConfigError, naming `source`, where these do not go together."""
    result = config.to_dict()
    for path, value in values.items():
        section, _, last = path.rpartition(".")
        table = lookup(result, section) if section else result
        table[last] = value
    return Config.from_dict(result, source)


def differences(left: Config, right: Config) -> dict[str, tuple[Any, Any]]:
    """Return {path: (left, right)} for every parameter in which two configs differ."""
    a, b = left.to_dict(), right.to_dict()
    pairs = {path: (lookup(a, path), lookup(b, path)) for path in leaf_paths()}
    return {path: pair for path, pair in pairs.items() if pair[0] != pair[1]}


def shown(value: Any) -> str:
    """Write a value for an error message, however long it is."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    return short.repr(value)


def _explain(error: ValidationError) -> str:
    """Turn pydantic's report into one line: path = value: expectation (nearest known key)."""
    parts = []
    for item in error.errors():
        path = ".".join(str(p) for p in item["loc"])
        if item["type"] == "extra_forbidden":
            parts.append(f"unknown key {path!r}{errors.hint(path, leaf_paths(), 0.4)}")
        elif path:
            message = item["msg"][0].lower() + item["msg"][1:]
            parts.append(f"{path} = {shown(item['input'])}: {message.removeprefix('value error, ')}")
        else:
            parts.append(item["msg"].removeprefix("Value error, "))
    return "; ".join(parts)
