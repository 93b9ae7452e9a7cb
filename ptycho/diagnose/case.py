"""A side of a diagnosis: a config and the artifacts that exist for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ptycho.base.errors import PtychoError
from ptycho.settings.config import Config


@dataclass(frozen=True)
class Case:
    """A scenario, a scan or a run, as it was named.

    Attributes
    ----------
    name : str
    config : Config
    artifacts : mapping of str to artifact
        By stage, each fetched when it is asked for; what there is none of raises KeyError or an error of ours.
    measured : bool
        Whether the scan was measured: no scenario says then what its probe and its positions are.
    """

    name: str
    config: Config
    artifacts: Mapping[str, Any] = field(repr=False)
    measured: bool = False

    @property
    def label(self) -> str:
        """Its name as a picture shows it: to matplotlib a pair of dollars is mathematics."""
        return self.name.replace("$", r"\$")

    def get(self, stage: str) -> Any:
        """Return a stage's artifact; raise Unknown, which says why there is none."""
        try:
            return self.artifacts[stage]
        except KeyError:
            raise Unknown(f"no {stage}: run `ptycho run` first and name its folder") from None
        except PtychoError as error:
            raise Unknown(str(error)) from None

    @staticmethod
    def measure(quantity: Callable[[], Any]) -> Any:
        """Return what is measured, or the reason why it cannot be."""
        try:
            return quantity()
        except Unknown as reason:
            return f"n/a: {reason}"
        except PtychoError as error:
            return f"error: {error}"


class Unknown(Exception):
    """A number that is undefined here, and why."""
