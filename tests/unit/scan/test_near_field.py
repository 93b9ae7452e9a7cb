"""A beam that is wider than patterns can tell is seen in the near field, and refused; one that fits is not, however curved."""

import damaged
import numpy as np
import pytest
import strangers

from ptycho.base.errors import DataContractError
from ptycho.scan import inspection, near_field
from ptycho.scan.formats import registry
from ptycho.scan.raw import RawData

FACTOR = 0.25
"""Detector pixels by which a shadow moves for each pixel of the scan."""


def shadows(count=36, N=64, seed=2):
    """A scan of the near field, by Fresnel's integral as a convolution: a beam of 4 N object pixels, on N detector pixels of 4.

    (Goodman, Introduction to Fourier Optics, 4th ed., eq. 4-16.) None of the program's operators takes part.
    """
    rng = np.random.default_rng(seed)
    size, wide = 6 * N, 4 * N
    obj = damaged.texture((size, size), seed)
    where = rng.uniform(wide / 2, size - wide / 2, (count, 2))
    frequency = np.fft.fftfreq(wide)
    spread = np.exp(-1j * np.pi * 20.0 * (frequency[:, None] ** 2 + frequency[None, :] ** 2))
    frames = []
    for x, y in where.astype(int):
        part = obj[y - wide // 2 : y + wide // 2, x - wide // 2 : x + wide // 2]
        wave = np.fft.ifft2(np.fft.fft2(part) * spread)
        # Shadows of what lies at larger x come to larger columns.
        frames.append((np.abs(wave) ** 2).reshape(N, 4, N, 4).sum(axis=(1, 3)))
    probe = np.zeros((N, N), np.complex64)
    probe[N // 4 : -N // 4, N // 4 : -N // 4] = 1
    where = where.astype(int).astype(float)
    return RawData(where[:, 0], where[:, 1], np.sqrt(frames).astype(np.float32), probe)


@pytest.fixture(scope="module")
def scan():
    return shadows()


@pytest.mark.finding("NEAR-FIELD-001")
def test_a_beam_of_four_windows_is_refused(scan):
    shadow = near_field.look(scan)
    assert shadow.factor == pytest.approx(FACTOR, rel=0.05)
    assert shadow.width == pytest.approx(4.0, rel=0.2)
    with pytest.raises(
        DataContractError, match=r"patterns are shadow images: they move by 0\.2\d detector px"
    ):
        inspection.inspect(scan)


@pytest.mark.finding("NEAR-FIELD-001")
def test_the_fresnel_number_is_told_where_the_optics_are_known(scan):
    """A beam of 4 x 64 object pixels of 10 nm, 1 m away, at 0.1 nm."""
    optics = {"wavelength_m": 1e-10, "distance_m": 1.0, "detector_pixel_m": 1e-10 / (64 * 1e-8)}
    number = (4 * 64 * 1e-8) ** 2 / 1e-10
    with pytest.raises(DataContractError) as refused:
        near_field.check(scan.derived(metadata={"optics": optics}))
    told = float(str(refused.value).split("Fresnel number ")[1].split(",")[0])
    assert told == pytest.approx(number, rel=0.4)


@pytest.mark.parametrize("name", strangers.RIGHT)
def test_no_right_scan_is_refused(name):
    assert near_field.look(strangers.right(name).raw).width < 1


def test_a_curved_beam_that_fits_moves_its_patterns_and_is_not_refused():
    shadow = near_field.look(strangers.right("laser, pinhole").raw)
    assert shadow.factor > 0.3
    assert not shadow.too_wide


def test_shadows_at_shuffled_positions_tell_nothing(scan):
    order = np.random.default_rng(0).permutation(len(scan))
    assert near_field.look(scan.at(scan.positions[order])) == near_field.Shadow(0.0, 0.0)


def test_a_few_patterns_tell_nothing(scan):
    assert near_field.look(scan.take(np.arange(5))) == near_field.Shadow(0.0, 0.0)


@pytest.mark.finding("NEAR-FIELD-001")
def test_the_measured_scan_of_the_near_field_is_refused(measured):
    """PETRA III, P25: 0.036 is the Fresnel number of what its patterns can tell, and the beam is ten times as wide."""
    scan = registry.read(measured("petra3_cxi/PETRAIII_P25_Near_Field_Ptycho.cxi"))
    with pytest.raises(DataContractError, match="µm wide, Fresnel number"):
        inspection.inspect(scan)


def test_the_measured_star_is_not(measured):
    assert not near_field.look(registry.read(measured("siemens_star/siemens_star.npz"))).too_wide
