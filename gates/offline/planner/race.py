"""One gate as a race: proofs that it is safe against proofs of harm, each an e-process that grows with the traffic."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gates.offline.planner.candidate import Candidate
from gates.offline.planner.traffic import PlannedStep
from gates.policy import GatePolicy
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


@dataclass(frozen=True, slots=True)
class Levels:
    """Thresholds of log evidence, as the gates have them."""

    policy: GatePolicy

    def safe(self, parts: float = 1.0) -> float:
        return math.log(parts / self.policy.promotion_alpha)

    def harm(self, share: float, parts: float = 1.0) -> float:
        """All of the level is spent by watching."""
        return math.log(parts / (self.policy.rollback_alpha * share / self.policy.alpha_shares))

    def harm_before_deadline(self, share: float, parts: float = 1.0) -> float:
        """A part is kept for an exact test at the deadline."""
        return self.harm(share, parts / (1 - self.policy.deadline_fraction))
