"""The protocol of every online gate: a pure step from (its state, one look) to (its next state, its verdict)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from gates.evidence import Look
from gates.outcome import Outcome
from gates.verdict import Interval, Stage, Verdict
from gates.wording import span

StateT = TypeVar("StateT")

UNRIPE_MAX: Final = 0.2  # of the time that labels are of

# Of the level of an absolute objective, for windows that the candidate served alone: with all of the traffic, evidence
# comes fast. The rest is for those in which stable can be compared with.
ALONE_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class LabelTimes:
    """The labels that count at one look: those of requests up to ``counted_s``.

    The others wait in parts as wide as ``lag_s`` bears, which is how much later some labels come than others of the
    same time. ``apart_s``: that, or what the policy says of it, if it says more; ``unripe``: that, as a part of the
    time that labels are of. ``hold``: why nothing is concluded from any of them now, as a sentence; what was evidence
    before does not count on. ``apart_times``: how many times as often the versions disagree on those by chance as on
    all pairs; at least 1.
    """

    counted_s: float = math.inf
    lag_s: float = 0.0
    apart_s: float = 0.0
    unripe: float = 0.0
    hold: str = ""
    apart_times: float = 1.0

    @property
    def wait(self) -> str:
        """Return why a gate that counts labels as they come concludes nothing now: those that are still to come are a
        large part of all. Empty where it may."""
        if self.hold or self.unripe <= UNRIPE_MAX:
            return self.hold
        return (
            f"Not settled yet: labels of the same time come up to {span(self.apart_s)} apart, and so large a part of "
            "them is still to come that those that came first say little of all."
        )


@dataclass(frozen=True, slots=True)
class Timing:
    """The deadline that was fixed before the release started, as a gate sees it at one look.

    ``deadline_fraction`` of a rollback level is kept for one exact test at the first look at or after the deadline
    (zero where there is none), the rest is spent by watching.
    """

    deadline_fraction: float
    due: bool  # this look is the one
    labels: LabelTimes = LabelTimes()

    def fires(self, alpha: float, peak_log_e: float, p_value: Callable[[], float]) -> bool:
        """Return whether the null is rejected at ``alpha``: by the highest evidence so far, or by the exact test at the
        deadline?"""
        if peak_log_e >= -math.log(alpha * (1 - self.deadline_fraction)):
            return True
        return self.due and p_value() <= alpha * self.deadline_fraction


class Gate(Protocol[StateT]):
    """One gate. ``sources`` names the evidence it reads: a fault of one of them makes it an error at that look.

    Of a gate that reads labels, and does not say ``waits_itself``, the gate set holds the verdict back while labels
    that come first are a large part of all (`LabelTimes.wait`).
    """

    @property
    def name(self) -> str: ...

    @property
    def stage(self) -> Stage: ...

    @property
    def sources(self) -> frozenset[str]: ...

    @property
    def required(self) -> bool:
        """Return whether promotion waits for this gate. One that is not required may still fail a release."""
        ...

    def start(self) -> StateT: ...

    def look(self, state: StateT, look: Look, timing: Timing, /) -> tuple[StateT, Verdict]: ...


def settle(*, failed: bool, passed: bool) -> Outcome:
    """Harm found wins over safety shown; neither is inconclusive."""
    if failed:
        return Outcome.FAIL
    return Outcome.PASS if passed else Outcome.INCONCLUSIVE


def bounds(low: float, high: float, alpha: float) -> Interval | None:
    """A confidence sequence as a verdict shows it: only once both of its ends are known."""
    return Interval(low, high, 1 - alpha) if math.isfinite(low) and math.isfinite(high) else None
