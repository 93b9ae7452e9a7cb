"""`ptycho cache`: what is kept from run to run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cyclopts import App

from ptycho.base.errors import ConfigError
from ptycho.runs import prepare

if TYPE_CHECKING:
    from ptycho.artifacts.store import Store

app = App(name="cache", help="Artifacts that are kept from run to run.")


@app.command
def info(*, cache: str | None = None) -> int:
    """Say where the cache lies and what is in it."""
    from ptycho.commands import terminal

    store = _named(cache)
    result = store.info()
    total = sum(size for _, size in result.values())
    terminal.say(f"{store.folder}: {total / 2**20:.1f} of at most {store.max_bytes / 2**20:.0f} MiB")
    terminal.grid(
        ("stage", "artifacts", "MiB"),
        [(name, str(count), f"{size / 2**20:.1f}") for name, (count, size) in result.items()],
    )
    return 0


@app.command
def clear(*, cache: str | None = None) -> int:
    """Throw away everything in the cache."""
    from ptycho.commands import terminal

    store = _named(cache)
    terminal.say(f"{store.clear()} artifacts thrown away from {store.folder}")
    return 0


def _named(cache: str | None) -> Store:
    """Return the store that a command is about; raise ConfigError for none."""
    store: Store | None = prepare.store_named(cache)
    if store is None:
        raise ConfigError("this names no folder: name one by --cache DIR")
    return store
