"""The fixture `golden`: what a test computed, against what is stored beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_regressions import common

from ptycho.base.errors import GoldenError
from ptycho.testing import prover
from ptycho.testing.golden import compare, conditions, files, gauge, replay, worth
from ptycho.testing.golden.compare import Band
from ptycho.testing.golden.difference import Difference
from ptycho.testing.golden.files import Evidence, Record

TIMES = 10.0
"""What is allowed, in units of the noise floor."""
RECORDING = pytest.StashKey[Path]()
"""Where a config says which folder gets what each golden test computes; nothing is compared then."""
REACHED = pytest.StashKey[Mapping[str, Any]]()
"""Where a config keeps how often each function was called that a fault replaces."""
COMPLAINTS, PROPOSED = pytest.StashKey[list[str]](), pytest.StashKey[list[str]]()
"""What turns the run red at its end; which goldens were proposed."""


class Golden:
    """Compares named arrays with those stored for the test; once a test."""

    def __init__(self, request: pytest.FixtureRequest, datadir: Any, folder: Path) -> None:
        self._request, self._datadir, self._folder = request, datadir, folder
        self._name = files.name_of(request.node.nodeid)
        self._config: Mapping[str, Any] | None = None
        self._positions: dict[str, np.ndarray] = {}
        self._seed: int | None = None
        self.checks = 0

    @property
    def path(self) -> Path:
        """Where the arrays are stored."""
        return self._folder / f"{self._name}.npz"

    @property
    def dtype(self) -> np.dtype:
        """The type to compute in: double, and single where calibration asks what that changes."""
        return np.dtype(os.environ.get(conditions.DTYPE, "float64"))

    def check(
        self,
        values: Mapping[str, Any],
        *,
        units: Mapping[str, str] | None = None,
        analytic: Mapping[str, Any] | None = None,
        second: Mapping[str, Any] | None = None,
        oracle_band: float = 1e-9,
        over: str = "numpy",
        despite: Mapping[str, str] | None = None,
        fields: Mapping[str, np.ndarray] | None = None,
        positions: Mapping[str, np.ndarray] | None = None,
        config: Mapping[str, Any] | None = None,
        seed: int | None = None,
        reason: str = "",
    ) -> None:
        """Compare arrays and numbers with the stored ones.

        Arrays are of any shape. Raises GoldenError where a test checks twice, or a golden is missing where CI
        is set.

        Parameters
        ----------
        values : mapping
            Arrays and numbers by name, in the order in which the program makes them: of several that differ, the first
            is where it went wrong.
        units : mapping of str, optional
            Unit tags by name; a changed tag is a difference.
        analytic, second : mapping, optional
            The same values from a closed form, or from a second implementation, by name: whoever claims that a golden is right
            shows it, here, every time. Without them it is frozen behaviour.
        oracle_band : float
            How far those may lie, in units of their largest magnitude.
        over : str
            Over which conditions the values must hold: ``numpy``, or ``framework`` for what Keras computes.
        despite : mapping of str, optional
            By name, why an array is stored although it looks vacuous.
        fields : mapping, optional
            Complex fields (H, W) whose gauge is free, with the weight (H, W) of their pixels; each is compared when aligned,
            and the gauge itself is compared as well.
        positions : mapping, optional
            By name, the scan positions (M, 2) [x, y] of what the first axis counts: a failure tells that of the worst one.
        config : mapping, optional
            What the values were computed with, for whoever looks at a failure.
        seed : int, optional
            Of what was drawn, for the record.
        reason : str
            Why these values are stored.
        """
        __tracebackhide__ = True
        self.checks += 1
        if self.checks > 1:
            raise GoldenError(
                f"{self._request.node.nodeid}: golden.check is called twice: give all values at once"
            )
        self._config, self._positions, self._seed = config, dict(positions or {}), seed
        arrays = {name: np.asarray(value) for name, value in values.items()}
        self._refuse_vacuous(arrays, despite or {})
        rests_on = self._rests_on(arrays, analytic, second, oracle_band)
        record = Record(
            test=self._request.node.nodeid.partition("::")[2],
            rests_on=rests_on,
            reason=reason,
            claims=tuple(conditions.CLAIMS[over]),
            arrays={n: compare.entry_of(a, (units or {}).get(n, "")) for n, a in arrays.items()},
            despite=dict(despite or {}),
            sha256="",
        )
        recording = self._request.config.stash.get(RECORDING, None)
        if recording is not None:
            if REACHED in self._request.config.stash:
                conditions.keep_reached(recording, self._request.config.stash[REACHED])
            conditions.keep(recording, self._request.node.nodeid, arrays, fields or {})
            return
        self._compare(arrays, record, dict(fields or {}))

    def _compare(self, arrays: dict[str, np.ndarray], record: Record, fields: dict[str, np.ndarray]) -> None:
        __tracebackhide__ = True
        path = self._stored_path()
        config = self._request.config
        if config.option.golden_propose:
            self._propose(arrays, record, fields)
            return
        if os.environ.get("CI") and not path.is_file():
            raise GoldenError(
                f"{path}: is missing, and CI is set: no golden is written there. Propose it at home"
            )

        def dump(place: Path) -> None:
            if place.parent != self._folder:
                np.savez(place, **arrays)  # type: ignore[arg-type]
            elif not self._agrees(arrays, record, fields):
                files.write(place, arrays, self._with_provenance(record))

        def check(_obtained: Path, _expected: Path) -> None:
            __tracebackhide__ = True
            self._fail_where_it_differs(path, arrays, record, fields)

        try:
            if path != self.path:
                check(path, path)
            else:
                common.perform_regression_check(
                    datadir=self._datadir,
                    original_datadir=self._folder,
                    request=self._request,
                    check_fn=check,
                    dump_fn=dump,
                    extension=".npz",
                    basename=self._name,
                )
        except _Differs as result:
            pytest.fail(str(result), pytrace=False)
        self._ask_for_evidence(path)

    def _fail_where_it_differs(
        self, path: Path, arrays: dict[str, np.ndarray], record: Record, fields: dict[str, np.ndarray]
    ) -> None:
        __tracebackhide__ = True
        nodeid = self._request.node.nodeid
        try:
            stored = files.read(path)
        except GoldenError as error:
            raise _Differs(str(error)) from None
        result = differences(arrays, record, fields, stored)
        if result:
            folder = failures(self._request.config)
            bundle = folder / f"{Path(self._request.path).stem}.{self._name}.zip" if folder else None
            if bundle is not None:
                replay.write(bundle, nodeid, arrays, stored, record, fields, self._config)
            raise _Differs(failure(result, stored[1], path, bundle, self._positions))

    def _with_provenance(self, record: Record) -> Record:
        """Say what ran: only of what is written, for it hashes every source."""
        command = " ".join(("pytest", *map(str, self._request.config.invocation_params.args)))
        seed = str(self._seed) if self._seed is not None else ""
        return replace(record, made={"command": command, "seed": seed, **files.made_now()})

    def _stored_path(self) -> Path:
        pending = files.pending_of(self.path)
        use = self._request.config.option.golden_pending
        return pending if use and pending.is_file() else self.path

    def _propose(self, arrays: dict[str, np.ndarray], record: Record, fields: dict[str, np.ndarray]) -> None:
        pending = files.pending_of(self.path)
        if self._agrees(arrays, record, fields):
            files.discard(pending)
            return
        with files.alone(pending):
            if not _same(pending, arrays, record):
                files.write(pending, arrays, self._with_provenance(record))
        self._request.config.stash.setdefault(PROPOSED, []).append(str(pending))

    def _agrees(self, arrays: dict[str, np.ndarray], record: Record, fields: dict[str, np.ndarray]) -> bool:
        """Whether the stored golden need not be written anew: nothing differs beyond its bands."""
        try:
            stored = files.read(self.path)
        except GoldenError:
            return False
        same = (record.rests_on, record.claims, record.despite) == (
            stored[1].rests_on,
            stored[1].claims,
            stored[1].despite,
        )
        return same and not differences(arrays, record, fields, stored)

    def _refuse_vacuous(self, arrays: Mapping[str, np.ndarray], despite: Mapping[str, str]) -> None:
        __tracebackhide__ = True
        if not arrays:
            raise GoldenError(f"{self._request.node.nodeid}: golden.check is given nothing to compare")
        for name, array in arrays.items():
            words = [] if name in despite else worth.complaints(array)
            if words:
                raise GoldenError(
                    f"{name} {'; '.join(words)}: stored, it would hide faults. Store another part of it, or say in "
                    f"despite={{{name!r}: ...}} why it is worth storing"
                )

    def _rests_on(
        self,
        arrays: Mapping[str, np.ndarray],
        analytic: Mapping[str, Any] | None,
        second: Mapping[str, Any] | None,
        band: float,
    ) -> str:
        __tracebackhide__ = True
        for kind, oracle in ((files.ANALYTIC, analytic), (files.SECOND, second)):
            if oracle is None:
                continue
            if set(oracle) != set(arrays):
                raise GoldenError(
                    f"the {kind} values are of {sorted(oracle)}, what is stored of {sorted(arrays)}: to claim that a golden is "
                    "right, show it of all"
                )
            for name, array in arrays.items():
                right = np.asarray(oracle[name])
                number = array.dtype.kind in "fc" and right.dtype.kind in "iufc"
                apart = compare.distance(array, right.astype(array.dtype) if number else right)
                if not apart <= band:
                    pytest.fail(
                        f"{name} differs from its {kind} values by {apart:.3g}; allowed {band:.3g}",
                        pytrace=False,
                    )
            return kind
        return files.FROZEN

    def _ask_for_evidence(self, path: Path) -> None:
        """Complain at the end of the run of a golden whose bands nobody measured."""
        config = self._request.config
        record = files.read_record(path)
        lacking = missing_evidence(record)
        if lacking and not config.option.golden_pending:
            config.stash.setdefault(COMPLAINTS, []).append(f"{self._request.node.nodeid}: {lacking}")


class _Differs(AssertionError):
    """What pytest-regressions takes for a difference."""


def failures(config: pytest.Config) -> Path | None:
    """Return the folder that gets a file for each failure; None without pytest's cache, or under a proof."""
    if config.stash.get(prover.ACTIVE, None) is not None or getattr(config, "cache", None) is None:
        return None
    return Path(str(config.cache.mkdir("golden-failures")))


def differences(
    arrays: Mapping[str, np.ndarray],
    record: Record,
    fields: Mapping[str, np.ndarray],
    stored: tuple[Mapping[str, np.ndarray], Record],
) -> list[Difference]:
    """Return in what arrays and record differ from what is stored, the first divergence first.

    Arrays are of any shape.
    """
    expected, message = stored
    units = {name: entry.unit for name, entry in record.arrays.items()}
    result = compare.compare(arrays, expected, message.arrays, units, bands(expected, message), fields)
    return [*result, *_claims(record, message)]


def bands(expected: Mapping[str, np.ndarray], record: Record) -> dict[str, Band]:
    """Return how far each array may lie, and each part of a field's gauge: from its evidence, or the least there is.

    Arrays are of any shape.
    """
    least = {name: compare.least_band(array.dtype, TIMES) for name, array in expected.items()}
    least |= {
        f"{name}.{part}": Band(TIMES * value, f"{TIMES:g} x the least {part}")
        for name in expected
        for part, value in gauge.LEAST.items()
    }
    evidence = record.evidence
    # What is of other numbers, or lets a fault pass, bears no tolerance.
    if evidence is not None and not (
        record.calibrated and evidence.separation >= conditions.LEAST_SEPARATION
    ):
        evidence = None
    return {name: _band(name, band, evidence) for name, band in least.items()}


def _band(name: str, least: Band, evidence: Evidence | None) -> Band:
    if evidence is None or TIMES * evidence.floor(name) <= least.relative:
        return least
    floor = evidence.floor(name)
    worst = max(evidence.conditions, key=lambda condition: evidence.conditions[condition].get(name, 0.0))
    return Band(TIMES * floor, f"{TIMES:g} x the noise floor {floor:.2g}, measured under {worst!r}")


def missing_evidence(record: Record) -> str:
    """Say what a golden's bands lack to be believed, nothing where they lack nothing."""
    remedy = "run pytest --calibrate on it"
    if record.evidence is None:
        return f"its tolerance has no evidence: {remedy}"
    if not record.calibrated:
        return f"its evidence is of other numbers: {remedy}"
    fewer = [name for name in record.claims if name not in record.evidence.conditions]
    if fewer:
        return f"claims to hold under {', '.join(fewer)}, and was not calibrated there: {remedy}, where those can be had"
    if not record.evidence.faults:
        return "no registered fault moves it: it shows nothing"
    if record.evidence.separation < conditions.LEAST_SEPARATION:
        return (
            f"is too loose: a fault moves it by {record.evidence.separation:.3g} of what is allowed, and "
            f"{conditions.LEAST_SEPARATION:g} is asked"
        )
    return ""


def failure(
    result: list[Difference],
    record: Record,
    path: Path,
    bundle: Path | None,
    positions: Mapping[str, np.ndarray] | None = None,
) -> str:
    """Return the words of a failure: what went first, where, and what to do.

    Arrays are of any shape.
    """
    first, *others = result
    lines = [f"first divergence: {first.text}"]
    where = (positions or {}).get(first.name)
    if where is not None and first.worst:
        x, y = where[first.worst[0]]
        lines.append(f"at the scan position x = {x:.2f}, y = {y:.2f} px (number {first.worst[0]})")
    lines += [f"then: {other.text}" for other in others[:8]]
    lines += [f"and {len(others) - 8} more"] * (len(others) > 8)
    lines += [
        f"rests on: {record.rests_on}{': ' + record.reason if record.reason else ''}",
        f"stored: {path}",
    ]
    if bundle is not None:
        lines.append(f"look at it: ptycho replay {bundle}")
    lines.append("if the change is meant: ptycho golden propose, review, accept (or --force-regen)")
    return "\n".join(lines)


def _claims(record: Record, message: Record) -> list[Difference]:
    result = []
    for what in ("rests_on", "claims"):
        was, now = getattr(message, what), getattr(record, what)
        if was != now:
            result.append(Difference(what, what, f"{what}: {now!r}, stored {was!r}"))
    return result


def _same(path: Path, arrays: Mapping[str, np.ndarray], record: Record) -> bool:
    """Whether a proposal stands there already, number by number."""
    try:
        stored, message = files.read(path)
    except GoldenError:
        return False
    equal = stored.keys() == arrays.keys() and all(
        np.array_equal(stored[n], a, equal_nan=a.dtype.kind in "fc") for n, a in arrays.items()
    )
    return equal and message.arrays == record.arrays and message.rests_on == record.rests_on
