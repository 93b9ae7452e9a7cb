"""Every scenario, fully resolved: one table of defaults, and no value that changes unnoticed.

Update on purpose with --snapshot-update.
"""

from pathlib import Path

import pytest

import ptycho
from ptycho.base.toml import load_toml
from ptycho.settings.config import Config
from ptycho.settings.layers import resolve

pytestmark = pytest.mark.golden

SCENARIOS = sorted((Path(ptycho.__file__).parent / "settings" / "scenarios").glob("*.toml"))
RUNS = [
    (path, profile) for path in SCENARIOS for profile in (None, *sorted(load_toml(path).get("profiles", {})))
]


@pytest.mark.finding("GRIDLINES-OBJECT-BIG-001")
def test_the_defaults(golden_json):
    assert Config().to_dict() == golden_json


def test_all_published_scenarios_are_here():
    names = {path.stem for path in SCENARIOS}
    assert names >= {"gs1_ideal", "gs1_custom", "gs2_ideal", "gs2_custom", "dose_experiments"}


@pytest.mark.finding("GRIDLINES-OBJECT-BIG-001")
@pytest.mark.parametrize(
    ("path", "profile"), RUNS, ids=[f"{path.stem}-{profile or 'full'}" for path, profile in RUNS]
)
def test_a_scenario(path, profile, golden_json):
    config = resolve({"name": path.stem, **load_toml(path)}, profile, source=path.name)
    assert config.to_dict() == golden_json


@pytest.mark.parametrize(
    ("name", "gridsize", "kind", "scale"),
    [
        ("gs1_ideal", 1, "idealized", 10.0),
        ("gs1_custom", 1, "custom", 4.0),
        ("gs2_ideal", 2, "idealized", 10.0),
        ("gs2_custom", 2, "custom", 4.0),
    ],
)
def test_the_published_parameters(name, gridsize, kind, scale):
    """Not frozen behaviour but what was published, facts a1."""
    (path,) = [path for path in SCENARIOS if path.stem == name]
    config = resolve({"name": name, **load_toml(path)})
    assert (config.N, config.gridsize, config.probe.kind, config.probe.scale) == (64, gridsize, kind, scale)
    simulation = config.simulation
    assert (simulation.mode, simulation.object_size_px, simulation.object_seed, simulation.seed) == (
        "nongrid",
        392,
        42,
        42,
    )
    assert (simulation.base_total_images, simulation.buffer_px, simulation.nphotons) == (2000, 10.0, 1e9)
    assert (config.split.method, config.split.fraction) == ("axis", 0.5)
    assert (config.grouping.n_groups, config.grouping.neighbor_count) == (1000, 4)
