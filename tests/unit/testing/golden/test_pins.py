"""A few numbers that any change of an array moves, and that say where."""

from dataclasses import dataclass

import numpy as np
import oracles
import pytest

from ptycho.testing.golden import pins

STACK = oracles.noise_object(40, 40).reshape(4, 20, 20)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a[:, ::-1],
        lambda a: a[:, :, ::-1],
        lambda a: np.swapaxes(a, 1, 2),
        lambda a: a[:, ::-1, ::-1].conj(),
        lambda a: np.roll(a, 1, axis=2),
        lambda a: a * np.exp(1e-6j),
        lambda a: a * (1 + 1e-6),
        lambda a: np.where(np.abs(a) == np.abs(a).max(axis=(1, 2), keepdims=True), 0, a),
    ],
    ids=["rows", "columns", "transposed", "twin", "rolled", "phase", "scale", "one dead pixel"],
)
def test_a_projection_moves_with_every_change(change):
    before, after = pins.projection(STACK), pins.projection(change(STACK))
    assert (np.abs(after - before) > 1e-9 * np.abs(before)).all()


def test_a_projection_says_which_entry_changed_and_is_the_mean_with_fixed_weights():
    changed = STACK.copy()
    changed[2, 3, 4] += 1
    apart = np.abs(pins.projection(changed) - pins.projection(STACK))
    assert [bool(value > 1e-12) for value in apart] == [False, False, True, False]
    weights = np.random.default_rng(pins.SEED).normal(size=400)
    by_hand = sum(w * value for w, value in zip(weights, STACK[1].ravel(), strict=True)) / 400
    assert pins.projection(STACK)[1] == pytest.approx(by_hand, rel=1e-12)


def test_blocks_are_means_and_the_last_ones_may_be_smaller():
    image = np.random.default_rng(2).random((7, 11))
    found = pins.blocks(image, 4)
    assert found.shape == (2, 3)
    for row, column in np.ndindex(2, 3):
        assert found[row, column] == pytest.approx(
            image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4].mean()
        )


def test_a_crop_is_off_the_centre_and_of_unequal_sides():
    image = np.arange(64 * 64).reshape(64, 64)
    np.testing.assert_array_equal(pins.crop(image), image[21:33, 16:25])
    assert pins.crop(STACK).shape == (4, 12, 9)


@dataclass(frozen=True)
class Artifact:
    images: np.ndarray
    places: np.ndarray
    scale: float
    flag: bool
    name: str
    more: dict


def test_an_artifact_is_walked_through_in_the_order_of_its_fields():
    artifact = Artifact(
        STACK, np.arange(6.0).reshape(3, 2), 2.5, True, "text", {"a": (1, 2j), "b": np.zeros(0)}
    )
    found = dict(pins.pins_of(artifact, "scan"))
    assert list(found) == [
        "scan.images",
        "scan.places",
        "scan.scale",
        "scan.flag",
        "scan.more.a.0",
        "scan.more.a.1",
    ]
    assert found["scan.images"].shape == (4,)
    np.testing.assert_array_equal(found["scan.places"], artifact.places)
    assert (found["scan.scale"], found["scan.flag"], found["scan.more.a.1"]) == (2.5, 1, 2j)


def test_a_long_line_is_projected_too():
    found = dict(pins.pins_of({"line": np.arange(10_000.0), "short": np.arange(300.0)}, "x"))
    assert (found["x.line"].shape, found["x.short"].shape) == ((1,), (300,))
