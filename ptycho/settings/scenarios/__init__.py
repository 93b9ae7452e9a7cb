"""The named scenarios: TOML files of parameters, with reduced profiles."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from ptycho.base import errors, toml
from ptycho.base.errors import ConfigError
from ptycho.settings import layers
from ptycho.settings.config import Config

DATA_DIR = "PTYCHO_DATA_DIR"
"""The environment variable that names the folder of measured data."""
MEASURED_PROBE = Path("run1084") / "run1084_recon_only.npz"
"""The measured probe of the custom scenarios, below the data folder."""


def scenario_names() -> list[str]:
    """Return the names of all scenarios of the package."""
    folder = resources.files("ptycho.settings.scenarios")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def scenario_table(name: str) -> tuple[dict[str, Any], str]:
    """Return the table of a scenario (a name, or a path to a TOML file) and where it came from.

    Raises ConfigError for an unknown name, with the nearest known one.
    """
    if name.endswith(".toml"):
        path = Path(name)
        return {"name": path.stem, **toml.load_toml(path)}, name
    if name not in scenario_names():
        hint = errors.hint(name, scenario_names())
        raise ConfigError(
            f"no scenario {name!r}{hint} (known: {', '.join(scenario_names())}, or a path to a .toml file)"
        )
    with resources.as_file(resources.files("ptycho.settings.scenarios") / f"{name}.toml") as path:
        return {"name": name, **toml.load_toml(path)}, name


def load_scenario(name: str, profile: str | None = None, overrides: Iterable[str] = ()) -> Config:
    """Resolve a scenario.

    A custom probe without a file is the measured one in the folder that the variable `PTYCHO_DATA_DIR` names, and
    without that variable the built-in model.

    Parameters
    ----------
    name : str
        A scenario of the package, or a path to a TOML file.
    profile : str, optional
        One of the scenario's profiles.
    overrides : iterable of str
        ``path=value`` texts, strongest of all.

    Raises
    ------
    ConfigError
        An unknown scenario, profile or parameter; `PTYCHO_DATA_DIR` names no folder with the probe.
    """
    table, source = scenario_table(name)
    config = layers.resolve(table, profile, overrides, source)
    if config.probe.kind != "custom" or config.probe.file is not None or not os.environ.get(DATA_DIR):
        return config
    measured = Path(os.environ[DATA_DIR]) / MEASURED_PROBE
    if not measured.is_file():
        raise ConfigError(
            f"{DATA_DIR} = {os.environ[DATA_DIR]}: there is no {MEASURED_PROBE} in it; unset the variable to take the "
            "built-in probe, or give one with --set probe.file=FILE"
        )
    return Config.from_dict(layers.merge(config.to_dict(), {"probe": {"file": str(measured)}}), source)
