"""All faults: each puts a known bug back. Every module of this package has a tuple ``FAULTS``."""

import importlib
import pkgutil

from ptycho.testing.fault import Fault

FAULTS: tuple[Fault, ...] = tuple(
    fault
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__))
    for fault in importlib.import_module(f"{__name__}.{module}").FAULTS
)
