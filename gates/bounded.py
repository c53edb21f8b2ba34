"""Betting on the mean of bounded real numbers, observation by observation (Waudby-Smith & Ramdas, arXiv:2010.09686).

The general form of F2, for confidence gaps and Brier scores: one float per bet instead of three integers.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gates.numerics import log_mean_exp

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BetState:
    """Log capital of each bet, and the highest mixture so far."""

    log_capital: tuple[float, ...]
    peak: float = 0.0


@dataclass(frozen=True, slots=True)
class MeanTest:
    """Evidence against "the mean is at most ``null``" of values in [-span, span].

    ``bets`` are shares of the largest bet that cannot lose everything. ``weights`` (in (0, 1]) scale a bet: with
    weights in inverse proportion to the probability that a value was sampled, the test is of the whole population.
    """

    null: float
    span: float
    bets: tuple[float, ...]

    def start(self) -> BetState:
        return BetState(log_capital=(0.0,) * len(self.bets))

    def add(self, state: BetState, values: Values, weights: Values) -> BetState:
        if not len(values):
            return state
        sizes = np.array(self.bets) / (self.span + self.null)
        steps = np.log1p(np.outer((values - self.null) * weights, sizes)).sum(axis=0)
        capital = tuple(before + float(step) for before, step in zip(state.log_capital, steps, strict=True))
        return BetState(capital, max(state.peak, log_mean_exp(capital)))


@dataclass(frozen=True, slots=True)
class MeanBounds:
    """A confidence sequence for the mean of values in [-span, span]: predictable plug-in empirical Bernstein.

    (Same source, theorem 2, for values moved to [0, 1].) The step size of a look depends on earlier looks only.
    ``total`` and ``squares`` are of the moved values, each times its weight; ``weight`` is the sum of the weights.
    With weights the mean is a ratio estimate (see ``weighted.hajek``) and the interval, which is then computed as if
    every value counted its weight, is a guide and no promise.
    """

    count: int = 0
    weight: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    step_sum: float = 0.0
    step_total: float = 0.0
    spread: float = 0.0

    def add(self, values: Values, weights: Values, span: float, alpha: float) -> "MeanBounds":
        if not len(values):
            return self
        unit = (values / span + 1) / 2
        before = max(self.weight, 1e-12)
        mean = (0.5 + self.total) / (self.weight + 1)
        variance = (0.25 + max(self.squares - self.total**2 / before, 0.0)) / (self.weight + 1)
        added = float(weights.sum())
        seen = self.weight + added
        step = min(math.sqrt(2 * math.log(2 / alpha) / (variance * seen * math.log(1 + seen))), 0.5)
        return MeanBounds(
            count=self.count + len(values),
            weight=seen,
            total=self.total + float((weights * unit).sum()),
            squares=self.squares + float((weights * unit**2).sum()),
            step_sum=self.step_sum + step * added,
            step_total=self.step_total + step * float((weights * unit).sum()),
            spread=self.spread - (math.log1p(-step) + step) * float((weights * (unit - mean) ** 2).sum()),
        )

    def mean(self, span: float) -> float:
        """The weighted mean of the values."""
        return span * (2 * self.total / self.weight - 1) if self.count else 0.0

    def interval(self, span: float, alpha: float) -> tuple[float, float]:
        """Bounds on the mean that hold at every look at once with probability ``1 - alpha``."""
        if not self.count:
            return -span, span
        centre = self.step_total / self.step_sum
        radius = (math.log(2 / alpha) + self.spread) / self.step_sum
        return span * (2 * max(centre - radius, 0.0) - 1), span * (2 * min(centre + radius, 1.0) - 1)
