"""Means of a population from a sample in which some units were more likely to be drawn than others.

The naive mean of such a sample is biased: of an uncertainty-sampled set its 95 % interval covers about 72 %. Where only
the sample is known, each value counts one over its inclusion probability (`hajek`). Where the stratum of every unit is
known, drawn or not, the stratum's mean predicts the unit, and the sample only has to correct the prediction (`aipw`).
So `aipw` can also use labels that were asked for in one stratum: those for disagreements.

Both estimates are ratios: a factor that all inclusion probabilities (of a stratum) share need not be known. Both are of
values in [0, 1]. Their intervals are normal on the scale of the log odds, which near 0 and 1 covers better than a plain
normal interval (by 0.5 to 1 point at 95 %) and does not leave [0, 1].
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist  # reports import this module, and scipy alone would take a second

from gates.quick import quick

STRATUM_LEAST = 20  # drawn units of a stratum, before its mean predicts the rest


def shared_by_all(probabilities: Sequence[float]) -> float | None:
    """Return the probability that all units share, as they nearly always do; None where they differ, and for none."""
    if not probabilities or probabilities.count(first := probabilities[0]) != len(probabilities):
        return None
    return first


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with a two-sided interval, for a sample of fixed size."""

    mean: float
    low: float
    high: float


@quick
@dataclass(frozen=True, slots=True)
class Drawn:
    """Sums over drawn values, each with its weight: one over the probability, in (0, 1], that it was drawn."""

    count: int = 0
    weight: float = 0.0
    total: float = 0.0  # of weight times value
    squares: float = 0.0  # of weights
    cross: float = 0.0  # of squared weight times value
    spread: float = 0.0  # of squared weight times squared value

    def add(self, value: float, probability: float) -> "Drawn":
        weight = 1 / probability
        square = weight * weight
        return Drawn(
            self.count + 1,
            self.weight + weight,
            self.total + weight * value,
            self.squares + square,
            self.cross + square * value,
            self.spread + square * value * value,
        )

    def add_all(self, values: Sequence[float], probabilities: Sequence[float]) -> "Drawn":
        """Return the sums with many values added, each sum over them rounded once: the same on any machine."""
        if (shared := shared_by_all(probabilities)) is not None:
            weight, count = 1 / shared, len(values)
            square, total = weight * weight, math.fsum(values)
            squared = math.fsum([value * value for value in values])
            return self + Drawn(count, weight * count, weight * total, square * count, square * total, square * squared)
        weights = [1 / probability for probability in probabilities]
        totals = [weight * value for weight, value in zip(weights, values, strict=True)]
        return self + Drawn(
            len(weights),
            math.fsum(weights),
            math.fsum(totals),
            math.fsum(weight * weight for weight in weights),
            math.fsum(weight * total for weight, total in zip(weights, totals, strict=True)),
            math.fsum(total * total for total in totals),
        )

    def add_shares(self, events: int, total: int, probability: float) -> "Drawn":
        """Return the sums with ``total`` values added that were equally likely: ``events`` of them 1, the others 0."""
        weight = 1 / probability
        square = weight * weight
        return Drawn(
            self.count + total,
            self.weight + weight * total,
            self.total + weight * events,
            self.squares + square * total,
            self.cross + square * events,
            self.spread + square * events,
        )

    def __add__(self, other: "Drawn") -> "Drawn":
        if not (self.count and other.count):  # often there are no labels of one of two kinds
            return self if self.count else other
        return Drawn(
            self.count + other.count,
            self.weight + other.weight,
            self.total + other.total,
            self.squares + other.squares,
            self.cross + other.cross,
            self.spread + other.spread,
        )

    def __neg__(self) -> "Drawn":
        """Return the sums of the same values with the other sign."""
        return Drawn(self.count, self.weight, -self.total, self.squares, -self.cross, self.spread)

    @property
    def mean(self) -> float:
        """Return the weighted mean of at least one value."""
        return self.total / self.weight

    @property
    def variance(self) -> float:
        """Return the variance of the mean as a ratio estimate: the sum of the squared deviations times their squared
        weights, over the squared weight of all, times ``n / (n - 1)`` for ``n`` values."""
        deviations = self.spread - 2 * self.mean * self.cross + self.mean**2 * self.squares
        return max(deviations, 0.0) / self.weight**2 * self.count / max(self.count - 1, 1)

    @property
    def effective(self) -> float:
        """Return how many values of equal weight would tell as much as these (Kish 1965)."""
        return self.weight**2 / self.squares


def drawn(values: Iterable[float], probabilities: Iterable[float]) -> Drawn:
    """Return the sums of a whole sample: one value and one probability per drawn unit."""
    found = Drawn()
    for value, probability in zip(values, probabilities, strict=True):
        found = found.add(value, probability)
    return found


def hajek(sample: Drawn, alpha: float) -> Estimate:
    """Return the ratio estimate (Hájek 1971) from at least two values, with its interval at ``1 - alpha``."""
    return _estimate(sample.mean, sample.variance, sample.effective, alpha)


@dataclass(frozen=True, slots=True)
class Stratum:
    """A part of the population: the number of its units, and the sums over those whose value is known."""

    size: int = 0
    sample: Drawn = field(default_factory=Drawn)


def aipw(strata: Sequence[Stratum], alpha: float) -> Estimate | None:
    """Return the estimate of augmented inverse probability weighting (Robins, Rotnitzky & Zhao 1994), each unit
    predicted by its stratum; ``None`` where a stratum that has units has too few drawn ones (``STRATUM_LEAST``).

    The estimate is the mean of all predictions plus the weighted mean of the drawn units' deviations from theirs. These
    deviations have mean zero within every stratum, as the prediction is the stratum's own weighted mean, so the
    estimate is ``sum size mean / sum size``. Its variance is that of the strata's means plus that of the mean of the
    predictions.
    """
    known = [stratum for stratum in strata if stratum.size]
    if not known or any(stratum.sample.count < STRATUM_LEAST for stratum in known):
        return None
    size = sum(stratum.size for stratum in known)
    parts = [(stratum.size / size, stratum.sample) for stratum in known]
    mean = math.fsum(share * sample.mean for share, sample in parts)
    variance = math.fsum(
        share**2 * sample.variance + share * (sample.mean - mean) ** 2 / size for share, sample in parts
    )
    effective = 1 / math.fsum(share**2 / sample.effective for share, sample in parts)
    return _estimate(mean, variance, effective, alpha)


def _estimate(mean: float, variance: float, effective: float, alpha: float) -> Estimate:
    """Return the estimate. Where all values are 0, or all 1, the bound is exact for ``effective`` equal draws."""
    if not 0 < mean < 1 or not variance:
        least = (alpha / 2) ** (1 / effective)
        return Estimate(mean, least if mean >= 1 else 0.0, 1.0 if mean >= 1 else 1 - least)
    log_odds = math.log(mean / (1 - mean))
    radius = -NormalDist().inv_cdf(alpha / 2) * math.sqrt(variance) / (mean * (1 - mean))
    return Estimate(mean, _share(log_odds - radius), _share(log_odds + radius))


def _share(log_odds: float) -> float:
    """Return the share with these log odds, computed from the smaller power, which cannot overflow."""
    power = math.exp(-abs(log_odds))
    return 1 / (1 + power) if log_odds >= 0 else power / (1 + power)
