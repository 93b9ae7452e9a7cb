"""The part of a config that a stage declares to read; what it does not declare it cannot see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptycho.base import identity
from ptycho.base.errors import StageError
from ptycho.settings import config as configs
from ptycho.settings.config import Config


class Params:
    """A config's projection to the dotted paths `reads`, with the attributes of the config.

    ``params.simulation.nphotons`` works where `reads` holds ``simulation`` or ``simulation.nphotons``; any other
    path raises StageError, so that a change of a parameter is attributed to exactly the stages that it can touch.
    """

    def __init__(self, config: Any, reads: tuple[str, ...], stage: str, prefix: str = "") -> None:
        self._config, self._reads, self._stage, self._prefix = config, reads, stage, prefix

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        path = self._prefix + name
        if path in self._reads:
            return getattr(self._config, name)
        if any(read.startswith(f"{path}.") for read in self._reads):
            return Params(getattr(self._config, name), self._reads, self._stage, f"{path}.")
        raise StageError(
            f"stage {self._stage} reads {path}, which its row does not declare; add it to `reads` in the stage table"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the whole config as JSON values, for another process that computes the same stage."""
        values: dict[str, Any] = self._config.to_dict()
        return values

    def __repr__(self) -> str:
        return f"Params({', '.join(self._reads)})"


def identify(config: Config, reads: tuple[str, ...]) -> dict[str, Any]:
    """Return the JSON values at `reads`, each file by its content and never by its path.

    Raises DataContractError for a file that cannot be read.
    """
    values = config.model_dump()
    return {path: _content(configs.lookup(values, path)) for path in reads}


def _content(value: Any) -> Any:
    if isinstance(value, Path):
        return {"sha256": identity.file_sha256(value)}
    if isinstance(value, dict):
        return {key: _content(item) for key, item in value.items()}
    return value
