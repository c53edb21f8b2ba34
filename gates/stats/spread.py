"""The design effect of a comparison: how much more counts spread than independent events would.

Requests that fail or are slow together say less than as many that do so one by one. Of ``n`` events that come in
clusters of ``K`` as much is learnt as of ``n / K``; with clusters of different sizes ``K`` is the mean of the squared
size over the mean size (Rao & Scott, Biometrics 48, 1992). It is measured by the differences between neighbouring
looks, of which a ratio of the two rates that is constant takes no part while the rates are so, too (an incident of the
service under a ratio other than 1 counts as events that come together, which costs power):

    u = x (1 - rho) - y rho,  with the variance  v = x (1 - rho)^2 + y rho^2  if events are independent,
    effect = sum (u a' - u' a)^2 / sum (v a'^2 + v' a^2)

for ``x`` events of the candidate, ``y`` of stable, and the candidate's share ``rho`` of the requests. ``a`` is what the
look is long by, ``n rho (1 - rho)`` of ``n`` requests, over the quadratic mean of both looks': looks of probation cover
minutes or seconds, and of a ratio that is constant ``u`` grows with them. Events that come together for longer than a
look show in blocks of several looks. A ratio that changes for good shows in one difference, events that come together
in two, up and down: so the largest square counts as the second largest. Only earlier looks are read for a look's
effect: evidence divided by it is valid for independent events whatever the estimate is (Jensen), so errors of it cost
power alone. What is known before the first look, of earlier releases or of the time before users got the candidate, is
what the estimate begins with.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Final

from gates.quick import quick
from gates.stats.ratio import Arms

_LOOKS: Final = (1, 4)  # of a block
_PRIOR_EVENTS_BELOW: Final = 20.0  # so many, while fewer come together than is known: what came may come again
_UNSEEN: Final = 0.5  # of the effect above 1, before any event was seen: nobody knows yet how they come
_UNSEEN_EVENTS: Final = 2.0  # after so many, half of it is left
_DOUBT_EVENTS, _DOUBT = 3.0, 4.0  # for what certifies: so many events seen before, so many of them at a time


@dataclass(frozen=True, slots=True)
class Caution:
    """The caution with which an estimate is believed.

    ``prior_events``: as if they had been seen before, coming as is known, and independently, if nothing is. ``errors``:
    standard errors of the estimate that are taken off.
    """

    prior_events: float
    errors: float


MANY: Final = Caution(4.0, 1.0)
FEW: Final = Caution(1.0, 0.4)
"""Of errors: they are few, and what is taken for independent too long rolls back a version for two clusters."""


@quick
@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks of some looks in a row: the one that is being filled, the last full one, and sums over neighbours."""

    looks: int = 0
    excess: float = 0.0
    variance: float = 0.0
    length: float = 0.0
    last_excess: float = 0.0
    last_variance: float = 0.0
    last_length: float = 0.0
    full: int = 0
    squares: float = 0.0
    variances: float = 0.0
    largest: float = 0.0  # of the squares
    second: float = 0.0

    def add(self, excess: float, variance: float, length: float, looks: int) -> "Blocks":
        """With a look. ``looks``: of a block."""
        excess, variance, length = self.excess + excess, self.variance + variance, self.length + length
        if self.looks + 1 < looks:
            return Blocks(
                self.looks + 1, excess, variance, length, self.last_excess, self.last_variance, self.last_length,
                self.full, self.squares, self.variances, self.largest, self.second,
            )  # fmt: skip
        square = both = 0.0
        if self.full:
            mean = math.sqrt((length * length + self.last_length * self.last_length) / 2)
            own, other = length / mean, self.last_length / mean
            square = (excess * other - self.last_excess * own) ** 2
            both = variance * other * other + self.last_variance * own * own
        return Blocks(
            last_excess=excess,
            last_variance=variance,
            last_length=length,
            full=self.full + 1,
            squares=self.squares + square,
            variances=self.variances + both,
            largest=max(self.largest, square),
            second=sorted((self.second, self.largest, square))[1],
        )

    def measured(self, known: float, prior_events: float = MANY.prior_events) -> float:
        """The estimate as it is, drawn to what is ``known`` beforehand; that, where next to nothing was seen."""
        if self.full < 2 or not self.variances:
            return known
        squares, variances = (self.squares - self.largest + self.second) / 2, self.variances / 2
        prior = prior_events if squares >= known * variances or known == 1 else _PRIOR_EVENTS_BELOW
        return (squares + prior * known) / (variances + prior)

    def effect(self, known: float, caution: Caution = MANY) -> float:
        """The estimate, less a part of its standard error where it is above what is known, so that chance alone hardly
        slows a service of independent events."""
        return self.cautious(self.measured(known, caution.prior_events), known, caution)

    def cautious(self, measured: float, known: float, caution: Caution) -> float:
        """The same of what was ``measured``."""
        if measured <= known:
            return measured
        error = math.sqrt(3 / (self.full - 1) + 2 / self.variances)
        return max(measured / (1 + caution.errors * error), known)

    def doubtful(self, known: float) -> float:
        """The estimate, had some events been seen before that came together."""
        doubt = max(_DOUBT, known)
        return (self.squares / 2 + _DOUBT_EVENTS * doubt) / (self.variances / 2 + _DOUBT_EVENTS)


@quick
@dataclass(frozen=True, slots=True)
class Spread:
    """The differences between looks so far, and between blocks of several. ``known``: the effect as it was known before
    the first of them, at least 1."""

    single: Blocks = field(default_factory=Blocks)
    several: Blocks = field(default_factory=Blocks)
    events: float = 0.0
    known: float = 1.0

    def expecting(self, effect: float) -> "Spread":
        """With what is known of the effect beforehand, as long as nothing was seen; then it is too late."""
        return self if self.events else replace(self, known=max(effect, 1.0))

    def add(self, arms: Arms) -> "Spread":
        """One look's events. A look without one of the versions says nothing of how they differ."""
        if not arms.comparable:
            return self
        own, others, share = arms.candidate_events, arms.stable_events, arms.share
        excess = own * (1 - share) - others * share
        variance = own * (1 - share) ** 2 + others * share**2
        length = (arms.candidate_total + arms.stable_total) * share * (1 - share)
        return self.add_sums(excess, variance, length)

    def add_sums(self, excess: float, variance: float, length: float = 1.0) -> "Spread":
        """One look's: what is compared, its variance if each event came by itself, and what it is long by."""
        one, four = _LOOKS
        return Spread(
            self.single.add(excess, variance, length, one),
            self.several.add(excess, variance, length, four),
            self.events + variance,
            self.known,
        )

    @property
    def sudden(self) -> float:
        """The effect of events that are few and come together within a look; at least 1."""
        return max(self._unseen, self.at_once)

    @property
    def at_once(self) -> float:
        """The same, without the doubt of the first events."""
        return self.single.effect(self.known, FEW)

    @property
    def lasting(self) -> float:
        """The effect of events that are many and come together for up to some looks; at least 1.

        It takes what begins late for such a run at first, where events are as few as errors are.
        """
        return max(self._unseen, self.single.effect(self.known), self.several.effect(self.known))

    @property
    def learnt(self) -> float:
        """The effect as it was found, for whoever begins anew; at least 1."""
        return max(self.single.effect(self.known), self.several.effect(self.known), 1.0)

    @property
    def whole(self) -> float:
        """The effect by all that was seen, for a test of the totals."""
        return max(self._unseen, self.single.measured(self.known), self.several.measured(self.known))

    @property
    def doubtful(self) -> float:
        """The same for what certifies, of events that are many: that none came together yet proves nothing while few
        were seen."""
        return max(self.whole, self.single.doubtful(self.known))

    @property
    def _unseen(self) -> float:
        return 1 + _UNSEEN * _UNSEEN_EVENTS / (_UNSEEN_EVENTS + self.events)


def whole_of(first: Spread, second: Spread) -> float:
    """The effect by all that was seen of events that come in two places, such as users' and copies'. Where the second
    saw none it says nothing: the doubt of its first events would never end."""
    return max(first.whole, second.whole if second.events else 1.0)
