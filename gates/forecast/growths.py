"""The growth of the evidence of each kind of test: one growth for each of its bets, from events per second."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gates.stats.betting import Trinomial, log_capitals
from gates.stats.difference import DifferenceTest
from gates.stats.growth import NONE, Growth, walk
from gates.stats.share import ShareTest
from gates.stats.watch import BET_SPREAD

CERTIFIED = 1.3
"""Times the design effect, about, that a certificate is divided by: of several estimates of it the largest, which is
above the true one by chance while events are few (`gates.stats.spread`)."""

_NEVER = 1e-300  # a probability in whose place a logarithm needs a number
_NEVER_LOG = 100.0  # of a time: longer than any


def of_ratio(
    candidate_s: float, stable_s: float, share: float, null: float, alternatives: Sequence[float], effect: float = 1.0
) -> list[Growth]:
    """Return the growths of F1, from events per second of each version and the candidate's share of the requests
    compared. ``effect``: how many events count as one."""
    if not 0 < share < 1:
        return [NONE for _ in alternatives]
    found = []
    for ratio in alternatives:
        other = -math.log((1 + (ratio - 1) * share) / (1 + (null - 1) * share))
        found.append(_clustered(walk(((candidate_s, math.log(ratio / null) + other), (stable_s, other))), effect))
    return found


def of_watch(candidate_s: float, stable_s: float, share: float, null: float, effect: float = 1.0) -> list[Growth]:
    """Return the growth of evidence of harm, which bets what it has learnt: the ratio as it is, give or take what the
    few latest events leave unknown. What learning it costs at first (`LEARNING`) is for the threshold."""
    if not (0 < share < 1 and stable_s):
        return [NONE]
    ratio = candidate_s * (1 - share) / (stable_s * share)
    spread = math.exp(BET_SPREAD)
    bets = of_ratio(
        candidate_s, stable_s, share, null, [max(one, null) for one in (ratio / spread, ratio * spread)], effect
    )
    return [
        Growth(*(sum(parts) / len(bets) for parts in zip(*((one.drift, one.variance) for one in bets), strict=True)))
    ]


def _clustered(growth: Growth, effect: float) -> Growth:
    """Return the growth of evidence that is divided by the effect, of events of which as many come together."""
    return Growth(growth.drift / effect, growth.variance / effect)


@dataclass(frozen=True, slots=True)
class Blur:
    """The noise of the service itself (`gates.stats.noise`): the ratio, less 1, that two parts of stable differ by, and
    the ``effect`` of events that come together. ``threshold``: of log evidence."""

    apart: float
    effect: float
    threshold: float

    def over(self, growths: Sequence[Growth], counts: tuple[float, float, float]) -> list[Growth]:
        """Return the growths, divided by ``effect`` already, as they are on average until the threshold is reached.

        ``counts``: events per second of each version, and the candidate's share. The effect grows with the information
        ``i t``, so the evidence at ``t`` is ``g / (f^2 i) ln(1 + f^2 i t / effect)`` and is the threshold ``T`` after
        ``expm1(z) / z`` times as long as without the floor ``f``, for ``z = f^2 i T / g``.
        """
        candidate_s, stable_s, share = counts
        information = (candidate_s + stable_s) * share * (1 - share)
        floor = math.log1p(self.apart)
        if not (floor and information):
            return list(growths)
        return [self._slowed(growth, floor * floor * information) for growth in growths]

    def _slowed(self, growth: Growth, blurred: float) -> Growth:
        if growth.drift <= 0:
            return growth
        ratio = min(blurred * self.threshold / (growth.drift * self.effect), _NEVER_LOG)
        return _clustered(growth, math.expm1(ratio) / ratio)


def of_share(trials_s: float, share: float, test: ShareTest, effect: float = 1.0) -> list[Growth]:
    """Return the growths of the evidence about one share, from trials per second and what the share truly is."""
    return [_clustered(_of_guess(trials_s, share, guess, test.null), effect) for guess in test.alternatives]


def _of_guess(trials_s: float, share: float, guess: float, null: float) -> Growth:
    return walk(
        (
            (trials_s * (1 - share), math.log(max(1 - guess, _NEVER)) - math.log1p(-null)),
            (trials_s * share, math.log(max(guess, _NEVER) / null)),
        )
    )


def of_outcomes(
    trials_s: float, chances: Sequence[float], jumps: Sequence[Sequence[float]], effect: float = 1.0
) -> list[Growth]:
    """Return the growth of each bet, from trials per second, the chance of each outcome, and what each adds to every
    bet. ``effect``: how many trials count as one."""
    return [
        walk((trials_s / effect * chance, jump) for chance, jump in zip(chances, of_bet, strict=True))
        for of_bet in zip(*jumps, strict=True)
    ]


def of_losses(pairs_s: float, apart: float, loss: float, bets: Sequence[float], effect: float) -> list[Growth]:
    """Return the growths of the evidence that more was lost than won, from pairs per second, the share of them in which
    the versions disagree, and the mean loss. ``effect``: how many pairs count as one."""
    lost, won = (log_capitals(one, 0.0, bets) for one in (Trinomial(1, 0, 0), Trinomial(0, 1, 0)))
    return of_outcomes(pairs_s, ((apart + loss) / 2, (apart - loss) / 2), (lost, won), effect)


def of_difference(
    candidate_s: float, stable_s: float, shares: tuple[float, float], test: DifferenceTest, effect: float
) -> list[Growth]:
    """Return the growths of the certificate of a difference, from trials per second and the share of each, candidate's
    first. ``effect``: how many trials count as one."""
    if not candidate_s or not stable_s:
        return [NONE for _ in test.guesses]
    found = []
    for guess in test.guesses:
        bets = test.bet(shares[1], guess, candidate_s, stable_s)
        arms = zip((candidate_s, stable_s), shares, bets, strict=True)
        growth = walk((rate * part, size) for rate, share, bet in arms for part, size in _sizes(share, bet))
        found.append(_clustered(growth, effect))
    return found


def _sizes(share: float, bet: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    """The chance and the jump of an event, and of none."""
    return (share, bet[0]), (1 - share, bet[1])
