"""The growth of evidence, and the chance that it has crossed a threshold by some time.

The log of an e-process under a fixed alternative is a random walk. Its drift and variance per second follow from the
rates of the observations. The chance to have crossed a threshold is that of Brownian motion with this drift and
variance (the inverse Gaussian law), which errs by the overshoot of one look.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scipy.special import log_ndtr, ndtr

from gates.stats.numerics import log_mean_exp


@dataclass(frozen=True, slots=True)
class Growth:
    """Drift and variance of a log e-process, per second."""

    drift: float
    variance: float


NONE = Growth(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time during which evidence grows evenly."""

    seconds: float
    growth: Growth


def walk(steps: Iterable[tuple[float, float]]) -> Growth:
    """Return the growth of a walk that jumps. ``steps``: (rate per second, size) of each kind of jump."""
    jumps = list(steps)
    return Growth(sum(rate * size for rate, size in jumps), sum(rate * size * size for rate, size in jumps))


def deciding(bets: Sequence[Sequence[Stretch]], threshold: float) -> tuple[Sequence[Stretch], float]:
    """Return the bet of a mixture that gains most, and the log evidence it must reach for the mixture to reach
    ``threshold``.

    That is more by the log of the number of bets at most, and by less where others gain nearly as much. ``bets``: the
    stretches of each bet.
    """
    gains = [sum(stretch.growth.drift * stretch.seconds for stretch in bet) for bet in bets]
    best = max(gains)
    chosen, dearest = bets[gains.index(best)], threshold + math.log(len(bets))
    if best <= 0:
        return chosen, dearest
    low, high = threshold / best, dearest / best
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if log_mean_exp([middle * gain for gain in gains]) >= threshold else (middle, high)
    return chosen, high * best


def chance_to_cross(stretches: Iterable[Stretch], threshold: float, *, within_s: float = math.inf) -> float:
    """Return the chance that log evidence has reached ``threshold`` by the end of the stretches, or ``within_s``
    seconds of their start if that is sooner.

    A plan asks this a million times: no object is made here.
    """
    drift = variance = 0.0
    for stretch in stretches:
        seconds = max(min(stretch.seconds, within_s), 0.0)
        drift += stretch.growth.drift * seconds
        variance += stretch.growth.variance * seconds
        within_s -= stretch.seconds
    if variance <= 0:
        return float(drift >= threshold)
    spread = math.sqrt(variance)
    direct = float(ndtr((drift - threshold) / spread))
    mirrored = 2 * drift * threshold / variance + float(log_ndtr(-(drift + threshold) / spread))
    return min(1.0, direct + math.exp(min(mirrored, 0.0)))
