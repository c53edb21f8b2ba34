"""One gate as a race: proofs that it is safe against proofs of harm, each an e-process that grows with the traffic."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gates.forecast.candidate import Candidate
from gates.forecast.traffic import PlannedStep
from gates.stats.growth import Growth
from gates.verdict import Stage


@dataclass(frozen=True, slots=True)
class Proof:
    """One e-process: the growth of each of its bets in a step, and the log evidence that the mixture must reach."""

    growth: Callable[[PlannedStep], Sequence[Growth]]
    threshold: float
    labelled: bool = False  # by late labels


@dataclass(frozen=True, slots=True)
class Minimum:
    """The least number of samples of a verdict, and how many come per second."""

    rate: Callable[[PlannedStep], float]
    least: float
    labelled: bool = False


@dataclass(frozen=True, slots=True)
class Race:
    """One gate and one candidate: it passes by one proof of each group of ``safe``, it fails by all of ``harm``.

    Each needs enough samples. ``harm`` is empty where the candidate lies below the guard, which never fails it.
    """

    gate: str
    stage: Stage
    required: bool  # whether promotion waits for the gate
    safe: tuple[tuple[Proof, ...], ...]
    safe_samples: Minimum
    harm: tuple[Proof, ...]
    harm_samples: Minimum
    harm_at_guard: bool  # what is measured of the candidate is as often below the guard as above it
    margin: Candidate  # as bad as the gate's margin
    advice: str


def is_beyond(value: float, limit: float) -> bool:
    """Return whether it is above the limit. What lies on the null of a test is shown to be beyond it by no evidence."""
    return value > limit and not math.isclose(value, limit)
