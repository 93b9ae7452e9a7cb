"""What would hide faults is told: constant, zero, saturated, and all symmetries; what is lopsided is not."""

import numpy as np
import oracles
import pytest

from ptycho.testing.golden import worth

RNG = np.random.default_rng(4)
LOPSIDED = RNG.normal(size=(6, 6))


def test_lopsided_arrays_are_worth_storing():
    for array in (
        LOPSIDED,
        oracles.smooth_object(9, 9),
        RNG.integers(0, 99, (5, 3)),
        np.array([3.0, 1.0, 2.0]),
        np.array(["a", "b"]),
        LOPSIDED > 0.3,
        np.array(7.0),
        np.array([[[1.0], [2.0]]]),
        np.where(LOPSIDED > 1, np.nan, LOPSIDED),
    ):
        assert worth.complaints(array) == []


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 5)), "is zero everywhere"),
        (np.full((4, 5), 3.0), "is constant"),
        (np.full(4, True), "is constant"),
        (np.full((4, 5), np.nan), "is nowhere finite"),
        (np.array(np.inf), "is not finite"),
        (np.zeros((0, 3)), "is empty"),
        (np.array([None]), "neither numbers nor text"),
        (np.minimum(LOPSIDED, -0.2) + 9, "is saturated: "),
        (np.minimum(RNG.integers(0, 1000, (9, 9)), 400).astype(np.uint16), "is saturated: "),
        (LOPSIDED + LOPSIDED[::-1], "when its rows are reversed"),
        (LOPSIDED + LOPSIDED[:, ::-1], "when its columns are reversed"),
        (LOPSIDED + LOPSIDED[::-1, ::-1], "when turned by 180 degrees"),
        (LOPSIDED + LOPSIDED.T, "when rows and columns are swapped"),
        (np.array([1.0, 2.0, 1.0]), "when reversed"),
    ],
)
def test_what_would_hide_a_fault_is_told(array, words):
    assert any(words in said for said in worth.complaints(array))


def test_the_twin_of_a_complex_field_is_a_symmetry_of_its_own():
    field = oracles.smooth_object(8, 8)
    own_twin = field + field[::-1, ::-1].conj()
    assert worth.complaints(own_twin) == ["is the same when turned by 180 degrees and conjugated (its twin)"]
    assert worth.complaints(field) == []


def test_stacks_are_asked_image_by_image_all_at_once():
    """One lopsided image among the others would show a fault."""
    symmetric = LOPSIDED + LOPSIDED.T
    assert worth.complaints(np.stack([symmetric, 2 * symmetric]))
    assert worth.complaints(np.stack([symmetric, LOPSIDED])) == []
