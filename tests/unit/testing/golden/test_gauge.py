"""The gauge is found, taken out, and told: an alignment hides neither a sign nor an axis."""

import numpy as np
import oracles
import pytest

from ptycho.testing.golden import gauge

BIG = oracles.smooth_object(100, 120)
FIELD = BIG[20:80, 20:100]
WEIGHT = np.zeros(FIELD.shape)
WEIGHT[6:50, 8:70] = 1
Y, X = np.mgrid[:60, :80].astype(float)
ALLOWED = {"residual": 1e-6, "phase": 1e-6, "ramp": 1e-7, "shift": 1e-5, "scale": 1e-6}


def told(obtained, expected=FIELD, weight=WEIGHT):
    return [d.text for d in gauge.differences("object", obtained, expected, weight, ALLOWED)]


def test_a_field_has_no_gauge_against_itself():
    found = gauge.fit(FIELD, FIELD, WEIGHT)
    assert found.orientation == "as it is"
    assert max(found.numbers().values()) < 1e-12
    assert found.residual < 1e-12
    assert told(FIELD) == []


def test_phase_scale_ramp_and_place_are_found_together():
    """The object's own pixels, cut elsewhere, so that nothing is interpolated."""
    moved = BIG[17:77, 15:95]  # its content lies 5 px farther right, 3 px farther down
    ramp = 0.02 * (X - 39.5) - 0.01 * (Y - 29.5)
    found = gauge.fit(1.2 * moved * np.exp(1j * (2.5 + ramp)), FIELD, WEIGHT)
    assert found.shift == pytest.approx((5, 3), abs=1e-9)
    assert found.scale == pytest.approx(np.log(1.2), abs=1e-9)
    assert found.residual < 1e-9
    # A ramp turns about the middle of the array, before the content is moved back.
    assert found.ramp == pytest.approx((0.02, -0.01), abs=1e-9)
    assert found.phase == pytest.approx(2.5 + 0.02 * 5 - 0.01 * 3, abs=1e-9)


@pytest.mark.parametrize(
    ("obtained", "words"),
    [
        (FIELD * np.exp(0.01j), "the phase of its gauge is 0.01 rad"),
        (FIELD * np.exp(0.002j * (X - 39.5)), "the ramp of its gauge is 0.002 rad/px"),
        (FIELD * 1.01, "the scale of its gauge is 0.00995 (logarithm)"),
        (BIG[19:79, 20:100], "the shift of its gauge is 1 px"),
    ],
)
def test_each_part_of_the_gauge_is_compared_and_the_rest_agrees(obtained, words):
    (said,) = told(obtained)
    assert words in said


def test_a_shift_of_part_of_a_pixel_is_found():
    """A field known between its pixels, from its formula."""
    y, x = np.mgrid[:60, :80].astype(float)

    def field(x, y):
        return (2 + np.sin(0.21 * x + 0.1 * y)) * np.exp(1j * np.cos(0.17 * y - 0.06 * x))

    found = gauge.fit(field(x - 0.4, y + 0.3), field(x, y), WEIGHT)
    assert found.shift == pytest.approx((0.4, -0.3), abs=2e-4)
    assert found.residual < 1e-3


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (lambda f: f[::-1, ::-1].conj(), "turned by 180 degrees and conjugated: it is the twin"),
        (lambda f: f[::-1], "flipped in y"),
        (lambda f: f[:, ::-1], "flipped in x"),
        (lambda f: f.conj(), "conjugated"),
        (lambda f: f.T, "transposed"),
        (lambda f: np.rot90(f), "transposed, flipped in x"),
    ],
)
def test_an_orientation_is_told_by_its_name(turn, words):
    square = oracles.smooth_object(40, 40)
    said = told(turn(square), square, np.ones((40, 40)))
    assert said[0] == f"object: lies on the other only when {words}"
    assert len(said) == 1, "but for that it is the same field"


def test_a_sign_is_a_phase_and_is_not_aligned_away():
    assert "the phase of its gauge is 3.14 rad" in told(-FIELD)[0]


def test_what_no_gauge_explains_is_left():
    broken = FIELD.copy()
    broken[30, 30] *= 1.01
    found = gauge.fit(broken, FIELD, WEIGHT)
    expected = 0.01 * abs(FIELD[30, 30]) / np.abs(FIELD).max()
    assert found.residual == pytest.approx(expected, rel=0.01)
    assert any("still differs by" in said for said in told(broken))


def test_what_does_not_count_is_not_seen():
    broken = FIELD.copy()
    broken[WEIGHT == 0] = 1e3
    assert told(broken) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_field_that_is_not_finite_is_infinitely_far(value):
    broken = FIELD.copy()
    broken[30, 30] = value
    assert gauge.fit(broken, FIELD, WEIGHT).residual == np.inf


def test_noise_is_no_field_in_any_gauge():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=FIELD.shape) + 1j * rng.normal(size=FIELD.shape)
    assert gauge.fit(noise, FIELD, WEIGHT).residual > 0.5
