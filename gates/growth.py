"""How fast evidence grows, and the chance that it has crossed a threshold by some time.

The log of an e-process under a fixed alternative is a random walk. Its drift and variance per second follow from the
rates of the observations; the chance to have crossed a threshold is taken from Brownian motion with the same two
numbers (the inverse Gaussian law), which errs by the overshoot of one look.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scipy.special import log_ndtr, ndtr


@dataclass(frozen=True, slots=True)
class Growth:
    """Drift and variance of a log e-process, per second (or summed over a time)."""

    drift: float
    variance: float

    def __add__(self, other: "Growth") -> "Growth":
        return Growth(self.drift + other.drift, self.variance + other.variance)

    def times(self, seconds: float) -> "Growth":
        return Growth(self.drift * seconds, self.variance * seconds)


NONE = Growth(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time during which evidence grows evenly."""

    seconds: float
    growth: Growth


def walk(steps: Iterable[tuple[float, float]]) -> Growth:
    """Of a walk that makes jumps of some size at some rate per second: (rate, size) of each kind."""
    jumps = list(steps)
    return Growth(sum(rate * size for rate, size in jumps), sum(rate * size * size for rate, size in jumps))


def fastest(candidates: Iterable[Growth]) -> Growth:
    """The best of several bets: the mixture over them follows it, less the log of their number."""
    return max(candidates, key=lambda growth: growth.drift)


def expected_seconds(stretches: Sequence[Stretch], threshold: float) -> float | None:
    """When the expected log evidence reaches ``threshold``; ``None`` if it does not."""
    elapsed = reached = 0.0
    for stretch in stretches:
        gained = stretch.growth.drift * stretch.seconds
        if stretch.growth.drift > 0 and reached + gained >= threshold:
            return elapsed + (threshold - reached) / stretch.growth.drift
        elapsed += stretch.seconds
        reached += gained
    return None


def chance_to_cross(stretches: Sequence[Stretch], threshold: float) -> float:
    """The chance that log evidence has reached ``threshold`` by the end of all stretches."""
    total = sum((stretch.growth.times(stretch.seconds) for stretch in stretches), NONE)
    if total.variance <= 0:
        return float(total.drift >= threshold)
    spread = math.sqrt(total.variance)
    direct = float(ndtr((total.drift - threshold) / spread))
    mirrored = 2 * total.drift * threshold / total.variance + float(log_ndtr(-(total.drift + threshold) / spread))
    return min(1.0, direct + math.exp(min(mirrored, 0.0)))
