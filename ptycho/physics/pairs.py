"""Complex fields as (real, imaginary) pairs of float tensors: their algebra, which is the same in every framework."""

from __future__ import annotations

from typing import Any

Tensor = Any
Pair = tuple[Tensor, Tensor]


def multiply(a: Pair, b: Pair) -> Pair:
    """Return the complex product.

    Parts are tensors of any shape.
    """
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def conjugate(a: Pair) -> Pair:
    """Return the complex conjugate.

    Parts are tensors of any shape.
    """
    return a[0], -a[1]


def squared_modulus(a: Pair) -> Tensor:
    """Return |a|^2.

    Parts are tensors of any shape.
    """
    return a[0] * a[0] + a[1] * a[1]
