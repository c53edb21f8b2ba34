"""A test of whether a part of a population was drawn by chance, by what is known of every unit, drawn or not.

Units are in bins. Were the drawn ones drawn by chance, they and the others come from one distribution. The evidence
against it is the Bayes factor of two distributions against one, each unknown (Gunel & Dickey, Biometrika 61, 1974):
from counts alone, in whatever order they came. Where drawn units count one over their probability, they tell as much
as fewer equal ones would (Kish 1965), and stand for so many.

Where strata may be drawn from unequally, a drawn unit is held against those of its own stratum: chance would put it
into a bin with the stratum's share of it. Summed over the drawn ones, that is what they would look like (as the
log-rank test sums over times; Mantel 1966). That varies by no more than as many draws from all of them would
(Cauchy-Schwarz), so that the same factor errs to the safe side.
"""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

from gates.quick import quick
from gates.stats.numerics import log_mean_exp

_TIMES = (1.1, 1.2, 1.35, 1.5, 2.0)  # chance's share: the larger ones that evidence bets on


@quick
@dataclass(frozen=True, slots=True)
class Bins:
    """Counts of all units, and of the drawn ones: their weights, and their squared weights in all."""

    every: tuple[int, ...] = ()
    drawn: tuple[float, ...] = ()
    squares: float = 0.0

    def add(self, every: Sequence[int], drawn: Sequence[float], squares: float) -> "Bins":
        """With these; either may be empty, and other bins begin anew."""
        size = len(every) or len(drawn)
        before = self if len(self.every) == size else Bins((0,) * size, (0.0,) * size)
        return Bins(
            tuple(map(int.__add__, before.every, every)) if every else before.every,
            tuple(map(float.__add__, before.drawn, drawn)) if drawn else before.drawn,
            before.squares + squares,
        )

    def __add__(self, other: "Bins") -> "Bins":
        return self.add(other.every, other.drawn, other.squares) if other.every else self

    @property
    def effective(self) -> float:
        """Return how many drawn units of equal weight would tell as much."""
        return sum(self.drawn) ** 2 / self.squares if self.squares else 0.0

    @property
    def equal(self) -> tuple[float, ...]:
        """The drawn units by bins, as so many of equal weight."""
        weight = sum(self.drawn)
        return tuple(count * self.effective / weight for count in self.drawn) if weight else self.drawn

    @property
    def distance(self) -> float:
        """Total variation between all units and the drawn ones by weight; 0 where either is none."""
        return self.distance_from(self.every)

    @property
    def log_e(self) -> float:
        """The log evidence that the drawn ones are of another distribution than the others."""
        return self.log_e_against(self.every)

    def distance_from(self, expected: Sequence[float]) -> float:
        """As `distance`, from what chance would have drawn: in any unit."""
        total, weight = sum(expected), sum(self.drawn)
        if not total or not weight:
            return 0.0
        return sum(abs(a / total - b / weight) for a, b in zip(expected, self.drawn, strict=True)) / 2

    def log_e_against(self, expected: Sequence[float]) -> float:
        """As `log_e`, where all units are as many as they are and look as chance would have drawn them."""
        total = sum(expected)
        if not total or not sum(self.every) or not self.squares:
            return 0.0
        scale, drawn = sum(self.every) / total, self.equal
        others = [max(scale * a - b, 0.0) for a, b in zip(expected, drawn, strict=True)]
        both = [a + b for a, b in zip(drawn, others, strict=True)]
        return _log_marginal(drawn) + _log_marginal(others) - _log_marginal(both)

    def log_e_more_than(self, expected: Sequence[float]) -> float:
        """The log evidence that more drawn ones are in the second of two bins than chance would have put there: the
        mean of the likelihood ratios of some shares that are larger. All units tell chance's share: it varies little
        beside the part that was drawn."""
        total, drawn = sum(expected), self.equal
        if not total or not sum(drawn) or not 0 < expected[1] < total:
            return 0.0
        share = expected[1] / total
        larger = [times for times in _TIMES if times * share < 1]
        rest = math.log1p(-share)
        logs = [drawn[1] * math.log(times) + drawn[0] * (math.log1p(-times * share) - rest) for times in larger]
        return log_mean_exp(logs) if logs else 0.0


@dataclass(frozen=True, slots=True)
class Strata:
    """Counts of all units by stratum and bin: each stratum's bins, one after the other."""

    counts: tuple[int, ...] = ()

    def __add__(self, counts: Sequence[int]) -> "Strata":
        """With these; those of other strata begin anew."""
        if len(self.counts) != len(counts):
            return Strata(tuple(counts)) if counts else self
        return Strata(tuple(map(operator.add, self.counts, counts)))

    def by_chance(self, weights: Sequence[float], bins: int) -> tuple[float, ...]:
        """The bins into which chance would have put drawn units, of so much weight in each stratum; empty where nothing
        is known. Of a stratum that is not known they would lie as all units do."""
        found = [0.0] * bins
        for stratum, weight in enumerate(weights):
            if not weight:
                continue
            counts = self.counts[stratum * bins : (stratum + 1) * bins]
            if not (total := sum(counts)):
                counts = tuple(sum(self.counts[place::bins]) for place in range(bins))
                total = sum(counts)
            if total:
                found = [so_far + weight * (count / total) for so_far, count in zip(found, counts, strict=True)]
        return tuple(found) if any(found) else ()


def _log_marginal(counts: Sequence[float]) -> float:
    """The log probability of units in this order, where each distribution is as likely as any other."""
    alone = math.lgamma(len(counts)) - math.lgamma(len(counts) + sum(counts))
    return alone + math.fsum(math.lgamma(count + 1) for count in counts)
