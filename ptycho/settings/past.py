"""The time machine: failing states of the past, rebuilt from registered faults and old settings.

A historical scenario (``history/NAME``) is an ordinary one with switches: settings that the product has, and known bugs that
are put back for the run. Each can be turned off alone: ``--set history.SWITCH=false``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from ptycho.base import errors, toml
from ptycho.base.errors import ConfigError
from ptycho.settings import scenarios
from ptycho.settings.config import Config

PREFIX = "history/"
"""Of the names of historical scenarios."""
SECTION = "history."
"""Of the paths of switches."""


@dataclass(frozen=True)
class Switch:
    """Something that was so then.

    Attributes
    ----------
    name : str
    says : str
        What it does, for people.
    settings : tuple of str
        Parameters of the product, ``path=value``.
    fault : str
        ID of the known bug that it puts back, or nothing.
    """

    name: str
    says: str
    settings: tuple[str, ...] = ()
    fault: str = ""


SWITCHES = (
    Switch(
        "classic_network",
        "an autoencoder that sees the patterns alone, neither probe nor positions",
        ("model.architecture=unet", "model.filters=32"),
    ),
    Switch(
        "imaginary_phase",
        "the object is A + i phi instead of A exp(i phi)",
        fault="MATH-POLAR-001:real-and-imaginary",
    ),
    Switch(
        "sigmoid_head",
        "the amplitude ends at 1 in the network's units, where the object's is 1.5 (idealised probe)",
        fault="DEBUG-SIM-LINES-DOSE-001/D6-range:ends-at-one",
    ),
    Switch(
        "closed_form_scale",
        "the photon scale is sqrt(nphotons) / (N/2), whatever was recorded",
        ("scaling.photon_scale=closed_form", "scaling.nphotons=1e9"),
    ),
    Switch(
        "gain_not_undone",
        "the network's normalisation stays on the result",
        fault="REASSEMBLY-BRIDGE-001/norm:never-undone",
    ),
    Switch(
        "sixty_four_groups",
        "64 groups of the test half are reconstructed, which cover a third of it",
        ("inference.n_groups=64",),
    ),
    Switch(
        "placement_20",
        "of each patch the middle 20 x 20 px are placed",
        fault="REASSEMBLY-M-CONTRACT-001:middle-of-20",
    ),
    Switch(
        "whole_canvas_metric",
        "canvas and truth are compared centre on centre, unmasked and unregistered",
        fault="EVALUATE-COVERAGE-001:canvas-on-truth",
    ),
    Switch("five_epochs", "training ends after five epochs", ("training.epochs=5",)),
)
"""In the order in which a run meets them, but for the last."""


def names() -> list[str]:
    """Return the names of all historical scenarios."""
    folder = resources.files("ptycho.settings.scenarios") / "history"
    result = (item.name for item in folder.iterdir() if item.name.endswith(".toml"))
    return sorted(PREFIX + name.removesuffix(".toml") for name in result)


def is_historical(scenario: str | None) -> bool:
    """Whether a scenario is one of the past."""
    return scenario is not None and scenario.startswith(PREFIX)


def plain(overrides: Iterable[str]) -> list[str]:
    """Return the overrides that are no switches."""
    return [text for text in overrides if not text.strip().startswith(SECTION)]


def describe(scenario: str) -> str:
    """Return what a historical scenario is, in a line."""
    return str(_table(scenario).get("description", ""))


def load(scenario: str, profile: str | None = None, overrides: Iterable[str] = ()) -> Config:
    """Resolve a historical scenario: its base, its own settings, those of the switches that are on, overrides.

    Raises
    ------
    ConfigError
        An unknown scenario, switch or parameter.
    """
    overrides = list(overrides)
    table = _table(scenario)
    settings = [text for switch in _on(table, overrides) for text in switch.settings]
    own = [f"{path}={value}" for path, value in table.get("settings", {}).items()]
    config = scenarios.load_scenario(
        table["base"], profile or table.get("profile"), [*own, *settings, *plain(overrides)]
    )
    return config.model_copy(update={"name": scenario, "description": table.get("description", "")})


def switched_on(scenario: str | None, overrides: Iterable[str] = ()) -> tuple[Switch, ...]:
    """Return the switches that are on, none where the scenario is not historical.

    Raises ConfigError for a switch that does not exist, or a value that is neither true nor false.
    """
    return _on(_table(str(scenario)), overrides) if is_historical(scenario) else ()


def bugs(switches: Iterable[Switch]) -> list[str]:
    """Return the IDs of the known bugs that switches put back."""
    return [switch.fault for switch in switches if switch.fault]


def _on(table: Mapping[str, Any], overrides: Iterable[str]) -> tuple[Switch, ...]:
    state = dict(table.get("history", {}))
    known = [switch.name for switch in SWITCHES]
    for text in overrides:
        path, _, value = (part.strip() for part in text.partition("="))
        if not path.startswith(SECTION):
            continue
        name = path.removeprefix(SECTION)
        if name not in known:
            raise ConfigError(
                f"--set {text}: no switch {name!r}{errors.hint(name, known)} (known: {', '.join(known)})"
            )
        if value.lower() not in ("true", "false"):
            raise ConfigError(f"--set {text}: a switch is true or false")
        state[name] = value.lower() == "true"
    return tuple(switch for switch in SWITCHES if state.get(switch.name))


def _table(scenario: str) -> dict[str, Any]:
    if scenario not in names():
        raise ConfigError(
            f"no scenario {scenario!r}{errors.hint(scenario, names())} (known: {', '.join(names())})"
        )
    path = resources.files("ptycho.settings.scenarios") / f"{scenario}.toml"
    with resources.as_file(path) as file:
        return toml.load_toml(file)
