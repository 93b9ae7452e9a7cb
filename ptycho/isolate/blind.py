"""Can the judges of a run tell a good object from a bad one: they are given the truth, and garbage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ptycho.isolate import differences
from ptycho.isolate.laboratory import Laboratory, Taken
from ptycho.physics import stitching
from ptycho.physics.stitching import Reconstruction
from ptycho.stages import pipeline


@dataclass(frozen=True)
class Judgement:
    """What the judges of BAD say of the truth and of garbage in place of its object.

    Attributes
    ----------
    truth_fails : tuple of str
        Gates that the truth fails under BAD's judges and passes under GOOD's.
    garbage_passes : bool
        Whether garbage passes every gate of BAD's judges that it fails under GOOD's.
    asked : str
        What stood for the truth; nothing where there was none.
    """

    truth_fails: tuple[str, ...] = ()
    garbage_passes: bool = False
    asked: str = ""

    @property
    def blind(self) -> bool:
        """Whether the judges are at fault."""
        return bool(self.truth_fails or self.garbage_passes)

    @property
    def sentence(self) -> str:
        """The answer, for people."""
        if not self.asked:
            return "nobody knows whether the judge is blind: there is no truth to give it"
        if self.truth_fails:
            return (
                f"the judge is blind: {self.asked} in place of BAD's object fails {', '.join(self.truth_fails)}, and no number of "
                "BAD's judgement tells a good object from a bad one"
            )
        if self.garbage_passes:
            return "the judge is blind: random numbers in place of BAD's object pass"
        return f"the judge can see: {self.asked} passes what it should, and random numbers fail"


def ask(laboratory: Laboratory, everything: Taken, makers: Taken) -> Judgement:
    """Give the truth and garbage to BAD's judges and to GOOD's, on BAD's patterns.

    Parameters
    ----------
    laboratory : Laboratory
    everything, makers : frozenset
        All of BAD, and that of it which makes the object.
    """
    laboratory.tell("is the judge blind: the truth and garbage in place of BAD's object")
    row = object_row(laboratory.comparison.last)
    bad = laboratory.run(everything).artifacts
    truth, reconstruction = truth_of(bad.values()), bad[row]
    if truth is None or not isinstance(reconstruction, Reconstruction):
        return Judgement()
    shown = stitching.in_frame(truth, reconstruction)
    right = replace(reconstruction, object=np.where(np.isfinite(shown), shown, np.complex64(1)))
    rng = np.random.default_rng(0)
    shape = reconstruction.object.shape
    noise = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    scale = float(np.abs(truth).mean())
    wrong = replace(reconstruction, object=(scale * noise).astype(np.complex64))
    answers = {}
    for name, thing in (("truth", right), ("garbage", wrong)):
        for judge, taken in (("bad", everything), ("good", makers)):
            answers[name, judge] = _failed(laboratory, taken, {row: thing})
    truth_fails = answers["truth", "bad"] - answers["truth", "good"]
    seen = answers["garbage", "good"] - answers["truth", "good"]
    return Judgement(
        tuple(sorted(truth_fails)), bool(seen) and not seen & answers["garbage", "bad"], "the truth"
    )


def object_row(last: str) -> str:
    """Return the row that makes the object of which row `last` has the verdict."""
    rows = pipeline.needed_stages({}, last)
    return [row.name for row in rows if issubclass(row.kind, differences.OBJECTS)][-1]


def truth_of(artifacts: Iterable[Any]) -> np.ndarray | None:
    """Return the true object (H, W) complex among the artifacts of a run, or None."""
    for each in artifacts:
        truth = getattr(each, "object_guess", None)
        if truth is not None:
            return np.asarray(truth)
    return None


def _failed(laboratory: Laboratory, taken: Taken, given: dict[str, Any]) -> set[str]:
    """Return the gates that a thing in place of the object fails."""
    result = laboratory.attempt(taken, given=given)
    if isinstance(result, str):
        return {f"({result})"}
    verdict = result.artifacts[laboratory.comparison.last]
    return {each.name for each in verdict if each.status == "fail"}
