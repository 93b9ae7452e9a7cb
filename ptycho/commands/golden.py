"""`ptycho golden`: looking at golden files, and changing them on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from ptycho.commands.options import Overwrite

if TYPE_CHECKING:
    from ptycho.testing.golden.changes import Change

app = App(name="golden", help="Golden files: what they rest on; proposing, reviewing and accepting new ones.")
All = Annotated[bool, Parameter(name="--all", help="Everything that is proposed.", negative=())]
Root = Annotated[Path, Parameter(help="The project, where pytest is run.")]
HERE = Path()


@app.default
def listed(*, root: Root = HERE) -> int:
    """List golden files: what each rests on, its size, its noise floor, and how far faults stand out of it."""
    from ptycho.commands import terminal
    from ptycho.testing.golden import changes, files

    rows, kinds, total = [], dict.fromkeys(files.CLASSES, 0), 0
    for place in sorted(root.rglob("*.json")):
        path = place.with_suffix(".npz")
        if place.stem.endswith(files.PENDING) or not files.is_record(place):
            continue
        record = files.read(path)[1]
        kinds[record.rests_on] += 1
        size = path.stat().st_size
        total += size
        evidence = record.evidence if record.calibrated else None
        floor = max((evidence.floor(name) for name in record.arrays), default=0.0) if evidence else None
        rows.append(
            (
                f"{path.parent.name}/{path.name.removesuffix('.npz')}",
                record.rests_on,
                f"{size / 1000:.1f}",
                "not measured" if floor is None else f"{floor:.2g}",
                "" if evidence is None else f"{len(evidence.faults)}",
                "" if evidence is None else f"{evidence.separation:.3g}",
            )
        )
    terminal.grid(("golden", "rests on", "kB", "floor", "faults", "separation"), rows)
    split = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    terminal.say(
        f"golden files: {len(rows)}, {total / 1e6:.2f} MB; {split}. Only the first two kinds claim to be right."
    )
    waiting = len(changes.pending(root))
    if waiting:
        terminal.say(f"{waiting} proposed: ptycho golden review")
    return 0


@app.command
def propose(*tests: str, root: Root = HERE) -> int:
    """Run tests and write each golden that changed beside the old one, as a proposal."""
    from ptycho.base.errors import GoldenError
    from ptycho.testing.golden import accept as room
    from ptycho.testing.golden import changes

    room.check_at_home()
    code, words = room.run_pytest(root, "--golden-propose", *tests)
    if code not in (0, 5):
        raise GoldenError(f"the tests do not run through: {words.strip().splitlines()[-1]}")
    return _said(changes.pending(root), "nothing to propose: all goldens agree")


@app.command
def diff(*names: str, against: str | None = None, root: Root = HERE) -> int:
    """Say what is proposed, or with --against COMMIT what differs from a commit of git.

    Parameters
    ----------
    names
        Goldens by name or path, or parts of it; default all.
    against
        A commit, for example HEAD~1.
    """
    from ptycho.testing.golden import changes

    proposals = changes.pending(root) if against is None else changes.since(against, root)
    return _said(_chosen(proposals, names, not names), "no golden file differs")


@app.command
def review(
    *,
    against: str | None = None,
    out: Path = Path("golden-review.html"),
    overwrite: Overwrite = False,
    root: Root = HERE,
) -> int:
    """Write a page that shows what is proposed: old, new, difference."""
    from ptycho.commands import terminal
    from ptycho.runs import claim
    from ptycho.testing.golden import changes
    from ptycho.testing.golden import review as room

    claim.file(out, [], overwrite)
    proposals = changes.pending(root) if against is None else changes.since(against, root)
    what = "proposed" if against is None else f"different from {against}"
    place = room.write(
        out, proposals, f"Golden files {what}: {len(proposals)}", room.REMEDY if against is None else ""
    )
    terminal.say(f"golden files {what}: {len(proposals)}; look at {place}")
    return 0


@app.command
def accept(*names: str, reason: str = "", everything: All = False, root: Root = HERE) -> int:
    """Take proposals for the accepted goldens, once they are calibrated and notice every bug that the old ones noticed.

    Parameters
    ----------
    names
        Goldens by name or path, or parts of it.
    reason
        Why they change; it is kept.
    """
    from ptycho.commands import terminal
    from ptycho.testing.golden import accept as room
    from ptycho.testing.golden import changes

    for line in room.accept(_chosen(changes.pending(root), names, everything), reason, root):
        terminal.say(line)
    return 0


@app.command
def reject(*names: str, everything: All = False, root: Root = HERE) -> int:
    """Throw proposals away."""
    from ptycho.commands import terminal
    from ptycho.testing.golden import changes, files

    for change in _chosen(changes.pending(root), names, everything):
        files.discard(files.pending_of(change.path))
        terminal.say(f"rejected: {change.path.with_suffix('')}")
    return 0


def replay(bundle: Path, *, out: Path | None = None, overwrite: Overwrite = False) -> int:
    """Show again the comparison that a failing golden test left, without running anything.

    Parameters
    ----------
    bundle
        The zip file that the failure names.
    out
        A page with pictures of what was stored, obtained, and their difference.
    """
    from ptycho.commands import terminal
    from ptycho.runs import claim
    from ptycho.testing.golden import changes, fixture, review
    from ptycho.testing.golden import replay as room

    if out is not None:
        claim.file(out, [bundle], overwrite)
    kept = room.read(bundle)
    differences = fixture.differences(kept.obtained, kept.record, kept.weights, (kept.expected, kept.stored))
    terminal.say(kept.about["test"])
    terminal.say(
        fixture.failure(differences, kept.stored, Path(kept.record.test), None)
        if differences
        else "nothing differs"
    )
    if out is not None:
        change = changes.Change(
            Path(kept.about["test"]), (kept.expected, kept.stored), (kept.obtained, kept.record)
        )
        terminal.say(str(review.write(out, [change], f"Failure of {kept.about['test']}", "")))
    return 1 if differences else 0


def _chosen(proposals: Sequence[Change], names: Sequence[str], everything: bool) -> list[Change]:
    """Return the changes that are named; raise GoldenError for a name that is none, and for none at all."""
    from ptycho.base.errors import GoldenError

    if everything:
        return list(proposals)
    if not names:
        raise GoldenError("name the goldens, or say --all")
    chosen = []
    for name in names:
        those = [
            change for change in proposals if name.removesuffix(".npz") in str(change.path.with_suffix(""))
        ]
        if not those:
            there = ", ".join(change.path.stem for change in proposals)
            raise GoldenError(
                f"{name}: nothing of that name; there {'is ' + there if there else 'is nothing'}"
            )
        chosen += [change for change in those if change not in chosen]
    return chosen


def _said(proposals: Sequence[Change], nothing: str) -> int:
    from ptycho.commands import terminal
    from ptycho.testing.golden import changes

    for line in changes.summary(proposals) or [nothing]:
        terminal.say(line)
    return 0
