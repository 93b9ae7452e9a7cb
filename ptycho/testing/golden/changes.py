"""What changed between goldens as they were accepted and as they are proposed, or as they stand now."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ptycho.base.errors import GoldenError
from ptycho.testing.golden import compare, difference, files
from ptycho.testing.golden.files import Record

Golden = tuple[dict[str, np.ndarray], Record]


@dataclass(frozen=True)
class Change:
    """A golden before and after; None where there was or is none."""

    path: Path
    old: Golden | None
    new: Golden | None

    @property
    def kind(self) -> str:
        """What happened to it."""
        if self.old is None or self.new is None:
            return "new" if self.old is None else "deleted"
        return "changed"


@dataclass(frozen=True)
class Delta:
    """What happened to one array.

    Attributes
    ----------
    name : str
    text : str
        For people.
    old, new : array or None
    """

    name: str
    text: str
    old: np.ndarray | None
    new: np.ndarray | None


def pending(root: Path) -> list[Change]:
    """Return what is proposed below a folder; raise GoldenError for a proposal that is damaged."""
    result = []
    for place in sorted(root.rglob(f"*{files.PENDING}.npz")):
        accepted = place.with_name(place.name.removesuffix(f"{files.PENDING}.npz") + ".npz")
        try:
            old = _read(accepted)
        except GoldenError:  # it is to be replaced, and what is wrong with it a test says
            old = None
        result.append(Change(accepted, old, files.read(place)))
    return result


def since(reference: str, root: Path) -> list[Change]:
    """Return which goldens below a folder differ from those of a git commit.

    Raises
    ------
    GoldenError
        There is no such commit, or no repository.
    """
    listing = _git(
        root,
        "diff",
        "--name-only",
        "--relative",
        "-z",
        "--end-of-options",
        reference,
        "--",
        "*.npz",
        "*.json",
    )
    names = {name.rpartition(".")[0] + ".npz" for name in listing.decode().split("\0") if name}
    result = []
    for name in sorted(names):
        with tempfile.TemporaryDirectory() as folder:
            old = _of_commit(root, reference, name, Path(folder))
        new = _read(root / name)
        if old is not None or new is not None:
            result.append(Change(root / name, old, new))
    return result


def deltas(change: Change) -> Iterator[Delta]:
    """Yield what happened to each array of a golden; nothing for one that is as it was."""
    old, new = (side[0] if side is not None else {} for side in (change.old, change.new))
    for name in [*new, *(name for name in old if name not in new)]:
        before, after = old.get(name), new.get(name)
        if before is None and after is not None:
            yield Delta(name, f"new: {after.dtype} {after.shape}", before, after)
        elif before is not None and after is None:
            yield Delta(name, f"gone: {before.dtype} {before.shape}", before, after)
        elif before is not None and after is not None and (text := _delta(before, after)):
            yield Delta(name, text, before, after)


def summary(changes: Iterable[Change]) -> list[str]:
    """Return lines for people: each golden that changed, and in what."""
    lines = []
    for change in changes:
        record = (change.new or change.old)[1]  # type: ignore[index]  # one of the two there is
        lines.append(f"{change.kind}: {change.path.with_suffix('')} ({record.rests_on})")
        if change.kind == "changed":
            lines += [f"    {delta.name}: {delta.text}" for delta in deltas(change)]
            lines += [f"    {text}" for text in _words_of_records(change)]
        if change.new is not None and record.reason:
            lines.append(f"    reason: {record.reason}")
    return lines


def _words_of_records(change: Change) -> Iterator[str]:
    if change.old is None or change.new is None:
        return
    for what in ("rests_on", "claims", "despite"):
        before, after = (getattr(side[1], what) for side in (change.old, change.new))
        if before != after:
            yield f"{what}: {before!r} -> {after!r}"


def _delta(before: np.ndarray, after: np.ndarray) -> str:
    """Say in what two arrays differ: form, or how far, how many, where most; nothing where in nothing."""
    was, now = compare.entry_of(before), compare.entry_of(after)
    if (was.dtype, was.shape) != (now.dtype, now.shape):
        return f"{before.dtype} {before.shape} -> {after.dtype} {after.shape}"
    if after.dtype.kind not in "iufc":
        changed = int((before != after).sum())
        return f"{changed} of {after.size} entries changed" if changed else ""
    unlike = (before != after) & ~((before != before) & (after != after))
    if not unlike.any():
        return ""
    apart = np.abs(np.nan_to_num(after.astype(complex) - before.astype(complex), nan=np.inf))
    worst = tuple(int(i) for i in np.unravel_index(int(apart.argmax()), apart.shape))
    scale = difference.scale_of(before) or 1.0
    place = f" at [{', '.join(map(str, worst))}]" if worst else ""
    text = (
        f"{before[worst]:.6g} -> {after[worst]:.6g}{place}; largest change {float(apart[worst]) / scale:.3g} of the largest "
        f"magnitude, {int(unlike.sum())} of {after.size} changed"
    )
    return text + _likeness(before, after)


def _likeness(before: np.ndarray, after: np.ndarray) -> str:
    """Return the correlation of what is large enough to have one, and the least-squares factor."""
    finite = np.isfinite(before) & np.isfinite(after)
    if finite.sum() < 9:
        return ""
    one, other = before[finite].astype(complex).ravel(), after[finite].astype(complex).ravel()
    factor = np.vdot(one, other) / (np.vdot(one, one) or 1)
    one, other = one - one.mean(), other - other.mean()
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    if not norm:
        return ""
    likeness = abs(np.vdot(one, other)) / norm
    return f"; 1 - correlation {max(0.0, 1 - float(likeness)):.2g}, factor {abs(factor):.6g}"


def _read(path: Path) -> Golden | None:
    if not path.is_file() and not files.sidecar_of(path).is_file():
        return None
    try:
        return files.read(path)
    except GoldenError:
        if not files.is_record(files.sidecar_of(path)):
            return None
        raise


def _of_commit(root: Path, reference: str, name: str, folder: Path) -> Golden | None:
    """Return a golden as it was at a commit; None where there was none of ours."""
    path = folder / Path(name).name
    for place in (path, files.sidecar_of(path)):
        relative = str(Path(name).with_name(place.name))
        try:
            place.write_bytes(_git(root, "show", f"{reference}:./{relative}"))
        except GoldenError:
            return None
    try:
        return files.read(path)
    except GoldenError:
        return None


def _git(root: Path, *arguments: str) -> bytes:
    try:
        result = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)
    except OSError as error:
        raise GoldenError(f"git cannot be run: {error.strerror}") from None
    if result.returncode:
        words = result.stderr.decode(errors="replace").strip().splitlines()
        raise GoldenError(f"git {' '.join(arguments[:2])}: {words[-1] if words else 'failed'}")
    return result.stdout
