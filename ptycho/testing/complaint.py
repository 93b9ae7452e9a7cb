"""What keeps a proof or a golden from counting: values, of which words are made at the end."""

from __future__ import annotations

from dataclasses import dataclass

WORDS = {
    "not clean": "{test} does not pass clean: {reason}",
    "no test": "has no test",
    "no fault": "has no fault",
    "not reached": "is never reached by the finding's tests",
    "survives": "survives",
    "test not reached": "{test} is reached by none of its faults",
    "golden": "{reason}",
}
"""How each kind of complaint is told."""


@dataclass(frozen=True)
class Complaint:
    """Something that is wrong with the proof of a finding, or with a golden.

    Attributes
    ----------
    kind : str
        One of :data:`WORDS`.
    finding, fault : str
        Their IDs, where there are any.
    test : str
        Its node id.
    reason : str
    """

    kind: str
    finding: str = ""
    fault: str = ""
    test: str = ""
    reason: str = ""

    def __str__(self) -> str:
        words = WORDS[self.kind].format(test=self.test, reason=self.reason)
        more = f"; {self.reason}" if self.reason and "{reason}" not in WORDS[self.kind] else ""
        return f"{self.fault or self.finding or self.test}: {words}{more}"
