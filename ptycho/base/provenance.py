"""What exactly ran: versions, interpreter, source tree."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import platform
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from ptycho.base.errors import ConfigError, StageError

LIBRARIES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "skimage": "scikit-image",
    "keras": "keras",
    "numba": "numba",
    "ptychi": "ptychi",
    "torch": "torch",
    "torchvision": "torchvision",
}
"""Libraries that numbers come from, by the name that is imported: their distributions."""
BACKENDS = ("tensorflow", "jax", "torch")
"""What Keras can run on."""
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
    return hash_of(_package_folder())


def hash_of(folder: Path) -> str:
    """Return the SHA-256 over the Python and TOML files below a folder, names included."""
    digest = hashlib.sha256()
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.toml")]):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def code_version(module: str) -> str:
    """Return a hash of the sources that a module runs: its own, and those of this package that it imports.

    Imports are followed through the package, those inside of functions too; the versions of the numerical
    libraries that are met on the way count as well, and of the backend where Keras is met.
    """
    sources, libraries = _reached(module)
    digest = hashlib.sha256()
    for name in sorted(sources):
        digest.update(f"{name} {sources[name]}\n".encode())
    digest.update(json.dumps(library_versions(libraries)).encode())
    return digest.hexdigest()[:24]


def reaches(module: str, target: str) -> bool:
    """Whether a module of the package runs the source of another, by what it imports."""
    return target in _reached(module)[0]


def check_backend(module: str) -> None:
    """Raise ConfigError where a module runs Keras and the backend that Keras will use is not there."""
    if "keras" in _reached(module)[1]:
        check_installed()


def check_installed(what: str = "") -> None:
    """Raise ConfigError where the backend that Keras will use is not there; `what` stands before the message."""
    name = keras_backend()
    if name not in BACKENDS:
        raise ConfigError(f"{what}KERAS_BACKEND = {name!r}: must be one of {', '.join(BACKENDS)}")
    if importlib.util.find_spec(name) is None:
        there = [other for other in BACKENDS if importlib.util.find_spec(other) is not None]
        remedy = f"set KERAS_BACKEND={there[0]}, or " if there else ""
        raise ConfigError(f"{what}the Keras backend {name} is not installed; {remedy}install {name}")


def _reached(module: str) -> tuple[dict[str, str], set[str]]:
    """Return the sources that a module runs, by name, and the libraries that are met on the way."""
    sources: dict[str, str] = {}
    libraries: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in sources:
            continue
        sources[name], imported = _read_source(name)
        libraries |= {target.split(".")[0] for target in imported}
        waiting += [target for target in imported if target.startswith("ptycho.") and _is_module(target)]
    return sources, libraries


def keras_backend() -> str:
    """Return the backend that Keras will use or uses, without importing it (its own order: variable, file, default)."""
    if named := os.environ.get("KERAS_BACKEND"):
        return named
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    try:
        return str(json.loads((home / "keras.json").read_text(encoding="utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"


def library_versions(imported: Iterable[str]) -> dict[str, str]:
    """Return the versions of the libraries that numbers come from among the names that are imported.

    Where Keras is among them, that of its backend, too.
    """
    there = set(imported)
    names = [LIBRARIES[name] for name in sorted(there) if name in LIBRARIES]
    result = {name: version for name in names if (version := _version(name))}
    if "keras" in there:
        backend = keras_backend()
        version = _version(backend) or _version(f"{backend}-cpu") or "?"
        result["backend"] = f"{backend} {version}"
    return result


@cache
def _read_source(module: str) -> tuple[str, frozenset[str]]:
    """Return a source's SHA-256 and the dotted names that it may import; `from a import b` gives a and a.b."""
    source = _source_file(module).read_bytes()
    result: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            result |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            result |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return hashlib.sha256(source).hexdigest(), frozenset(result)


def _source_file(module: str) -> Path:
    loaded = sys.modules.get(module)
    if loaded is not None and getattr(loaded, "__file__", None):
        return Path(str(loaded.__file__))
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise StageError(f"module {module} has no source file, so that its code cannot be identified")
    return Path(spec.origin)


@cache
def _is_module(name: str) -> bool:
    path = _package_folder().parent.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def _package_folder() -> Path:
    return Path(__file__).resolve().parent.parent


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
