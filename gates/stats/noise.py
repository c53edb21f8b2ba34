"""The noise of the service itself: how far parts of its stable version are apart, which no version is to blame for.

Parts that were dealt requests at random differ by chance alone, ever less with more of them. A bad node, or users who
keep to what they were dealt to once, leave an offset that no number of requests averages out, and the candidate is
apart from stable by such a one as well. So parts of stable are held against each other (A/A), and what is left of how
far their rates are apart beyond chance is the floor below which no difference of the versions says anything. For parts
with ``x`` events each, of which equal rates would have given them ``e``, and the variance ``v`` of independent ones:

    Q = sum (x - e)^2 / e,  k + 2 sqrt(k) of which chance explains, for k = sum v / e degrees of freedom
    spread = max(Q - d (k + 2 sqrt(k)), 0) / sum v,  the variance of the log of one part's rate
    floor^2 = 2 spread,  as two such parts differ
    effect = d + floor^2 I,  with the information  I = sum events rho (1 - rho)  of the comparison of the versions

for the design effect ``d`` of events that come together (`gates.stats.spread`). ``Q / k`` is the generalised design
effect of the parts; the variance of a sum whose log ratio is off by as much as the floor is ``effect`` times that of
independent events (Rao & Scott, Biometrics 48, 1992). Evidence of a difference no larger than the floor then hardly
grows, whatever comes, and what is several times as large is still shown. The effect is known before the look that it
divides, and is no less than ``d``. What equal rates would give is summed look by look, so that a part which was there
at a bad hour alone is not taken for a bad part.

Two kinds of parts. *Replicas* differ by their nodes. Parts of *users*, each those whose key falls into it, differ where
users keep to a version: each user then is a cluster of requests, and ``m`` events of the comparison count as one for
the clustering ``m / X (Q / k - d)`` beside ``d``, where the parts were compared by ``X`` events. That is told from the
first look on, and for a share of any size. What stable makes of the very users of the candidate is better, and comes
later (`Apart`). Until either has told, they count as apart by `USERS_APART`.

Parts by the request's id would tell nothing: of one version they are dealt at random, so they differ by chance alone
however bad its node is, and what makes requests fail together falls into all of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gates.quick import quick
from gates.stats.ratio import NO_ARMS, Arms

USERS_APART: Final = 0.4
"""The logarithm of a ratio, some 1.5: as far apart are few users who send most of the requests."""

_TOLD_MIN: Final = 0.01  # of a ratio, beyond chance: less is not told
_CHANCE: Final = 1.5  # standard errors that chance explains: of independent services 7 % exceed them, by little
_CHANCE_OF_PARTS: Final = 2.0  # times the root of the degrees of freedom beyond them, or 1.4 standard deviations
_EXPECTED_MIN: Final = 1.0  # events of a part: of fewer, one says too much


class _Compared(NamedTuple):
    """The parts held against each other: ``Q``, ``k`` and the sum of ``v``."""

    squares: float
    freedom: float
    variance: float


@dataclass(frozen=True, slots=True)
class Part:
    """The events of a part so far, those that equal rates would have given it, and the variance of its events if they
    are independent."""

    events: int = 0
    expected: float = 0.0
    variance: float = 0.0

    def __add__(self, other: "Part") -> "Part":
        return Part(self.events + other.events, self.expected + other.expected, self.variance + other.variance)


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of stable, in one order at every look."""

    every: tuple[Part, ...] = ()

    def add(self, seen: Sequence[tuple[int, int]]) -> "Parts":
        """With one look's: events and requests of each. One part alone says nothing."""
        total, events = sum(of for _, of in seen), sum(own for own, _ in seen)
        if sum(of > 0 for _, of in seen) < 2:
            return self
        size = max(len(self.every), len(seen))
        before = self.every + (Part(),) * (size - len(self.every))
        now = [Part(own, events * (share := of / total), events * share * (1 - share)) for own, of in seen]
        return Parts(tuple(map(Part.__add__, before, now)) + before[len(now) :])

    def spread(self, effect: float) -> float:
        """The variance of the logarithm of one part's rate, less what chance explains of events of which ``effect``
        come together."""
        _, freedom, variance = seen = self._compared
        by_chance = effect * (freedom + _CHANCE_OF_PARTS * math.sqrt(freedom))
        return max(seen.squares - by_chance, 0.0) / variance if variance else 0.0

    def most_likely(self, effect: float) -> float:
        """The same, as it most likely is."""
        squares, freedom, variance = self._compared
        return max(squares - effect * freedom, 0.0) / variance if variance else 0.0

    def clustering(self, effect: float) -> float | None:
        """The part of an event by which each more counts as one, where a part is of users, with a standard deviation
        of it; None where too little was seen."""
        squares, freedom, _ = self._compared
        if not freedom:
            return None
        found = squares / freedom * (1 + math.sqrt(2 / freedom))
        return max(found - effect, 0.0) / sum(part.events for part in self.every)

    @property
    def _compared(self) -> _Compared:
        squares = freedom = variance = 0.0
        for part in self.every:
            if part.expected >= _EXPECTED_MIN:
                squares += (part.events - part.expected) ** 2 / part.expected
                freedom += part.variance / part.expected
                variance += part.variance
        return _Compared(squares, freedom, variance)


@dataclass(frozen=True, slots=True)
class Apart:
    """Two parts of stable: the events and requests of one (in the candidate's place) and of the other, of all looks.

    ``expected``: of the events, those that equal rates would have given the first.
    """

    arms: Arms = NO_ARMS
    expected: float = 0.0

    def add(self, parts: Arms | None) -> "Apart":
        """One look's. One without both parts says nothing."""
        if parts is None or not parts.comparable:
            return self
        return Apart(self.arms + parts, self.expected + parts.events * parts.share)

    @property
    def told(self) -> bool:
        return 0 < self.expected < self.arms.events

    @property
    def offset(self) -> float:
        """The size of the logarithm of the ratio of their rates; 0 where nothing is told."""
        if not self.told:
            return 0.0
        one, other = self.arms.candidate_events + 0.5, self.arms.stable_events + 0.5
        return abs(math.log(one / other) + math.log((self.arms.events - self.expected) / self.expected))

    def error(self, effect: float) -> float:
        """The standard error of the offset, of events of which so many count as one; infinite where nothing is told."""
        if not self.told:
            return math.inf
        return math.sqrt(effect * (1 / (self.arms.candidate_events + 0.5) + 1 / (self.arms.stable_events + 0.5)))

    def beyond_chance(self, effect: float) -> float:
        """The part of the offset that chance does not explain."""
        return max(self.offset - _CHANCE * self.error(effect), 0.0)


@dataclass(frozen=True, slots=True)
class Found:
    """The way in which events come. ``effect``: how many count as one, because they come together. ``apart``: the
    ratio, less 1, that two parts of stable differ by beyond chance; None where they do not, or nobody tells."""

    effect: float
    apart: float | None = None


@quick
@dataclass(frozen=True, slots=True)
class Noise:
    """``replicas``: parts of stable by who answered. ``among_users``: by who asked. ``users``: stable's answers to the
    candidate's users, and to its own.

    ``sticky``: users keep to a version. ``information`` and ``events``: of the comparison of the versions, so far.
    """

    replicas: Parts = field(default_factory=Parts)
    among_users: Parts = field(default_factory=Parts)
    users: Apart = field(default_factory=Apart)
    sticky: bool = False
    information: float = 0.0
    events: float = 0.0

    def compared(self, arms: Arms) -> "Noise":
        """With one look's events of both versions."""
        if not arms.comparable:
            return self
        information = self.information + arms.events * arms.share * (1 - arms.share)
        events = self.events + arms.events
        return Noise(self.replicas, self.among_users, self.users, self.sticky, information, events)

    def floor(self, effect: float) -> float:
        """The logarithm of the ratio below which no difference tells of a version. ``effect``: as `Spread` has it."""
        return max(math.sqrt(2 * self.replicas.spread(effect)), self.between_users(effect))

    def between_users(self, effect: float) -> float:
        """That of users who keep to a version; 0 where they do not."""
        if not self.sticky:
            return 0.0
        known = self.users.offset + self.users.error(effect)
        return max(min(known, self._guessed(effect)), self.users.beyond_chance(effect))

    def _guessed(self, effect: float) -> float:
        """That of users as those of the candidate are taken to be, by what parts of all are apart by."""
        clustering = self.among_users.clustering(effect)
        if clustering is None or not self.information:
            return USERS_APART
        return math.sqrt(clustering * self.events / self.information)

    def effect(self, effect: float) -> float:
        """The number of events that count as one at the next look, of which ``effect`` come together."""
        return effect + self.floor(effect) ** 2 * self.information

    def replicas_apart(self, effect: float) -> float | None:
        """The ratio of two replicas, less 1, as far as it is told: None where chance explains it."""
        beyond = math.expm1(math.sqrt(2 * self.replicas.spread(effect)))
        return math.expm1(math.sqrt(2 * self.replicas.most_likely(effect))) if beyond >= _TOLD_MIN else None

    def apart(self, effect: float) -> float | None:
        """The ratio, less 1, that two parts of stable differ by, whatever sets them apart; None where that is not
        told."""
        floor = math.expm1(self.between_users(effect))
        by_replica = self.replicas_apart(effect)
        return max(floor, by_replica or 0.0) if by_replica is not None or floor >= _TOLD_MIN else None

    def blurs(self, floor: float, effect: float) -> bool:
        """Return whether a floor, rather than chance, is what hides a difference by now."""
        return floor > 0 and floor**2 * self.information >= effect
