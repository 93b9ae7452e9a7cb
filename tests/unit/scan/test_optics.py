"""Metres of pixels."""

import pytest

from ptycho.base.errors import DataContractError
from ptycho.scan import optics
from ptycho.scan.optics import Optics

STAR = Optics(1.4e-10, 1.92, 75e-6)


def test_a_pixel_of_the_object_is_the_far_fields():
    # Two waves that differ by a whole period over the width of the object's field meet one detector pixel apart:
    # wavelength / (N x object pixel) = detector pixel / distance.
    pixel = STAR.object_pixel_m(128)
    assert 1.4e-10 / (128 * pixel) == pytest.approx(75e-6 / 1.92)


def test_what_is_missing_is_named_by_the_option_that_supplies_it():
    assert Optics(distance_m=1.0).missing == ("--energy", "--detector-pixel")
    assert Optics(distance_m=1.0).object_pixel_m(64) is None
    assert STAR.missing == ()


def test_what_a_person_says_counts_more():
    assert Optics(distance_m=2.0).supplied(STAR) == Optics(1.4e-10, 2.0, 75e-6)


def test_it_goes_through_metadata():
    assert optics.of_metadata({optics.KEY: STAR.to_dict()}) == STAR
    assert optics.of_metadata({}) == Optics()


@pytest.mark.parametrize("value", [0, -1, "1", None, True, float("nan"), float("inf"), [1]])
def test_metadata_that_hold_no_length_are_refused(value):
    with pytest.raises(DataContractError, match=r"optics\.distance_m"):
        optics.of_metadata({optics.KEY: {"distance_m": value}})


@pytest.mark.parametrize("value", [3, [], {"distance": 1.0}])
def test_metadata_of_another_form_are_refused(value):
    with pytest.raises(DataContractError, match="optics in the metadata must hold some of wavelength_m"):
        optics.of_metadata({optics.KEY: value})


def test_it_is_written_for_people():
    assert optics.lines(STAR, 128) == (
        ("wavelength", "140 pm (a photon of 8.86 keV)"),
        ("distance of the detector", "1.92 m"),
        ("detector pixel", "75 µm"),
        ("object pixel", "28 nm"),
    )
