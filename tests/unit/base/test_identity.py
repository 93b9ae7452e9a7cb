"""Content and nothing else makes an identity."""

import dataclasses

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptycho.base import identity
from ptycho.base.errors import DataContractError
from ptycho.scan.raw import RawData
from ptycho.settings.sections import ModelConfig


@dataclasses.dataclass(frozen=True)
class Pair:
    left: object
    right: object


@dataclasses.dataclass(frozen=True)
class Other:
    left: object
    right: object


BASE = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize(
    "other",
    [
        BASE.astype(np.float64),
        BASE.reshape(4, 3),
        BASE + np.float32(1e-6) * (BASE == 11),
        BASE.T.copy().T * np.float32(-1),
        BASE.astype(complex),
    ],
    ids=["dtype", "shape", "one value", "sign", "complex"],
)
def test_an_array_is_its_dtype_shape_and_values(other):
    assert identity.digest(BASE) != identity.digest(other)


def test_layout_copies_and_disk_make_no_difference(tmp_path):
    np.save(tmp_path / "a.npy", BASE)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    for same in (
        BASE.copy(),
        np.asfortranarray(BASE),
        BASE[::1],
        mapped,
        np.ascontiguousarray(BASE[::-1])[::-1],
    ):
        assert identity.digest(same) == identity.digest(BASE)


def test_an_empty_array_has_an_identity():
    assert identity.digest(np.zeros((0, 3))) != identity.digest(np.zeros((0, 4)))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, 1.0),
        (1, True),
        ("1", 1),
        (None, "None"),
        ((1, 2), (2, 1)),
        (("a", "b"), ("ab",)),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
        (Pair(1, 2), Pair(2, 1)),
        (Pair(1, 2), Other(1, 2)),
        (0.1 + 0.2, 0.3),
        (b"a", "a"),
        (ModelConfig(), ModelConfig(steps=4)),
    ],
)
def test_different_values_differ(a, b):
    assert identity.digest(a) != identity.digest(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((1, 2), [1, 2]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (np.float64(0.5), 0.5),
        (float("nan"), float("nan")),
        (ModelConfig(), ModelConfig(steps=3)),
    ],
)
def test_equal_values_are_one(a, b):
    assert identity.digest(a) == identity.digest(b)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(values, values)
def test_two_values_share_an_identity_only_if_they_are_written_alike(a, b):
    def ordered(value):
        if isinstance(value, dict):
            return {key: ordered(value[key]) for key in sorted(value)}
        return [ordered(item) for item in value] if isinstance(value, list) else value

    assert (identity.digest(a) == identity.digest(b)) == (repr(ordered(a)) == repr(ordered(b)))


@pytest.mark.parametrize("value", [object(), lambda: 0, {1, 2}, np.array([object()])])
def test_what_is_no_frozen_value_has_none(value):
    with pytest.raises(TypeError, match="has no identity"):
        identity.digest(value)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(RawData)])
def test_every_field_of_a_scan_counts(field):
    where = oracles.scan_positions(5, (60, 80), 32, seed=2)
    rng = np.random.default_rng(1)
    scan = RawData(
        where[:, 0], where[:, 1], rng.uniform(1, 2, (5, 32, 32)), oracles.lopsided_probe(32),
        object_guess=oracles.noise_object(60, 80), metadata={"a": 1},
    )  # fmt: skip
    value = np.eye(32, dtype=bool) if field == "bad_pixels" else getattr(scan, field)
    if field == "metadata":
        value = {"a": 2}
    elif field.startswith(("xcoords", "ycoords")):
        value = value + 0.125
    elif field == "scan_index":
        value = value + 1
    elif field != "bad_pixels":
        value = value * 2
    changed = dataclasses.replace(scan, **{field: value})
    assert changed.digest != scan.digest
    assert dataclasses.replace(scan).digest == scan.digest
    assert identity.digest(Pair(scan, 1)) != identity.digest(Pair(changed, 1))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataContractError, match="gone: no such file"):
        identity.file_sha256(tmp_path / "gone")
