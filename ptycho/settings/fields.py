"""The unit of a parameter, and the conditions on which it has an effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import Field
from pydantic.fields import FieldInfo

PURE = "1"
"""Unit of a pure number."""


@dataclass(frozen=True)
class Acts:
    """A condition of a parameter's effect.

    Attributes
    ----------
    path : str
        Another parameter.
    values : tuple
        With one of these values of it the parameter acts.
    because : str
        Why it has no effect with any other.
    """

    path: str
    values: tuple[Any, ...]
    because: str


def acts(path: str, *values: Any, because: str) -> Acts:
    """Return the condition that the parameter at `path` has one of `values`."""
    return Acts(path, values, because)


def setting(default: Any, unit: str | None = None, *conditions: Acts, **bounds: Any) -> Any:
    """Return a parameter's field; `bounds` as pydantic's Field takes them (ge, gt, le, lt, strict)."""
    known: dict[str, Any] = {"unit": unit, "acts": [vars(condition) for condition in conditions]}
    return Field(default, json_schema_extra=known, **bounds)


def unit_of(field: FieldInfo) -> str | None:
    """Return a parameter's unit, `1` for a pure number; None where it is no number."""
    return _known(field).get("unit")


def without_effect(field: FieldInfo, value_at: Callable[[str], Any]) -> str:
    """Return why a parameter has no effect where `value_at` gives the others by their paths; nothing where it has one."""
    for condition in (Acts(**values) for values in _known(field).get("acts", ())):
        if value_at(condition.path) not in condition.values:
            return condition.because
    return ""


def _known(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) else {}
