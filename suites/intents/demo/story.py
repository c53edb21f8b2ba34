"""The story that the demonstration shows: the versions in order, what each one is, and what must become of it."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Act:
    """One version. ``blamed``: how the name of the gate that stops it has to begin. ``work_ms``: how much longer than
    its checkpoint's each call of its graph takes."""

    version: str
    checkpoint: str
    what: str
    expected: str
    blamed: str = ""
    work_ms: float = 0.0


ACTS: Final = (
    Act("1", "v1", "a good model, the first", "promoted"),
    Act("2", "v2", "better: trained on more", "promoted"),
    Act("3", "v3", "lost part of its training set", "rolled_back", "accuracy"),
    Act("4", "v4", "as accurate, too sure of itself", "rolled_back", "calibration"),
    Act("5", "v1", "v1's answers, some milliseconds later", "rolled_back", "latency", work_ms=8.0),
)


@dataclass(frozen=True, slots=True)
class Result:
    """The end that a version came to, for people and, as JSON, for machines."""

    version: str
    expected: str
    outcome: str
    blamed_gate: str | None
    seconds: float
    reason: str
    as_expected: bool
    report: str | None = None
