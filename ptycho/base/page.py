"""Pages of HTML: what is filled into a template is text, and never markup."""

from __future__ import annotations

import math
from typing import Any

import jinja2


def html(template: str, **values: Any) -> str:
    """Return a page from a template, named by its path in the package; every value is escaped.

    The filter `number` writes values for people. Raises jinja2.UndefinedError for a name that the template uses and nobody
    gives.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ptycho", ""), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["number"] = number
    return environment.get_template(template).render(**values)


def number(value: Any) -> str:
    """Write a value for people."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "n/a"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
