"""The design effect of a comparison: how much more counts spread than independent events would.

Requests that fail or are slow together say less than as many that do so one by one. ``n`` events in clusters of ``K``
tell as much as ``n / K`` independent ones; for clusters of different sizes ``K`` is the mean squared size over the mean
size (Rao & Scott, Biometrics 48, 1992). The effect is measured by the differences between neighbouring looks. A
constant ratio of the two rates adds nothing to them while the rates are constant, too. (An incident of the service
under a ratio other than 1 counts as events that come together, which costs power.)

    u = x (1 - rho) - y rho,  with the variance  v = x (1 - rho)^2 + y rho^2  if events are independent,
    effect = sum (u a' - u' a)^2 / sum (v a'^2 + v' a^2)

for ``x`` events of the candidate, ``y`` of stable, and the candidate's share ``rho`` of the requests; the prime marks
the neighbouring look. ``a`` is the length of a look, ``n rho (1 - rho)`` for ``n`` requests, over the quadratic mean of
both lengths: looks of probation cover minutes or seconds, and under a constant ratio ``u`` grows with the length.
Events that come together for longer than a look show in blocks of several looks. A ratio that changes for good shows in
one difference, events that come together in two, up and down: so the largest square counts as the second largest. The
effect of a look is estimated from earlier looks alone: evidence divided by it is valid for independent events whatever
the estimate is (Jensen), so errors of the estimate cost power alone. The estimate begins with what is known before the
first look, from earlier releases or from the time before users got the candidate.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Final

from gates.quick import quick
from gates.stats.ratio import Arms

_LOOKS: Final = (1, 4)  # of a block: the single look, and several
_PRIOR_EVENTS_BELOW: Final = 20.0  # prior events, where fewer come together than is known: more may do so again
_UNSEEN: Final = 0.5  # least effect beyond 1 before any event: nobody knows yet how events come
_UNSEEN_EVENTS: Final = 2.0  # after so many events half of that is left
_DOUBT_EVENTS, _DOUBT = 3.0, 4.0  # for certificates: prior events, and the effect they are given


@dataclass(frozen=True, slots=True)
class Caution:
    """The caution with which an estimate is believed.

    ``prior_events``: events that count as seen before, with the effect that is known (1 where none is). ``errors``:
    standard errors of the estimate that are taken off.
    """

    prior_events: float
    errors: float


MANY: Final = Caution(4.0, 1.0)
FEW: Final = Caution(1.0, 0.4)
"""For errors, which are few: taken for independent too long, two clusters of them would roll back a version."""


@quick
@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks of consecutive looks: the one that is being filled (``looks`` of them so far), the last full one, and sums
    over the differences of neighbours.

    ``excess``, ``variance``, ``length``: ``u``, ``v`` and the length of a block. ``full``: number of full blocks.
    ``squares``, ``variances``: the two sums of the effect.
    """

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
        """Return the blocks with one look added. ``looks``: how many make a block."""
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
        """Return the estimate without caution, drawn towards the ``known`` effect, which stands where next to nothing
        was seen."""
        if self.full < 2 or not self.variances:
            return known
        squares, variances = (self.squares - self.largest + self.second) / 2, self.variances / 2
        prior = prior_events if squares >= known * variances or known == 1 else _PRIOR_EVENTS_BELOW
        return (squares + prior * known) / (variances + prior)

    def effect(self, known: float, caution: Caution = MANY) -> float:
        """Return the estimate, reduced by standard errors where it exceeds the ``known`` effect, so that chance alone
        hardly costs power where events are independent."""
        return self.cautious(self.measured(known, caution.prior_events), known, caution)

    def cautious(self, measured: float, known: float, caution: Caution) -> float:
        """Return the ``measured`` estimate, reduced by standard errors but not below the ``known`` effect."""
        if measured <= known:
            return measured
        error = math.sqrt(3 / (self.full - 1) + 2 / self.variances)
        return max(measured / (1 + caution.errors * error), known)

    def doubtful(self, known: float) -> float:
        """Return the estimate as if a few events had been seen before that came together."""
        doubt = max(_DOUBT, known)
        return (self.squares / 2 + _DOUBT_EVENTS * doubt) / (self.variances / 2 + _DOUBT_EVENTS)


@quick
@dataclass(frozen=True, slots=True)
class Spread:
    """The differences between single looks so far, and between blocks of several. ``events``: the sum of ``v``.
    ``known``: the effect that was known before the first look, at least 1."""

    single: Blocks = field(default_factory=Blocks)
    several: Blocks = field(default_factory=Blocks)
    events: float = 0.0
    known: float = 1.0

    def expecting(self, effect: float) -> "Spread":
        """Return the state with an effect that is known beforehand; unchanged once events were seen."""
        return self if self.events else replace(self, known=max(effect, 1.0))

    def add(self, arms: Arms) -> "Spread":
        """Return the state with one look's events; unchanged where one version was asked nothing."""
        if not arms.comparable:
            return self
        own, others, share = arms.candidate_events, arms.stable_events, arms.share
        excess = own * (1 - share) - others * share
        variance = own * (1 - share) ** 2 + others * share**2
        length = (arms.candidate_total + arms.stable_total) * share * (1 - share)
        return self.add_sums(excess, variance, length)

    def add_sums(self, excess: float, variance: float, length: float = 1.0) -> "Spread":
        """Return the state with one look's ``u`` (``excess``), its variance if events are independent, and its
        length."""
        one, four = _LOOKS
        return Spread(
            self.single.add(excess, variance, length, one),
            self.several.add(excess, variance, length, four),
            self.events + variance,
            self.known,
        )

    @property
    def sudden(self) -> float:
        """Return the effect for events that are few and come together within a look; at least 1."""
        return max(self._unseen, self.at_once)

    @property
    def at_once(self) -> float:
        """Return the effect `sudden` without the doubt of the first events."""
        return self.single.effect(self.known, FEW)

    @property
    def lasting(self) -> float:
        """Return the effect for events that are many and come together for up to some looks; at least 1.

        Where events are as few as errors, it would at first take harm that begins late for such a run.
        """
        return max(self._unseen, self.single.effect(self.known), self.several.effect(self.known))

    @property
    def learnt(self) -> float:
        """Return the effect that was found, for a state that begins anew; at least 1."""
        return max(self.single.effect(self.known), self.several.effect(self.known), 1.0)

    @property
    def whole(self) -> float:
        """Return the effect by all looks, without caution, for a test of the totals; at least 1."""
        return max(self._unseen, self.single.measured(self.known), self.several.measured(self.known))

    @property
    def doubtful(self) -> float:
        """Return the effect for a certificate about events that are many, at least `whole`: while few events were seen,
        that none came together proves nothing."""
        return max(self.whole, self.single.doubtful(self.known))

    @property
    def _unseen(self) -> float:
        return 1 + _UNSEEN * _UNSEEN_EVENTS / (_UNSEEN_EVENTS + self.events)


def whole_of(first: Spread, second: Spread) -> float:
    """Return the effect by all looks of events in two places, such as users' requests and copies. Where ``second`` saw
    none it says nothing: the doubt of its first events would never end."""
    return max(first.whole, second.whole if second.events else 1.0)
