"""A test of whether a part of a population was drawn by chance, from what is known of every unit, drawn or not.

Units are counted in bins. If the drawn units were drawn by chance, they and the others come from one distribution. The
evidence against that is the Bayes factor of two distributions against one, each unknown (Gunel & Dickey, Biometrika 61,
1974). It needs counts alone, in whatever order the units came. Where drawn units count one over their probability, they
tell as much as a smaller number of equal units would (Kish 1965), and count as that number.

Where strata may be drawn from unequally, a drawn unit is compared with its own stratum: chance would put it into a bin
with the bin's share of the stratum. The sum over the drawn units is what chance would have drawn (as the log-rank test
sums over times; Mantel 1966). It varies by no more than as many draws from all units would (Cauchy-Schwarz), so the
same factor errs on the safe side.
"""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

from gates.quick import quick
from gates.stats.numerics import log_mean_exp

_TIMES = (1.1, 1.2, 1.35, 1.5, 2.0)  # multiples of chance's share that `log_e_more_than` bets on


@quick
@dataclass(frozen=True, slots=True)
class Bins:
    """All units by bin (counts), the drawn units by bin (sums of weights), and the sum of all squared weights."""

    every: tuple[int, ...] = ()
    drawn: tuple[float, ...] = ()
    squares: float = 0.0

    def add(self, every: Sequence[int], drawn: Sequence[float], squares: float) -> "Bins":
        """Return the bins with these added, of which either may be empty; another number of bins begins anew."""
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
        """Return how many drawn units of equal weight would tell as much as these."""
        return sum(self.drawn) ** 2 / self.squares if self.squares else 0.0

    @property
    def equal(self) -> tuple[float, ...]:
        """Return the drawn units by bin, scaled to `effective` units of equal weight."""
        weight = sum(self.drawn)
        return tuple(count * self.effective / weight for count in self.drawn) if weight else self.drawn

    @property
    def distance(self) -> float:
        """Return the total variation between all units and the weighted drawn ones; 0 where either is empty."""
        return self.distance_from(self.every)

    @property
    def log_e(self) -> float:
        """Return the log evidence that the drawn units have another distribution than the others."""
        return self.log_e_against(self.every)

    def distance_from(self, expected: Sequence[float]) -> float:
        """Return the total variation between ``expected``, what chance would have drawn (on any scale), and the drawn
        units; 0 where either is empty."""
        total, weight = sum(expected), sum(self.drawn)
        if not total or not weight:
            return 0.0
        return sum(abs(a / total - b / weight) for a, b in zip(expected, self.drawn, strict=True)) / 2

    def log_e_against(self, expected: Sequence[float]) -> float:
        """Return the log evidence of `log_e`, where all units are taken to have the distribution ``expected`` (on any
        scale), what chance would have drawn."""
        total = sum(expected)
        if not total or not sum(self.every) or not self.squares:
            return 0.0
        scale, drawn = sum(self.every) / total, self.equal
        others = [max(scale * a - b, 0.0) for a, b in zip(expected, drawn, strict=True)]
        both = [a + b for a, b in zip(drawn, others, strict=True)]
        return _log_marginal(drawn) + _log_marginal(others) - _log_marginal(both)

    def log_e_more_than(self, expected: Sequence[float]) -> float:
        """Return the log evidence that the second of two bins has more drawn units than chance, ``expected`` (on any
        scale), would have put there: the mean of the likelihood ratios of some larger shares.

        Chance's share is taken as known: it rests on all units, so it varies little beside the share of the drawn ones.
        """
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
    """Counts of all units by stratum and bin: the bins of the first stratum, then those of the second, and so on."""

    counts: tuple[int, ...] = ()

    def __add__(self, counts: Sequence[int]) -> "Strata":
        """Return the counts with these added; another number of them begins anew."""
        if len(self.counts) != len(counts):
            return Strata(tuple(counts)) if counts else self
        return Strata(tuple(map(operator.add, self.counts, counts)))

    def by_chance(self, weights: Sequence[float], bins: int) -> tuple[float, ...]:
        """Return the weight that chance would have put into each of ``bins``, for drawn units with these ``weights`` by
        stratum; empty where nothing is known. Where a stratum has no units, all units stand for it."""
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
    """Return the log probability of units in one order, where every distribution over the bins is equally likely."""
    alone = math.lgamma(len(counts)) - math.lgamma(len(counts) + sum(counts))
    return alone + math.fsum(math.lgamma(count + 1) for count in counts)
