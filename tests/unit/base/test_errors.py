"""Errors: one family, told apart by kind, each of them explained."""

import inspect

import pytest

from ptycho.base import errors

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, Exception) and kind is not errors.PtychoError
]


def test_the_kinds_that_callers_rely_on_exist():
    names = {kind.__name__ for kind in KINDS}
    assert names >= {
        "BundleError",
        "CanvasError",
        "ConfigError",
        "DataContractError",
        "GroupingError",
        "InvariantError",
        "LedgerError",
        "RunDirectoryError",
        "ScaleError",
        "StageError",
        "TrainingDiverged",
    }


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_is_a_ptycho_error_with_an_explanation(kind):
    assert issubclass(kind, errors.PtychoError)
    assert kind.__doc__
    assert kind.__doc__ != errors.PtychoError.__doc__


def test_a_user_error_is_not_mistaken_for_a_bug():
    """Code that guards against its own bugs catches ValueError or KeyError: user errors must pass it."""
    assert not issubclass(errors.PtychoError, (ValueError, KeyError, OSError, ArithmeticError))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_kind_hides_another(kind):
    """`except ConfigError` must not catch, say, a GroupingError."""
    assert not [other for other in KINDS if other is not kind and issubclass(other, kind)]


def test_the_message_is_the_text():
    assert str(errors.ConfigError("N = 63: expected 64")) == "N = 63: expected 64"
