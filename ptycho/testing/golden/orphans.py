"""Golden files that no test stands behind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ptycho.testing.golden import files


def orphans(collected: Mapping[Path, set[str]]) -> list[str]:
    """Return what is stored and belongs to no test.

    Parameters
    ----------
    collected : mapping
        By test module, whole: the names of the goldens that its tests may have.
    """
    result = []
    for module, names in collected.items():
        result += _in_folder(module.with_suffix(""), names)
    for parent in {module.parent for module in collected}:
        for folder in sorted(path for path in parent.iterdir() if path.is_dir()):
            if not folder.with_suffix(".py").exists():
                result += _in_folder(folder, set())
    return sorted(result)


def _in_folder(folder: Path, names: set[str]) -> list[str]:
    """Return the orphans of one folder; without any record of a golden it is somebody else's."""
    if not folder.is_dir():
        return []
    records = {
        path.name.removesuffix(".json"): path for path in folder.glob("*.json") if files.is_record(path)
    }
    if not records:
        return []
    arrays = {path.name.removesuffix(".npz"): path for path in folder.glob("*.npz")}
    result = []
    for name in sorted({*records, *arrays}):
        path = arrays.get(name) or records[name]
        if name.endswith(files.PENDING):
            name = name.removesuffix(files.PENDING)
            if name not in names:
                result.append(f"{path}: proposed for a test that does not exist: delete it")
        elif name not in names:
            result.append(f"{path}: no test has this golden: delete it, or bring its test back")
        elif name not in records or name not in arrays:
            result.append(f"{path}: stands alone; a golden has its arrays and their record")
    return result
