"""The growth of the evidence of each kind of test: one growth for each of its bets, from rates per second."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gates.stats.betting import Trinomial, log_capitals
from gates.stats.difference import DifferenceTest
from gates.stats.growth import NONE, Growth, walk
from gates.stats.share import ShareTest
from gates.stats.watch import BET_SPREAD

CERTIFIED = 1.3
"""About how many times the true design effect a certificate is divided by: by the largest of several estimates, which
chance raises while events are few (`gates.stats.spread`)."""

_NEVER = 1e-300  # stands for a probability of 0 in a logarithm
_NEVER_LOG = 100.0  # of a factor that makes any time too long


def of_ratio(
    candidate_s: float, stable_s: float, share: float, null: float, alternatives: Sequence[float], effect: float = 1.0
) -> list[Growth]:
    """Return the growths of F1 (`gates.stats.ratio`), one per alternative, from events per second of each version and
    the candidate's share of the compared requests. ``effect``: how many events count as one."""
    if not 0 < share < 1:
        return [NONE for _ in alternatives]
    found = []
    for ratio in alternatives:
        other = -math.log((1 + (ratio - 1) * share) / (1 + (null - 1) * share))
        found.append(_clustered(walk(((candidate_s, math.log(ratio / null) + other), (stable_s, other))), effect))
    return found


def of_watch(candidate_s: float, stable_s: float, share: float, null: float, effect: float = 1.0) -> list[Growth]:
    """Return the growth of the evidence of `gates.stats.watch`, which bets on the true ratio as far as the few latest
    events tell it. What learning the ratio costs at first (`LEARNING`) is for the caller to add to the threshold."""
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
    """Return the growth of evidence divided by the design ``effect``, from events of which so many come together."""
    return Growth(growth.drift / effect, growth.variance / effect)


@dataclass(frozen=True, slots=True)
class Blur:
    """The noise of the service itself (`gates.stats.noise`). ``apart``: the ratio, less 1, by which two parts of stable
    differ; ``effect``: how many events count as one; ``threshold``: the log evidence to be reached."""

    apart: float
    effect: float
    threshold: float

    def over(self, growths: Sequence[Growth], counts: tuple[float, float, float]) -> list[Growth]:
        """Return the growths, which are divided by ``effect`` already, as they are on average until the threshold.

        ``counts``: events per second of each version, and the candidate's share. Let ``g`` be the drift of undivided
        evidence, ``i`` the information per second, and ``f = log(1 + apart)`` the floor. The effect grows with the
        information ``i t``, so the evidence at time ``t`` is ``g / (f^2 i) ln(1 + f^2 i t / effect)``. It reaches the
        threshold ``T`` after ``expm1(z) / z`` times as long as without the floor, for ``z = f^2 i T / g``.
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
    """Return the growths of the evidence about one share, from trials per second and the true share."""
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
    """Return the growth of each bet, from trials per second and the chance of each outcome. ``jumps``: outcomes × bets,
    what an outcome adds to a bet's log evidence; ``effect``: how many trials count as one."""
    return [
        walk((trials_s / effect * chance, jump) for chance, jump in zip(chances, of_bet, strict=True))
        for of_bet in zip(*jumps, strict=True)
    ]


def of_losses(pairs_s: float, apart: float, loss: float, bets: Sequence[float], effect: float) -> list[Growth]:
    """Return the growths of the evidence that more pairs are lost than won, from pairs per second, the share of pairs
    in which the versions disagree (``apart``: all of them lost or won), and the mean loss. ``effect``: how many pairs
    count as one."""
    lost, won = (log_capitals(one, 0.0, bets) for one in (Trinomial(1, 0, 0), Trinomial(0, 1, 0)))
    return of_outcomes(pairs_s, ((apart + loss) / 2, (apart - loss) / 2), (lost, won), effect)


def of_difference(
    candidate_s: float, stable_s: float, shares: tuple[float, float], test: DifferenceTest, effect: float
) -> list[Growth]:
    """Return the growths of the certificate of a difference, from trials per second and the true shares of both
    versions (the candidate's first). ``effect``: how many trials count as one."""
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
    """Return the (chance, jump) of an event, and of a trial without one."""
    return (share, bet[0]), (1 - share, bet[1])
