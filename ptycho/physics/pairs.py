"""Complex fields as (real, imaginary) pairs of float tensors: their algebra, which is the same in every framework."""

from __future__ import annotations

from typing import Any

Tensor = Any
Pair = tuple[Tensor, Tensor]


def multiply(a: Pair, b: Pair) -> Pair:
    """Return the complex product."""
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def conjugate(a: Pair) -> Pair:
    """Return the complex conjugate."""
    return a[0], -a[1]


def squared_modulus(a: Pair) -> Tensor:
    """Return |a|^2."""
    return a[0] * a[0] + a[1] * a[1]
