"""One gate as a race: proofs of safety against proofs of harm, each an e-process that grows with the traffic."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gates.forecast.candidate import Candidate
from gates.forecast.traffic import PlannedStep
from gates.stats.growth import Growth
from gates.verdict import Stage


@dataclass(frozen=True, slots=True)
class Proof:
    """One e-process: the growth of each of its bets in a step, and the log evidence that their mixture must reach."""

    growth: Callable[[PlannedStep], Sequence[Growth]]
    threshold: float
    labelled: bool = False  # the evidence comes from late labels


@dataclass(frozen=True, slots=True)
class Minimum:
    """The least number of samples for a verdict, and how many come per second in a step."""

    rate: Callable[[PlannedStep], float]
    least: float
    labelled: bool = False


@dataclass(frozen=True, slots=True)
class Race:
    """One gate and one candidate: one proof of each group of ``safe`` passes it, all proofs of ``harm`` fail it.

    Either also needs enough samples. ``harm`` is empty where the candidate lies below the guard: nothing fails it.
    """

    gate: str
    stage: Stage
    required: bool  # whether promotion waits for the gate
    safe: tuple[tuple[Proof, ...], ...]
    safe_samples: Minimum
    harm: tuple[Proof, ...]
    harm_samples: Minimum
    harm_at_guard: bool  # the candidate lies at the guard: its estimate is as often below as above
    margin: Candidate  # a candidate as bad as the gate's margin
    advice: str


def is_beyond(value: float, limit: float) -> bool:
    """Return whether the value is above the limit. A value on a test's null is not: no evidence shows it beyond."""
    return value > limit and not math.isclose(value, limit)
