"""Scenarios: what brings measured data in, and what does not."""

import pytest

from ptycho.base.errors import ConfigError
from ptycho.settings import scenarios


@pytest.fixture
def with_probe(tmp_path, monkeypatch):
    """A data folder with something in the place of the measured probe."""
    file = tmp_path / "data" / scenarios.MEASURED_PROBE
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    monkeypatch.setenv("PTYCHO_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def test_the_variable_brings_the_measured_probe_in(with_probe):
    assert scenarios.load_scenario("gs1_custom").probe.file == with_probe / scenarios.MEASURED_PROBE


def test_any_folder_will_do(tmp_path, monkeypatch):
    """A quotation mark in a path once came back escaped in none of the right ways."""
    file = tmp_path / 'a "b" \\ c' / scenarios.MEASURED_PROBE
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    monkeypatch.setenv("PTYCHO_DATA_DIR", str(tmp_path / 'a "b" \\ c'))
    assert scenarios.load_scenario("gs1_custom").probe.file == file


def test_it_does_so_for_a_scenario_of_ones_own(with_probe, tmp_path):
    (tmp_path / "own.toml").write_text('[probe]\nkind = "custom"\n')
    config = scenarios.load_scenario(str(tmp_path / "own.toml"))
    assert config.probe.file == with_probe / scenarios.MEASURED_PROBE


def test_a_named_file_is_stronger(with_probe):
    config = scenarios.load_scenario("gs1_custom", None, ["probe.file=mine.npz"])
    assert str(config.probe.file) == "mine.npz"


def test_an_idealised_probe_needs_no_file(with_probe):
    assert scenarios.load_scenario("gs1_ideal").probe.file is None


def test_no_other_folder_is_looked_at(tmp_path, monkeypatch):
    """A folder beside the current one once decided which probe a scenario had."""
    file = tmp_path / "shared" / "datasets" / scenarios.MEASURED_PROBE
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert scenarios.load_scenario("gs1_custom").probe.file is None


@pytest.mark.parametrize("folder", ["", "absent"])
def test_a_folder_without_the_probe_is_no_silent_other_probe(tmp_path, monkeypatch, folder):
    monkeypatch.setenv("PTYCHO_DATA_DIR", str(tmp_path / folder))
    with pytest.raises(ConfigError, match=r"PTYCHO_DATA_DIR = .*: there is no run1084.*probe\.file=FILE"):
        scenarios.load_scenario("gs1_custom")


@pytest.mark.parametrize("name", scenarios.scenario_names())
def test_every_profile_of_every_scenario_resolves(name):
    table, _ = scenarios.scenario_table(name)
    assert "stable" in table["profiles"]
    for profile in (None, *table["profiles"]):
        assert scenarios.load_scenario(name, profile).name == name
