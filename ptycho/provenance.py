"""What exactly ran: versions, interpreter, source tree."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "ptycho",
    "numpy",
    "scipy",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "jax",
    "torch",
    "scikit-image",
    "h5py",
)


def provenance() -> dict[str, str]:
    """Return versions, interpreter and platform, and where the running source stands with its hash."""
    return {
        **{f"{name} version": version for name in PACKAGES if (version := _version(name))},
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "interpreter": sys.executable,
        "platform": platform.platform(),
        "package_file": str(_package_folder() / "__init__.py"),
        "source_hash": source_hash(),
    }


def source_hash() -> str:
    """Return the SHA-256 over the package's Python and TOML files, names included."""
    folder = _package_folder()
    digest = hashlib.sha256()
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.toml")]):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def key_of(*parts: Any) -> str:
    """Return a short, stable hash of JSON values."""
    text = json.dumps(parts, sort_keys=True, allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _package_folder() -> Path:
    return Path(__file__).resolve().parent


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
