"""What differs: type, shape, layout, unit, kind and value, each by itself; nothing is allowed that was not measured."""

import numpy as np
import pytest

from ptycho.testing.golden import compare
from ptycho.testing.golden.compare import Band

NAN, INF = np.nan, np.inf


def differences(obtained, expected, relative=0.0, unit=("", ""), names=("a", "a")):
    entries = {names[1]: compare.entry_of(expected, unit[1])}
    found = compare.compare(
        {names[0]: obtained},
        {names[1]: expected},
        entries,
        {names[0]: unit[0]},
        {names[1]: Band(relative, "told")},
    )
    return [(difference.what, difference.worst) for difference in found]


def ramp(shape=(3, 4), dtype=float):
    return np.arange(1, 1 + np.prod(shape)).reshape(shape).astype(dtype)


def test_what_is_the_same_does_not_differ():
    for dtype in ("f4", "f8", "c8", "c16", "i8", "u2", "?"):
        assert differences(ramp(dtype=dtype), ramp(dtype=dtype)) == []
    broken = np.array([1.0, NAN, INF, -INF])
    assert differences(broken, broken.copy()) == []


@pytest.mark.parametrize(
    ("stored", "now"),
    [("f4", "f8"), ("c8", "f4"), ("u2", "f8"), ("i4", "i8"), ("f8", "c16"), ("?", "i8"), (">f8", "<f8")],
)
def test_a_type_is_part_of_the_value(stored, now):
    assert ("dtype", None) in differences(np.ones((3, 4), now), np.ones((3, 4), stored))


def test_shape_and_layout():
    assert differences(ramp((4, 3)), ramp((3, 4))) == [("shape", None)]
    assert differences(ramp((12,)), ramp((12, 1))) == [("shape", None)]
    assert differences(np.asfortranarray(ramp()), ramp()) == [("layout", None)]
    whole = ramp((9, 8))
    assert differences(whole[2:5, ::2], whole[2:5, ::2].copy()) == [], "a slice runs as what it was cut from"
    assert differences(whole[:, :1].T, whole[:, :1].T.copy()) == []


def test_units_and_names():
    assert differences(ramp(), ramp(), unit=("nm", "m")) == [("unit", None)]
    assert differences(ramp(), ramp(), names=("b", "a")) == [("missing", None), ("unused", None)]


@pytest.mark.parametrize(
    ("obtained", "expected"), [(NAN, 1.0), (1.0, NAN), (INF, -INF), (INF, NAN), (INF, 1.0)]
)
@pytest.mark.parametrize("dtype", [float, complex])
def test_what_is_not_finite_must_be_so_in_the_same_places(obtained, expected, dtype):
    one, other = ramp(dtype=dtype), ramp(dtype=dtype)
    one[1, 2], other[1, 2] = obtained, expected
    assert ("not finite", (1, 2)) in differences(one, other, relative=1e9)


def test_an_imaginary_nan_is_not_a_real_one():
    one, other = ramp(dtype=complex), ramp(dtype=complex)
    one[0, 1], other[0, 1] = complex(NAN, 1), complex(1, NAN)
    assert differences(one, other) == [("not finite", (0, 1))]


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_values_differ_beyond_their_band_in_units_of_the_largest_and_in_no_other(unit):
    expected = unit * ramp()
    obtained = expected.copy()
    obtained[1, 1] += 1.2e-3 * unit  # the largest is 12 units
    assert differences(obtained, expected, relative=1.1e-4) == []
    assert differences(obtained, expected, relative=0.9e-4) == [("values", (1, 1))]
    assert differences(obtained, expected) == [("values", (1, 1))], "nothing is allowed by itself"


def test_the_worst_place_and_the_excess_are_told():
    expected = ramp((5, 6))
    obtained = expected.copy()
    obtained[1, 1] += 0.2
    obtained[4, 2] -= 0.9
    entries, bands = {"a": compare.entry_of(expected)}, {"a": Band(0.01, "as measured")}
    (found,) = compare.compare({"a": obtained}, {"a": expected}, entries, {}, bands)
    assert found.worst == (4, 2)
    assert found.excess == pytest.approx(0.9 / (0.01 * 30))
    assert (
        "a[4, 2]: 26.1, stored 27; apart by 0.9, allowed 0.3 (as measured); 1 of 30 lie outside" in found.text
    )


def test_whole_numbers_truth_values_and_texts_are_compared_exactly():
    for expected in (ramp(dtype="i8"), ramp() > 5, np.array(["ab", "cd"])):
        obtained = expected.copy()
        assert differences(obtained, expected, relative=1e9) == []
        obtained.flat[1] = obtained.flat[0] if expected.dtype.kind != "b" else ~obtained.flat[1]
        assert [what for what, _ in differences(obtained, expected, relative=1e9)] == ["values"]


def test_the_order_is_that_of_the_program():
    arrays = {name: ramp() for name in ("scan", "group", "scale")}
    wrong = {name: array + 1 for name, array in arrays.items()}
    entries = {name: compare.entry_of(array) for name, array in arrays.items()}
    bands = {name: Band(0, "") for name in arrays}
    stored = dict(sorted(arrays.items()))
    assert [d.name for d in compare.compare(wrong, stored, entries, {}, bands)] == ["scan", "group", "scale"]


@pytest.mark.parametrize(
    ("obtained", "expected", "apart"),
    [
        (np.array([1.0, 2.5]), np.array([1.0, 2.0]), 0.25),
        (np.array([1.0, 2.0]), np.array([1, 2]), 0.0),
        (np.array([1, 3]), np.array([1, 2]), INF),
        (np.array([1.0, NAN]), np.array([1.0, 2.0]), INF),
        (np.array([1.0]), np.array([1.0, 2.0]), INF),
        (np.array([0.0, 1e-3]), np.array([0.0, 0.0]), 1e-3),
        (np.array([3 + 4j]), np.array([3 - 4j]), 8 / 5),
    ],
)
def test_the_distance_is_in_units_of_the_largest_magnitude(obtained, expected, apart):
    assert compare.distance(obtained, expected) == pytest.approx(apart)


def test_without_evidence_a_few_roundings_are_allowed():
    assert compare.least_band(np.dtype("f4"), 10).relative == pytest.approx(80 * 2.0**-23)
    assert compare.least_band(np.dtype("c16"), 10).relative == pytest.approx(80 * 2.0**-52)
    assert compare.least_band(np.dtype("i8"), 10).relative == 0
