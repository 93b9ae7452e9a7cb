"""Quantities as people write them."""

import pytest
from scipy import constants

from ptycho.base import units
from ptycho.base.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("8.8keV", "J", 8800 * constants.e),
        ("8.8 keV", "J", 8800 * constants.e),
        ("8800 eV", "J", 8800 * constants.e),
        ("1.92m", "m", 1.92),
        ("192 cm", "m", 1.92),
        ("75um", "m", 75e-6),
        ("75 µm", "m", 75e-6),
        ("0.5 angstrom", "m", 5e-11),
    ],
)
def test_a_number_and_its_unit_are_read(text, unit, value):
    assert units.read(text, unit, "--it", "1m") == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(
    "text",
    [
        "8.8",
        "keV",
        "",
        "8.8 kev",
        "8.8 apples",
        "3 kg",
        "-1 m",
        "0 m",
        "nan m",
        "1e400 m",
        "1 m m",
        "__import__('os')",
        "(",
        "1//0 m",
        "9**9**9 m",
        "1 m**2",
        "1 \U0001d7d9",
    ],
)
def test_anything_else_is_refused_with_an_example(text):
    with pytest.raises(
        ConfigError, match=r"--distance = .*: expected a number above 0 and its unit, as 1.92m"
    ):
        units.read(text, "m", "--distance", "1.92m")


def test_wavelength_and_energy_of_a_photon_are_those_of_the_tables():
    # The K-alpha line of copper: 8.04778 keV, 1.54059 angstrom (NIST).
    assert units.wavelength_of(8047.78 * constants.e) == pytest.approx(1.54059e-10, rel=1e-5)
    assert units.energy_of(1.54059e-10) == pytest.approx(8047.78, rel=1e-5)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.92, "1.92 m"),
        (12.34e-9, "12.3 nm"),
        (7.5e-5, "75 µm"),
        (999.9e-9, "1 µm"),
        (8800.0, "8.8 km"),
        (2e-13, "0.2 pm"),
        (float("nan"), "n/a"),
    ],
)
def test_a_quantity_is_written_with_the_prefix_that_suits_it(value, text):
    assert units.written(value, "m") == text
