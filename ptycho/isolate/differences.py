"""What differs between a good and a bad side, exactly, and what does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from ptycho.artifacts.stage import Stage
from ptycho.base import identity
from ptycho.base.errors import ConfigError
from ptycho.isolate.code import Code
from ptycho.physics.stitching import Reconstruction
from ptycho.scan.raw import RawData
from ptycho.settings import config as configs
from ptycho.settings.config import Config
from ptycho.solve.solution import Solution
from ptycho.stages import pipeline

Kind = Literal["parameter", "data", "code"]

OBJECTS = (Reconstruction, Solution)
"""Kinds of artifacts that are an object, or hold one."""
TRUTH = "truth"
SCAN_FIELDS: Mapping[str, tuple[str, ...]] = {
    "positions": ("xcoords", "ycoords", "xcoords_start", "ycoords_start"),
    "patterns": ("diff3d", "photon_scale"),
    "probe": ("probe",),
    "bad pixels": ("bad_pixels",),
    "scan index": ("scan_index",),
    TRUTH: ("object_guess",),
}
"""What a scan consists of, for people, and the fields that hold it."""


@dataclass(frozen=True)
class Side:
    """A good or a bad run, by all that makes it.

    Attributes
    ----------
    name : str
    config : Config
    given : mapping of str to artifact
        What stands in place of rows: a measured scan.
    code : tuple of Code
        What runs otherwise than in this package.
    """

    name: str
    config: Config
    given: Mapping[str, Any] = field(default_factory=dict)
    code: tuple[Code, ...] = ()


@dataclass(frozen=True)
class Difference:
    """One thing in which the sides differ, and which one can have without the others.

    Attributes
    ----------
    kind : str
    name : str
        The path of a parameter, ``row.field`` of data, the function or the row of code.
    rows : tuple of str
        Rows that it acts in, in their order.
    good, bad : object
        The values of a parameter; words on data and code.
    judging : bool
        Whether it acts only in rows that judge the result, and in none that makes it.
    parts : tuple of str
        Paths of parameters, names of fields: what goes together.
    """

    kind: Kind
    name: str
    rows: tuple[str, ...]
    good: Any = field(default="", compare=False, hash=False)
    bad: Any = field(default="", compare=False, hash=False)
    judging: bool = False
    parts: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What differs, for people."""
        if self.kind == "parameter":
            return f"{self.name}: {self.good!r} in GOOD, {self.bad!r} in BAD"
        return f"{self.name} ({self.bad})" if self.bad else self.name

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "kind": self.kind,
            "name": self.name,
            "stages": list(self.rows),
            "good": self.good,
            "bad": self.bad,
            "judging": self.judging,
        }


@dataclass(frozen=True)
class Comparison:
    """All that differs, and what was cleared without an experiment.

    Attributes
    ----------
    differences : tuple of Difference
        In the order of the rows that they act in.
    cleared : mapping of str to str
        What does not differ, or acts in no row of these runs, and why that is certain.
    judges : tuple of str
        Rows that judge a result and do not help to make it.
    last : str
        The row that has the verdict.
    """

    differences: tuple[Difference, ...]
    cleared: Mapping[str, str]
    judges: tuple[str, ...]
    last: str

    def of(self, judging: bool) -> tuple[Difference, ...]:
        """Return the differences in what judges, or in what makes the result."""
        return tuple(each for each in self.differences if each.judging == judging)


def between(good: Side, bad: Side, last: str | None = None) -> Comparison:
    """Compare two sides as far as a verdict, by default that of an ordinary run.

    Raises
    ------
    ConfigError
        They cannot be compared: patterns of another size where a scan is given. Or they differ in nothing.
    """
    _check_comparable(good, bad)
    last = last or pipeline.verdict_row().name
    rows = pipeline.needed_stages({**good.given, **bad.given}, last)
    judges = judging_rows(rows)
    cleared: dict[str, str] = {}
    result = [*_parameters(good, bad, rows, cleared), *_data(good, bad, rows, cleared)]
    result = [_placed(each, judges) for each in result]
    for each in _codes(good, bad, rows):
        result += _divided(each, judges)
    if not result:
        raise ConfigError(
            f"{good.name} and {bad.name} differ in nothing that any stage of these runs reads; there is nothing to isolate"
        )
    order = [row.name for row in rows]
    for row in rows:
        if not any(row.name in each.rows for each in result):
            cleared[f"stage {row.name}"] = "the same code, parameters and files in both"
    return Comparison(
        tuple(sorted(result, key=lambda each: order.index(each.rows[0]))), cleared, judges, last
    )


def judging_rows(rows: Sequence[Stage]) -> tuple[str, ...]:
    """Return the rows that help to judge an object but not to make it."""
    by_name = {row.name: row for row in rows}
    waiting = [row.name for row in rows if issubclass(row.kind, OBJECTS)]
    makers: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in makers:
            makers.add(name)
            waiting += by_name[name].inputs
    return tuple(row.name for row in rows if row.name not in makers)


def readers(path: str, rows: Iterable[Stage]) -> tuple[str, ...]:
    """Return the rows that read a parameter."""
    return tuple(
        row.name for row in rows if any(path == read or path.startswith(f"{read}.") for read in row.reads)
    )


def mixed_config(good: Config, bad: Config, paths: Iterable[str]) -> Config:
    """Return GOOD's config with BAD's values at some paths; raise ConfigError where these do not go together."""
    others = bad.to_dict()
    values = {path: configs.lookup(others, path) for path in paths}
    return configs.with_values(good, values, "this mixture of both sides")


def mixed_scan(good: RawData, bad: RawData, names: Iterable[str]) -> RawData:
    """Return GOOD's scan with the named fields of BAD's."""
    changes = {each: getattr(bad, each) for name in names for each in SCAN_FIELDS[name]}
    return good.derived(**changes)


def _check_comparable(good: Side, bad: Side) -> None:
    """Raise ConfigError for sides of which no mixture can be made."""
    if (good.given or bad.given) and good.config.N != bad.config.N:
        raise ConfigError(
            f"{good.name} has patterns of {good.config.N} px and {bad.name} of {bad.config.N} px: nothing of the one fits the "
            "other; their results can be put side by side by ptycho diagnose"
        )
    if set(good.given) != set(bad.given):
        raise ConfigError(f"{good.name} and {bad.name} are not given the same artifacts; give both a scan")


def _parameters(
    good: Side, bad: Side, rows: Sequence[Stage], cleared: dict[str, str]
) -> Iterable[Difference]:
    apart = configs.differences(good.config, bad.config)
    total = len(configs.leaf_paths())
    cleared["parameters"] = f"{total - len(apart)} of {total} have the same value in both"
    acting = [row for row in rows if row.name not in good.given]
    units: list[Difference] = []
    for path, (ours, theirs) in apart.items():
        where = readers(path, acting)
        if where:
            units.append(Difference("parameter", path, where, ours, theirs, parts=(path,)))
        else:
            cleared[path] = "no stage of these runs reads it"
    return _together(good.config, bad.config, units)


def _together(good: Config, bad: Config, units: list[Difference]) -> list[Difference]:
    """Join parameters of which one alone is no valid config, on either side, with the one that makes it valid."""
    waiting, result = list(units), []
    while waiting:
        unit = waiting.pop(0)
        if _possible(good, bad, unit.parts):
            result.append(unit)
            continue
        partners = [each for each in (*waiting, *result) if _possible(good, bad, (*unit.parts, *each.parts))]
        if not partners:
            result.append(unit)  # its experiments will say that they are impossible
            continue
        partner = partners[0]
        (waiting if partner in waiting else result).remove(partner)
        waiting.insert(0, _joined(unit, partner))
    return result


def _possible(good: Config, bad: Config, paths: Sequence[str]) -> bool:
    """Whether both sides can be had with the other's values at some paths."""
    try:
        mixed_config(good, bad, paths)
        mixed_config(bad, good, paths)
    except ConfigError:
        return False
    return True


def _joined(first: Difference, second: Difference) -> Difference:
    """Return two differences as one."""
    order = {row.name: number for number, row in enumerate(pipeline.STAGES)}
    return Difference(
        first.kind,
        f"{first.name} with {second.name}",
        tuple(sorted({*first.rows, *second.rows}, key=order.__getitem__)),
        f"{first.good}, {second.good}",
        f"{first.bad}, {second.bad}",
        parts=(*first.parts, *second.parts),
    )


def _data(good: Side, bad: Side, rows: Sequence[Stage], cleared: dict[str, str]) -> Iterable[Difference]:
    for row, ours in good.given.items():
        theirs = bad.given[row]
        if not isinstance(ours, RawData):
            if identity.digest(ours) != identity.digest(theirs):
                yield Difference("data", row, (row,), "", f"another {row}", parts=())
            continue
        apart = [
            name
            for name, parts in SCAN_FIELDS.items()
            if any(_differ(getattr(ours, part), getattr(theirs, part)) for part in parts)
        ]
        if len(ours) != len(theirs):
            # Patterns of another scan come with their positions.
            apart = [name for name in apart if name not in ("positions", "patterns", "scan index")]
            yield Difference(
                "data",
                f"{row}.patterns and positions",
                (row,),
                f"{len(ours)} patterns",
                f"{len(theirs)} patterns",
                parts=("patterns", "positions", "scan index"),
            )
        for name in apart:
            words = _how_far(ours, theirs, name)
            # Only judges look at the truth.
            yield Difference("data", f"{row}.{name}", (row,), "", words, name == TRUTH, (name,))
        for name in SCAN_FIELDS:
            if name not in apart and len(ours) == len(theirs):
                cleared[f"{row}.{name}"] = "the same content in both"


def _differ(ours: Any, theirs: Any) -> bool:
    return bool(identity.digest(ours) != identity.digest(theirs))


def _how_far(good: RawData, bad: RawData, name: str) -> str:
    """Say by how much a field of two scans differs."""
    if name == "positions":
        away = np.linalg.norm(good.positions - bad.positions, axis=1)
        return f"{np.sqrt(np.mean(away**2)):.3g} px apart (root mean square), at most {away.max():.3g} px"
    if name == "patterns":
        ours, theirs = good.diff3d.astype(float), bad.diff3d.astype(float)
        share = np.sum((ours - theirs) ** 2) / max(float(np.sum(ours**2)), 1e-30)
        return f"differ by {share:.2%} of their intensity"
    if name == "probe" and len(good.probe) != len(bad.probe):
        return f"of {len(bad.probe)} modes in place of {len(good.probe)}"
    if name == "probe":
        share = np.linalg.norm(good.probe - bad.probe) / np.linalg.norm(good.probe)
        return f"differs by {float(share):.2%} of its norm"
    return "differs"


def _codes(good: Side, bad: Side, rows: Sequence[Stage]) -> Iterable[Difference]:
    if good.code:
        raise ConfigError(f"{good.name} has bugs put in: it cannot be the good side")
    for code in bad.code:
        where = tuple(row.name for row in rows if code.reached_by(row))
        if where:
            yield Difference("code", code.name, where, "", "other code", parts=(code.tag,))


def _placed(difference: Difference, judges: Sequence[str]) -> Difference:
    """Return a difference that says whether it acts in judges only."""
    if set(difference.rows) <= set(judges):
        return replace(difference, judging=True)
    return difference


def _divided(difference: Difference, judges: Sequence[str]) -> list[Difference]:
    """Return what code does to makers and to judges of the result apart: each can be had without the other."""
    result = []
    for judging in (False, True):
        rows = tuple(row for row in difference.rows if (row in judges) == judging)
        if rows:
            result.append(replace(difference, rows=rows, judging=judging))
    return result
