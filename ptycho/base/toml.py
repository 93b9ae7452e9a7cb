"""Reading TOML files of people."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from ptycho.base import machine
from ptycho.base.errors import ConfigError


def load_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raise ConfigError naming the file if it is missing or malformed."""
    machine.check_file(path, ConfigError)
    try:
        return tomllib.loads(
            path.read_text(encoding="utf-8-sig")
        )  # some editors begin with a byte order mark
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
