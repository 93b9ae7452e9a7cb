"""A config from its layers: override > profile > scenario > default.

Scenarios are TOML tables with profiles (`[profiles.NAME]`) in them; overrides are ``path=value`` texts.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from ptycho.base import errors
from ptycho.base.errors import ConfigError
from ptycho.settings import config as configs
from ptycho.settings.config import Config

PROFILES: Mapping[str, Mapping[str, Any]] = {
    "fast": {
        "model": {"warm_steps": 0, "steps": 2, "final_steps": 0},
        "training": {"epochs": 15, "learning_rate": 2e-3},
    }
}
"""Profiles that every scenario has and may add to.

`fast`: two gradient steps and no more. The corrections have to do the rest, and are trained for fifteen epochs.
"""


MOVED: Mapping[str, str] = {
    "solver.bad_pixels": "give --mask FILE; the mask then holds for all that follows, not for the solver alone",
    "gates.max_data_error": "set gates.max_unexplained, the largest place of the data error between photon noise (0) and the mean "
    "pattern (1)",
}
"""Parameters that are none any more, and what stands for them."""


def resolve(
    values: Mapping[str, Any],
    profile: str | None = None,
    overrides: Iterable[str] = (),
    source: str = "scenario",
) -> Config:
    """Build a Config from a scenario table, one of its `[profiles.*]` and ``path=value`` overrides.

    Several profiles are joined by ``+``; the last is the strongest.

    Raises
    ------
    ConfigError
        Unknown profile, unknown key, misspelt override path (with the nearest known one), bad value.
    """
    table = dict(values)
    profiles = _table(table.pop("profiles", {}), f"{source}: profiles")
    check_tables(table, source)
    for name, part in profiles.items():
        check_tables(_table(part, f"{source}: profiles.{name}"), f"{source}: profiles.{name}")
    profiles = merge(PROFILES, profiles)
    for name in profile.split("+") if profile is not None else ():
        if name not in profiles:
            raise ConfigError(f"{source}: unknown profile {name!r}; it has {', '.join(sorted(profiles))}")
        table = merge(table, profiles[name])
    for text in overrides:
        path, value = parse_override(text)
        table = merge(table, _nest(path, value))
    return Config.from_dict(table, source)


def check_tables(
    table: Mapping[str, Any], source: str, section: type[BaseModel] = Config, prefix: str = ""
) -> None:
    """Raise ConfigError where anything but a table stands in the place of a group of parameters."""
    for name, field in section.model_fields.items():
        inner = field.annotation
        if name in table and isinstance(inner, type) and issubclass(inner, BaseModel):
            path = f"{prefix}{name}"
            check_tables(_table(table[name], f"{source}: {path}"), source, inner, f"{path}.")


def _table(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{what} must be a table of parameters; got {configs.shown(value)}")
    return value


def merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `top` laid over it, table by table."""
    merged = dict(base)
    for key, value in top.items():
        old = merged.get(key)
        both_tables = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(old, value) if both_tables else value  # type: ignore[arg-type]
    return merged


def parse_override(text: str) -> tuple[str, Any]:
    """Split ``path=value`` and read the value as TOML (`true`, `3`, `1e-3`, `"text"`), else as text.

    Raises ConfigError for another form, or a path that is no parameter.

    `True`, `False` and `none` are understood too; `none` means the option's empty value.
    """
    path, equals, raw = text.partition("=")
    path, raw = path.strip(), raw.strip()
    if not equals or not path:
        raise ConfigError(f"--set {configs.shown(text)}: expected path=value, for example training.epochs=20")
    known = sorted(configs.leaf_paths())
    if path in MOVED:
        raise ConfigError(f"--set {configs.shown(text)}: is an option of its own now: {MOVED[path]}")
    if path not in known:
        # A parameter's own name, or the beginning of it, says more than the likeness of the whole path.
        leaf = path.rpartition(".")[2]
        same = [name for name in known if leaf and name.rpartition(".")[2].startswith(leaf)]
        hint = errors.hint(path, same or known, 0.0 if same else 0.4)
        raise ConfigError(f"--set {configs.shown(text)}: no parameter {configs.shown(path)}{hint}")
    if raw.lower() in ("true", "false"):
        return path, raw.lower() == "true"
    if raw.lower() == "none" and not _is_choice(path, raw):
        return path, None
    try:
        return path, tomllib.loads(f"value = {raw}")["value"]
    except (ValueError, RecursionError):
        return path, raw


def _is_choice(path: str, word: str) -> bool:
    """Whether a parameter has `word` among its choices (`none` is one of prediction_scale's)."""
    *sections, name = path.split(".")
    section: Any = Config
    for part in sections:
        section = section.model_fields[part].annotation
    return word in get_args(section.model_fields[name].annotation)


def _nest(path: str, value: Any) -> dict[str, Any]:
    for part in reversed(path.split(".")):
        value = {part: value}
    return dict(value)
