"""The findings of a suite, one for each question. The worst makes the verdict, and lends it its words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gates.outcome import Outcome
from gates.verdict import Limit

_ORDER: Final = (Outcome.FAIL, Outcome.ERROR, Outcome.INCONCLUSIVE, Outcome.PASS)


@dataclass(frozen=True, slots=True)
class Finding:
    """The finding of one question, its sentence without a full stop, and the limits that it was held to."""

    outcome: Outcome
    reason: str
    limits: tuple[Limit, ...] = ()


def worst(findings: Sequence[Finding]) -> Finding:
    """The first of those with the worst outcome."""
    return min(findings, key=lambda finding: _ORDER.index(finding.outcome))
