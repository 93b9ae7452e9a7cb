"""The named scenarios: TOML files of parameters, with reduced profiles."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

from ptycho import config as configs
from ptycho.config import Config
from ptycho.errors import ConfigError

MEASURED_PROBE = Path("run1084") / "run1084_recon_only.npz"
"""The measured probe of the custom scenarios, below the data folder."""


def scenario_names() -> list[str]:
    """Return the names of all scenarios of the package."""
    folder = resources.files("ptycho.scenarios")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def scenario_table(name: str) -> tuple[dict[str, Any], str]:
    """Return the table of a scenario (a name, or a path to a TOML file) and where it came from.

    Raises ConfigError for an unknown name, with the nearest known one.
    """
    if name.endswith(".toml"):
        path = Path(name)
        return {"name": path.stem, **configs.load_toml(path)}, name
    if name not in scenario_names():
        near = get_close_matches(name, scenario_names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"no scenario {name!r}{hint} (known: {', '.join(scenario_names())}, or a path to a .toml file)"
        )
    with resources.as_file(resources.files("ptycho.scenarios") / f"{name}.toml") as path:
        return {"name": name, **configs.load_toml(path)}, name


def load_scenario(
    name: str, profile: str | None = None, overrides: Iterable[str] = (), data_dir: Path | None = None
) -> Config:
    """Resolve a scenario.

    Parameters
    ----------
    name : str
        A scenario of the package, or a path to a TOML file.
    profile : str, optional
        One of the scenario's profiles.
    overrides : iterable of str
        ``path=value`` texts, strongest of all.
    data_dir : Path, optional
        Folder of measured data. A custom probe without a file is taken from there where it exists.
    """
    table, source = scenario_table(name)
    probe = table.get("probe", {})
    if probe.get("kind") == "custom" and "file" not in probe and data_dir is not None:
        measured = data_dir / MEASURED_PROBE
        if measured.exists():
            table = configs.merge(table, {"probe": {"file": str(measured)}})
    return configs.resolve(table, profile, overrides, source)


def default_data_dir() -> Path | None:
    """Return the folder of measured data: `PTYCHO_DATA_DIR`, else `../shared/datasets`, where it exists."""
    named = os.environ.get("PTYCHO_DATA_DIR")
    folder = Path(named) if named else Path("..") / "shared" / "datasets"
    return folder if folder.is_dir() else None
