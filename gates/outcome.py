"""The four outcomes, and the one order in which they win over each other."""

from collections.abc import Iterable
from enum import StrEnum


class Outcome(StrEnum):
    """The answer of a gate, or of several together, about a release.

    A pass needs positive evidence. Missing, stale or unusable evidence is never a pass; a source that could not be
    read is an ``ERROR``, which says something about us and nothing about the candidate.
    """

    PASS = "pass"  # noqa: S105 - an outcome, no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


_PRECEDENCE = (Outcome.FAIL, Outcome.ERROR, Outcome.INCONCLUSIVE, Outcome.PASS)


def combine(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the outcome of several together: fail > error > inconclusive > pass; inconclusive where there are none."""
    found = set(outcomes)
    return next((outcome for outcome in _PRECEDENCE if outcome in found), Outcome.INCONCLUSIVE)
