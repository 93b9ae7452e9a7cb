"""Modules that are imported at their first use: collecting tests then costs no deep learning framework."""

from __future__ import annotations

import importlib
from typing import Any


class Lazy:
    """Stands for a module, which the first attribute that is asked of it imports."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith(
            ("_", "pytest")
        ):  # what pytest asks of everything that it finds in a test module
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)
