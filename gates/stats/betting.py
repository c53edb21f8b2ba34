"""F2: betting e-processes on means of bounded numbers (Waudby-Smith & Ramdas, arXiv:2010.09686).

Let observations ``d`` lie in [-1, 1] and have a mean of at most ``m``. Someone who bets the share ``b`` of a capital of
1 on every observation multiplies the capital by ``1 + b (d - m)`` each time. That is a non-negative supermartingale: it
ever exceeds ``1/alpha`` with probability at most ``alpha`` (Ville). So is the mean of the capitals of several bets.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from gates.quick import quick
from gates.stats.numerics import boundary, log_mean_exp

_MIDDLE: Final = 6.0  # the weight of each middle bet; the first and the last have 1


@quick
@dataclass(frozen=True, slots=True)
class Trinomial:
    """The numbers of observations that were +1, -1 and 0: all that the capital depends on."""

    plus: int = 0
    minus: int = 0
    zero: int = 0

    def __add__(self, other: "Trinomial") -> "Trinomial":
        if not (other.plus or other.minus or other.zero):
            return self
        return Trinomial(self.plus + other.plus, self.minus + other.minus, self.zero + other.zero)

    def __sub__(self, other: "Trinomial") -> "Trinomial":
        return Trinomial(self.plus - other.plus, self.minus - other.minus, self.zero - other.zero)

    @property
    def total(self) -> int:
        return self.plus + self.minus + self.zero

    @property
    def mean(self) -> float:
        return (self.plus - self.minus) / self.total if self.total else 0.0

    @property
    def mirrored(self) -> "Trinomial":
        return Trinomial(self.minus, self.plus, self.zero)


def log_capitals(counts: Trinomial, mean_max: float, bets: Sequence[float]) -> list[float]:
    """Return the log capital of each bet against "the mean is at most ``mean_max``" (in (-1, 1)).

    Bets are shares, below 1, of the largest bet that cannot lose everything where ``mean_max`` is 0; for a larger
    ``mean_max`` they shrink, so that no factor turns negative.
    """
    if not mean_max:
        return [counts.plus * won + counts.minus * lost for won, lost in _logs(tuple(bets))]
    largest = 1 + max(mean_max, 0.0)
    won, lost, same = 1 - mean_max, 1 + mean_max, mean_max
    log1p, plus, minus, zero = math.log1p, counts.plus, counts.minus, counts.zero
    return [
        plus * log1p(size * won) + minus * log1p(-size * lost) + zero * log1p(-size * same)
        for size in [bet / largest for bet in bets]
    ]


@lru_cache(maxsize=64)
def _logs(bets: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """Return what +1 and -1 add to the log capital of each bet against "the mean is at most 0"; it never changes."""
    return tuple((math.log1p(bet), math.log1p(-bet)) for bet in bets)


def log_e_mean_at_most(counts: Trinomial, mean_max: float, bets: Sequence[float], effect: float = 1.0) -> float:
    """Return the log evidence against "the mean is at most ``mean_max``"; ``effect`` observations count as one."""
    return log_mean_exp(divided(log_capitals(counts, mean_max, bets), effect))


def log_e_of_middle(logs: Sequence[float]) -> float:
    """Return the log evidence of a mixture of bets, from their log capitals, smallest bet first.

    The first bet is for a loss that is slow to show, the last for one that soon shows: each weighs a sixth of
    what another bet does.
    """
    first, *middle, last = logs if len(logs) > 2 else (-math.inf, *logs, -math.inf)
    top = max(logs)
    capital = math.exp(first - top) + _MIDDLE * sum([math.exp(log - top) for log in middle]) + math.exp(last - top)
    return top + math.log(capital / (_MIDDLE * len(middle) + (2 if len(logs) > 2 else 0)))


def log_es_above_zero(every: Sequence[Trinomial], bets: Sequence[float], effect: float) -> list[float]:
    """Return the log evidence of each of ``every`` against "the mean is at most 0", where ``effect`` observations count
    as one."""
    logs = _logs(tuple(bets))
    return [
        log_mean_exp([(counts.plus * won + counts.minus * lost) / effect for won, lost in logs]) for counts in every
    ]


def divided(logs: Sequence[float], effect: float) -> list[float]:
    """Return the log capitals divided by the design ``effect``: so many observations count as one."""
    return [log / effect for log in logs] if effect != 1 else list(logs)


def log_e_mean_at_least(counts: Trinomial, mean_min: float, bets: Sequence[float]) -> float:
    """Return the log evidence against "the mean is at least ``mean_min``": the mirror image."""
    return log_e_mean_at_most(counts.mirrored, -mean_min, bets)


def mean_bounds(counts: Trinomial, bets: Sequence[float], alpha: float) -> tuple[float, float]:
    """Return bounds on the mean that hold at every look at once with probability ``1 - alpha``."""
    threshold = math.log(2 / alpha)
    edge = 1 - 1e-9
    inside, step = counts.mean * edge, 5 * math.sqrt(counts.plus + counts.minus + 1) / max(counts.total, 1)
    mirrored = counts.mirrored
    high = boundary(lambda m: log_e_mean_at_most(mirrored, -m, bets) - threshold, inside, edge, step)
    low = boundary(lambda m: log_e_mean_at_most(counts, m, bets) - threshold, inside, -edge, step)
    return low, high
