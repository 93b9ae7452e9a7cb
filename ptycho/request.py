"""From what was asked for on the command line to a config, what is given, and how it is executed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptycho import layers
from ptycho.config import Config
from ptycho.errors import CanvasError, ConfigError, DataContractError, GroupingError, ScaleError

if TYPE_CHECKING:
    from ptycho.data import RawData


def store_named(cache: str | None, fresh: bool = False) -> Any:
    """Return the store that `cache` names, by default the user's; None for `none`."""
    import platformdirs

    from ptycho import store

    if cache == "none":
        return None
    named = cache or os.environ.get("PTYCHO_CACHE_DIR") or platformdirs.user_cache_path("ptycho")
    size = os.environ.get("PTYCHO_CACHE_GIB", "")
    try:
        most = int(float(size) * 2**30) if size else store.MAX_BYTES
    except (ValueError, OverflowError):
        raise ConfigError(f"PTYCHO_CACHE_GIB = {size!r}: expected a number of GiB") from None
    return store.Store(Path(named), most, fresh)


def execution(cache: str | None, fresh: bool, batch_size: int, listener: Any, resume: bool = False) -> Any:
    """Return how a run is executed."""
    from ptycho.rows import Execution

    if batch_size < 1:
        raise ConfigError(f"--batch-size = {batch_size}: must be at least 1")
    return Execution(listener=listener, batch_size=batch_size, resume=resume, cache=store_named(cache, fresh))


def read_scan(data: Path, intensity: bool, corrections: Iterable[str]) -> RawData:
    """Read a scan and correct its geometry as asked."""
    from ptycho import geometry
    from ptycho.io import npz

    scan = npz.read_npz(data, intensity=intensity)
    for text in corrections:
        scan = geometry.correct(scan, text)
    return scan


@contextmanager
def about(data: Path | None) -> Iterator[None]:
    """Name the scan's file in what goes wrong with a scan that was given."""
    try:
        yield
    except (DataContractError, GroupingError, CanvasError, ScaleError) as error:
        if data is None or str(data) in str(error):
            raise
        raise type(error)(f"{data}: {error}") from None


def check_truth(config: Config, scan: RawData) -> None:
    """Raise ConfigError where a config asks for what only a truth can give and the scan brings none."""
    if config.inference.prediction_scale == "least_squares" and scan.object_guess is None:
        raise ConfigError(
            "inference.prediction_scale = least_squares fits to the truth and this scan has no objectGuess; use none or "
            "recorded"
        )


def of_scenario(scenario: str, profile: str | None, overrides: Iterable[str]) -> Config:
    """Return the config of a scenario."""
    from ptycho import scenarios

    return scenarios.load_scenario(scenario, profile, overrides)


def of_scan(
    scan: RawData, data: Path, scenario: str | None, profile: str | None, overrides: Iterable[str]
) -> Config:
    """Return the config for a measured scan: a scenario's, or the defaults'."""
    if scenario is not None:
        return of_scenario(scenario, profile, [f"N={scan.N}", *overrides])
    return layers.resolve({"name": data.stem, "N": scan.N}, profile, overrides, str(data))


def of_bundle(bundle: Any, about: Any, overrides: Iterable[str], everything: bool, source: str) -> Config:
    """Return the config that a bundle was trained with, for the reconstruction of a scan."""
    # How many groups the training run reconstructed was chosen for its own scan.
    own = {"N": bundle.N, "gridsize": bundle.gridsize, "inference": {"n_groups": None}}
    extra = ["split.method=none"] if everything else []
    return layers.resolve(layers.merge(about.get("config", {}), own), None, [*overrides, *extra], source)
