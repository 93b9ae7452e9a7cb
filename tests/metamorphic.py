"""The metamorphic kit: relations that any public operation has to keep, whatever its values.

Each helper runs the operation twice on related inputs and compares. They complement the analytic oracles
(which alone can see a sign or a frame) and are cheap to apply to a new operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Operation = Callable[..., Any]


def equal(found: Any, expected: Any, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Compare arrays, dtype and shape included; exact unless a tolerance is given."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


def batch_independent(
    operation: Operation, *batches: np.ndarray, rtol: float = 0.0, atol: float = 0.0
) -> None:
    """The result for one sample does not depend on which others share its batch, nor on how many."""
    whole = operation(*batches)
    count = len(batches[0])
    for size in (1, 2, 3, count - 1):
        parts = [operation(*(b[start : start + size] for b in batches)) for start in range(0, count, size)]
        equal(np.concatenate(parts), whole, rtol, atol)


def permutation_equivariant(
    operation: Operation, *batches: np.ndarray, rtol: float = 0.0, atol: float = 0.0
) -> None:
    """Reordering the samples reorders the results likewise."""
    order = np.random.default_rng(0).permutation(len(batches[0]))
    assert not np.array_equal(order, np.arange(len(order)))
    equal(operation(*(b[order] for b in batches)), operation(*batches)[order], rtol, atol)


def permutation_invariant(
    operation: Operation, *batches: np.ndarray, rtol: float = 0.0, atol: float = 0.0
) -> None:
    """Reordering the samples changes nothing."""
    order = np.random.default_rng(0).permutation(len(batches[0]))
    equal(operation(*(b[order] for b in batches)), operation(*batches), rtol, atol)


def homogeneous(
    operation: Operation,
    value: np.ndarray,
    factor: complex,
    degree: int,
    rtol: float = 1e-6,
    atol: float = 0.0,
) -> None:
    """Multiplying the input by `factor` multiplies the result by ``factor ** degree``."""
    changed, plain = np.asarray(operation(value * factor)), np.asarray(operation(value))
    np.testing.assert_allclose(changed, plain * factor**degree, rtol=rtol, atol=atol)


def dtype_stable(operation: Operation, value: np.ndarray, rtol: float = 2e-6) -> None:
    """Single precision in gives single precision out, close to what double precision gives."""
    narrow = {"f": np.float32, "c": np.complex64}[value.dtype.kind]
    wide = {"f": np.float64, "c": np.complex128}[value.dtype.kind]
    single, double = operation(value.astype(narrow)), operation(value.astype(narrow).astype(wide))
    assert single.dtype.itemsize * 2 == double.dtype.itemsize
    np.testing.assert_allclose(single, double, rtol=rtol, atol=rtol * np.abs(double).max())


def pure(operation: Operation, *arguments: Any) -> None:
    """Arguments are left unchanged (they may be read-only), and a second call gives the same again."""
    frozen = []
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            argument = argument.copy()
            argument.flags.writeable = False
        frozen.append(argument)
    np.random.random()  # a state that no re-seeding gives, not even one that an earlier test left behind
    before = np.random.get_state()
    first, second = operation(*frozen), operation(*frozen)
    after = np.random.get_state()
    assert np.array_equal(before[1], after[1]), "numpy's global generator was touched"
    assert before[2] == after[2], "numpy's global generator was touched"
    for one, two in zip(_leaves(first), _leaves(second), strict=True):
        np.testing.assert_array_equal(one, two)


def transposed(images: np.ndarray) -> np.ndarray:
    """Images with their last two axes exchanged."""
    return np.swapaxes(images, -1, -2)


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, (tuple, list)):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]
