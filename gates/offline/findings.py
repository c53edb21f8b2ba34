"""The findings of a suite, one for each question. The worst one is the verdict, and gives it its words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gates.outcome import Outcome
from gates.verdict import Limit

_ORDER: Final = (Outcome.FAIL, Outcome.ERROR, Outcome.INCONCLUSIVE, Outcome.PASS)


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one question, its sentence without a full stop, and the limits that decided it."""

    outcome: Outcome
    reason: str
    limits: tuple[Limit, ...] = ()


def worst(findings: Sequence[Finding]) -> Finding:
    """Return the first finding with the worst outcome; there has to be a finding."""
    return min(findings, key=lambda finding: _ORDER.index(finding.outcome))
