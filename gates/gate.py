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

UNRIPE_MAX: Final = 0.2  # of the time whose requests are labelled

# The part of an absolute objective's level for windows that the candidate served alone: with all of the traffic,
# evidence comes fast. The rest is for windows with a stable version to compare with.
ALONE_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class LabelTimes:
    """The labels that count at one look: those of requests up to ``counted_s`` (unix seconds); later ones wait.

    ``lag_s``: how much later some labels come than others of the same time. ``apart_s``: ``lag_s``, or the policy's
    figure if that is larger; ``unripe``: ``apart_s`` as a part of the time whose requests are labelled. ``hold``: the
    sentence that says why nothing is concluded from any label now, and earlier evidence does not count; else empty.
    ``apart_times``: how many times as often the versions disagree on the pairs labelled by chance as on all pairs; at
    least 1.
    """

    counted_s: float = math.inf
    lag_s: float = 0.0
    apart_s: float = 0.0
    unripe: float = 0.0
    hold: str = ""
    apart_times: float = 1.0

    @property
    def wait(self) -> str:
        """Return the sentence that says why a gate that counts labels as they come concludes nothing now: a large part
        of them is still to come. Empty where the gate may conclude."""
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
    (zero without a deadline); the rest is spent by watching.
    """

    deadline_fraction: float
    due: bool  # the exact test is made at this look
    labels: LabelTimes = LabelTimes()

    def fires(self, alpha: float, peak_log_e: float, p_value: Callable[[], float]) -> bool:
        """Return whether the null is rejected at ``alpha``: by the highest log evidence so far, or by the exact test at
        the deadline. ``p_value`` is called only when that test is made."""
        if peak_log_e >= -math.log(alpha * (1 - self.deadline_fraction)):
            return True
        return self.due and p_value() <= alpha * self.deadline_fraction


class Gate(Protocol[StateT]):
    """One gate. ``sources`` names the evidence that it reads: a fault of one of them makes its verdict an error.

    A gate that reads labels may have an attribute ``waits_itself``. Without it, the gate set makes the gate's verdict
    inconclusive while a large part of the labels is still to come (`LabelTimes.wait`).
    """

    @property
    def name(self) -> str: ...

    @property
    def stage(self) -> Stage: ...

    @property
    def sources(self) -> frozenset[str]: ...

    @property
    def required(self) -> bool:
        """Return whether promotion waits for this gate. A gate that is not required may still fail a release."""
        ...

    def start(self) -> StateT: ...

    def look(self, state: StateT, look: Look, timing: Timing, /) -> tuple[StateT, Verdict]: ...


def settle(*, failed: bool, passed: bool) -> Outcome:
    """Return the outcome: harm found wins over safety shown; neither is inconclusive."""
    if failed:
        return Outcome.FAIL
    return Outcome.PASS if passed else Outcome.INCONCLUSIVE


def bounds(low: float, high: float, alpha: float) -> Interval | None:
    """Return a confidence sequence at ``1 - alpha`` as a verdict shows it; None until both of its ends are finite."""
    return Interval(low, high, 1 - alpha) if math.isfinite(low) and math.isfinite(high) else None
