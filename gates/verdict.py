"""The answer of a gate: an outcome, always with its numbers and a sentence that explains it."""

import math
from dataclasses import dataclass
from enum import StrEnum

from gates.outcome import Outcome
from gates.quick import quick


@dataclass(frozen=True, slots=True)
class Window:
    """The span of time, in unix seconds, that evidence was gathered over: ``start_s`` excluded, ``end_s`` included."""

    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start_s) and math.isfinite(self.end_s) and self.start_s <= self.end_s):
            raise ValueError(f"window: start_s {self.start_s} must be finite and not after end_s {self.end_s}")

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


class Stage(StrEnum):
    """The stage at which a gate is judged: a release is exposed to users only after the stages before have passed."""

    PREFLIGHT = "preflight"  # the artifact and the running replica, before any traffic
    SUITE = "suite"  # labelled cases of our own
    SHADOW = "shadow"  # answers to mirrored requests that nobody waits for
    LIVE = "live"  # answers that users got


@quick
@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds that hold at every look at once (a confidence sequence) with probability ``level``."""

    low: float
    high: float
    level: float


class Rule(StrEnum):
    """The rule that a limit belongs to."""

    GUARD = "guard"  # proven harm that reaches it fails
    MARGIN = "margin"  # harm that is surely below it passes
    FLOOR = "floor"
    CEILING = "ceiling"
    OBJECTIVE = "objective"


@quick
@dataclass(frozen=True, slots=True)
class Limit:
    """One limit that decided an outcome, or that is still to be settled. ``measured`` has to stay below ``value``, or,
    where ``at_least`` is set, has to reach it. Both are in ``unit``; None: nothing was measured yet."""

    rule: Rule
    value: float
    measured: float | None
    unit: str
    at_least: bool = False


@quick
@dataclass(frozen=True, slots=True)
class Verdict:
    """One gate's answer at one look.

    ``reason`` is one plain sentence with the numbers in it; an empty one cannot be constructed.
    ``value``, ``interval`` and ``threshold`` are in ``unit``; ``samples`` counts what the value rests on and
    ``samples_needed`` estimates how many would settle the gate (None: not known, or settled). ``limits``: those
    that decided, each with its measured value; more than one where each matters.
    An ``advisory`` verdict is shown and recorded but neither blocks nor rolls back.
    ``breach``: users get less than the objective promises, and nothing shows whose fault that is; people are told, and
    no version is blamed.
    ``suspects``: this look said as much against the candidate as one look may. Such a verdict is always recorded.
    ``freezes``: the finding halts every model change of the service until the freeze is lifted.
    """

    gate: str
    stage: Stage
    outcome: Outcome
    reason: str
    value: float | None = None
    unit: str = ""
    interval: Interval | None = None
    threshold: float | None = None
    samples: int = 0
    samples_needed: int | None = None
    window: Window | None = None
    advisory: bool = False
    freezes: bool = False
    breach: bool = False
    suspects: bool = False
    limits: tuple[Limit, ...] = ()

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ValueError(f"gate {self.gate}: a verdict must say why")
