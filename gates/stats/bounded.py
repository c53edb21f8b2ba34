"""Betting on the mean of bounded real numbers, observation by observation (Waudby-Smith & Ramdas, arXiv:2010.09686).

The general form of F2, for confidence gaps and Brier scores: one float per bet instead of three integers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gates.quick import quick

Values = NDArray[np.float64]


@quick
@dataclass(frozen=True, slots=True)
class BetState:
    """The log capital of each bet, and the highest log of their mixture so far."""

    log_capital: tuple[float, ...]
    peak: float = 0.0


@dataclass(frozen=True, slots=True)
class MeanTest:
    """Evidence against "the mean is at most ``null``" of values in [-span, span].

    ``bets`` are shares of the largest bet that cannot lose everything. The ``weights`` of `add` (in (0, 1]) scale the
    bets: with weights in inverse proportion to the probability that a value was sampled, the test is of the population.
    """

    null: float
    span: float
    bets: tuple[float, ...]

    def start(self) -> BetState:
        return BetState(log_capital=(0.0,) * len(self.bets))

    def add(self, state: BetState, values: Values, weights: Values) -> BetState:
        return add_all([(self, state)], values[np.newaxis], weights)[0]


_RUN = 32  # factors, each from 1 - bet to about 2, that are multiplied before a logarithm is taken


def add_all(questions: Sequence[tuple[MeanTest, BetState]], values: Values, weights: Values) -> list[BetState]:
    """Return the states of several tests, all with the same bets, after one look's values.

    ``values``: tests × observations; ``weights``: one per observation.
    """
    if not len(weights):
        return [state for _, state in questions]
    tests = [test for test, _ in questions]
    nulls = np.array([[test.null] for test in tests])
    sizes = np.array(tests[0].bets) / np.array([[test.span + test.null] for test in tests])
    runs = -(-len(weights) // _RUN)
    surplus = np.zeros((len(tests), runs * _RUN))
    surplus[:, : len(weights)] = (values - nulls) * weights
    factors = surplus.reshape(len(tests), 1, runs, _RUN) * sizes[:, :, np.newaxis, np.newaxis] + 1
    capital = np.array([state.log_capital for _, state in questions]) + np.log(factors.prod(axis=3)).sum(axis=2)
    highest = capital.max(axis=1, keepdims=True)
    mixtures = highest[:, 0] + np.log(np.exp(capital - highest).mean(axis=1))
    rows = zip(questions, capital.tolist(), mixtures.tolist(), strict=True)
    return [BetState(tuple(logs), max(state.peak, mixture)) for (_, state), logs, mixture in rows]


@quick
@dataclass(frozen=True, slots=True)
class MeanBounds:
    """A confidence sequence for the mean of values in [-span, span]: predictable plug-in empirical Bernstein.

    (Same source, theorem 2, for values moved to [0, 1].) The step size of a look depends on the values of earlier looks
    and on the weights of this one, never on its values. ``total`` and ``squares`` are weighted sums of the moved values
    and of their squares; ``weight`` is the sum of the weights. With weights the mean is a ratio estimate (see
    ``weighted.hajek``), and the interval, computed as if every value counted its weight, is a guide and no promise.
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
        unit = values * (0.5 / span) + 0.5
        weighted = weights * unit
        added, total, squares = float(weights.sum()), float(weighted.sum()), float(weighted @ unit)
        before = max(self.weight, 1e-12)
        mean = (0.5 + self.total) / (self.weight + 1)
        variance = (0.25 + max(self.squares - self.total**2 / before, 0.0)) / (self.weight + 1)
        around = max(squares - 2 * mean * total + mean**2 * added, 0.0)  # weighted squared distances from ``mean``
        seen = self.weight + added
        step = min(math.sqrt(2 * math.log(2 / alpha) / (variance * seen * math.log(1 + seen))), 0.5)
        return MeanBounds(
            count=self.count + len(values),
            weight=seen,
            total=self.total + total,
            squares=self.squares + squares,
            step_sum=self.step_sum + step * added,
            step_total=self.step_total + step * total,
            spread=self.spread - (math.log1p(-step) + step) * around,
        )

    def mean(self, span: float) -> float:
        """Return the weighted mean of the values; 0 without any."""
        return span * (2 * self.total / self.weight - 1) if self.count else 0.0

    def interval(self, span: float, alpha: float) -> tuple[float, float]:
        """Return bounds on the mean that hold at every look at once with probability ``1 - alpha``."""
        if not self.count:
            return -span, span
        centre = self.step_total / self.step_sum
        radius = (math.log(2 / alpha) + self.spread) / self.step_sum
        return span * (2 * max(centre - radius, 0.0) - 1), span * (2 * min(centre + radius, 1.0) - 1)
