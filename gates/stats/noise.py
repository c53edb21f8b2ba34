"""The noise of the service itself: how far parts of its stable version are apart, for which no version is to blame.

Parts that were dealt requests at random differ by chance alone, and less the more requests they have. A bad node, or
users who stay where they were dealt to, leave an offset that no number of requests averages out, and the candidate is
apart from stable by such an offset as well. So parts of stable are compared with each other (A/A). The distance between
their rates beyond chance gives the floor below which no difference of the versions says anything. For parts with ``x``
events each, ``e`` of them expected at equal rates, and with the variance ``v`` if events are independent:

    Q = sum (x - e)^2 / e,  of which chance explains d (k + 2 sqrt(k)), for k = sum v / e degrees of freedom
    spread = max(Q - d (k + 2 sqrt(k)), 0) / sum v,  the variance of the log of one part's rate
    floor^2 = 2 spread,  because two such parts differ
    effect = d + floor^2 I,  with the information  I = sum events rho (1 - rho)  of the comparison of the versions

``d`` is the design effect of events that come together (`gates.stats.spread`), ``rho`` the candidate's share of the
requests. ``Q / k`` is the generalised design effect of the parts; the variance of a sum whose log ratio is off by the
floor is ``effect`` times that of independent events (Rao & Scott, Biometrics 48, 1992). So evidence of a difference no
larger than the floor hardly grows, while a difference several times as large is still shown. The effect is known before
the look whose evidence it divides, and is at least ``d``. ``e`` is summed look by look, so that a part that served at a
bad hour alone is not taken for a bad part.

There are two kinds of parts. *Replicas* differ by their nodes. Parts of *users*, by a hash of the user's key, differ
where users stay on a version: each user is then a cluster of requests, and the effect of ``m`` events of the comparison
is ``d + m / X (Q / k - d)``, where the parts were compared by ``X`` events and ``Q / k`` is taken one standard
deviation higher. That is known from the first look on, and for a share of any size. Stable's own answers to the
candidate's users say it better, but later (`Apart`). Until one of the two is known, users count as apart by
`USERS_APART`.

Parts by the request's id would tell nothing: within a version they are dealt at random, so they differ by chance alone
however bad the node is, and what makes requests fail together falls into all of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gates.quick import quick
from gates.stats.ratio import NO_ARMS, Arms

USERS_APART: Final = 0.4
"""The logarithm of a ratio of about 1.5: so far apart are versions of which few users send most of the requests."""

_TOLD_MIN: Final = 0.01  # of a ratio, beyond chance: less is not reported
_CHANCE: Final = 1.5  # standard errors that chance explains: of independent services 13 % exceed them, by little
_CHANCE_OF_PARTS: Final = 2.0  # beyond the degrees of freedom, times their root: 1.4 standard deviations
_EXPECTED_MIN: Final = 1.0  # events of a part: where fewer are expected, one says too much


class _Compared(NamedTuple):
    """The comparison of the parts: ``Q``, ``k`` and the sum of ``v``."""

    squares: float
    freedom: float
    variance: float


@dataclass(frozen=True, slots=True)
class Part:
    """A part so far: its events, the number expected at equal rates, and the variance if events are independent."""

    events: int = 0
    expected: float = 0.0
    variance: float = 0.0

    def __add__(self, other: "Part") -> "Part":
        return Part(self.events + other.events, self.expected + other.expected, self.variance + other.variance)


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of stable, in the same order at every look."""

    every: tuple[Part, ...] = ()

    def add(self, seen: Sequence[tuple[int, int]]) -> "Parts":
        """Return the parts with one look added: (events, requests) of each. One part alone says nothing."""
        total, events = sum(of for _, of in seen), sum(own for own, _ in seen)
        if sum(of > 0 for _, of in seen) < 2:
            return self
        size = max(len(self.every), len(seen))
        before = self.every + (Part(),) * (size - len(self.every))
        now = [Part(own, events * (share := of / total), events * share * (1 - share)) for own, of in seen]
        return Parts(tuple(map(Part.__add__, before, now)) + before[len(now) :])

    def spread(self, effect: float) -> float:
        """Return the variance of the logarithm of one part's rate, less all that chance may explain where ``effect``
        events come together."""
        _, freedom, variance = seen = self._compared
        by_chance = effect * (freedom + _CHANCE_OF_PARTS * math.sqrt(freedom))
        return max(seen.squares - by_chance, 0.0) / variance if variance else 0.0

    def most_likely(self, effect: float) -> float:
        """Return the variance of the logarithm of one part's rate, less what chance explains on average."""
        squares, freedom, variance = self._compared
        return max(squares - effect * freedom, 0.0) / variance if variance else 0.0

    def clustering(self, effect: float) -> float | None:
        """Return by how much each further event raises the effect, ``(Q / k - d) / X`` with ``Q / k`` one standard
        deviation higher, where the parts are of users; None where too little was seen."""
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
    """Two parts of stable: the events and requests of one (in the candidate's place) and of the other, over all looks.

    ``expected``: how many of the events equal rates would have given to the first.
    """

    arms: Arms = NO_ARMS
    expected: float = 0.0

    def add(self, parts: Arms | None) -> "Apart":
        """Return the state with one look's parts; unchanged where one of the two was asked nothing."""
        if parts is None or not parts.comparable:
            return self
        return Apart(self.arms + parts, self.expected + parts.events * parts.share)

    @property
    def told(self) -> bool:
        return 0 < self.expected < self.arms.events

    @property
    def offset(self) -> float:
        """Return the size of the logarithm of the ratio of the two rates; 0 where it is not known."""
        if not self.told:
            return 0.0
        one, other = self.arms.candidate_events + 0.5, self.arms.stable_events + 0.5
        return abs(math.log(one / other) + math.log((self.arms.events - self.expected) / self.expected))

    def error(self, effect: float) -> float:
        """Return the standard error of the offset, where ``effect`` events count as one; infinite where not known."""
        if not self.told:
            return math.inf
        return math.sqrt(effect * (1 / (self.arms.candidate_events + 0.5) + 1 / (self.arms.stable_events + 0.5)))

    def beyond_chance(self, effect: float) -> float:
        """Return the part of the offset that chance does not explain."""
        return max(self.offset - _CHANCE * self.error(effect), 0.0)


@dataclass(frozen=True, slots=True)
class Found:
    """The clustering of events. ``effect``: how many count as one, because they come together. ``apart``: the ratio,
    less 1, by which two parts of stable differ beyond chance; None where they do not, or it is not known."""

    effect: float
    apart: float | None = None


@quick
@dataclass(frozen=True, slots=True)
class Noise:
    """The noise of the service, as known so far. ``replicas``: parts of stable by who answered; ``among_users``: by who
    asked; ``users``: stable's answers to the candidate's users, and to its own.

    ``sticky``: users stay on a version. ``information`` and ``events``: of the comparison of the versions.
    """

    replicas: Parts = field(default_factory=Parts)
    among_users: Parts = field(default_factory=Parts)
    users: Apart = field(default_factory=Apart)
    sticky: bool = False
    information: float = 0.0
    events: float = 0.0

    def compared(self, arms: Arms) -> "Noise":
        """Return the noise with one look's events of both versions."""
        if not arms.comparable:
            return self
        information = self.information + arms.events * arms.share * (1 - arms.share)
        events = self.events + arms.events
        return Noise(self.replicas, self.among_users, self.users, self.sticky, information, events)

    def floor(self, effect: float) -> float:
        """Return the log of the ratio below which no difference tells of a version. ``effect``: that of `Spread`."""
        return max(math.sqrt(2 * self.replicas.spread(effect)), self.between_users(effect))

    def between_users(self, effect: float) -> float:
        """Return the floor that is due to users who stay on a version; 0 where they do not."""
        if not self.sticky:
            return 0.0
        known = self.users.offset + self.users.error(effect)
        return max(min(known, self._guessed(effect)), self.users.beyond_chance(effect))

    def _guessed(self, effect: float) -> float:
        """Return the floor for the candidate's users, as estimated from how far parts of all users are apart."""
        clustering = self.among_users.clustering(effect)
        if clustering is None or not self.information:
            return USERS_APART
        return math.sqrt(clustering * self.events / self.information)

    def effect(self, effect: float) -> float:
        """Return how many events count as one at the next look, where ``effect`` of them come together."""
        return effect + self.floor(effect) ** 2 * self.information

    def replicas_apart(self, effect: float) -> float | None:
        """Return the most likely ratio, less 1, of two replicas' rates; None where chance explains it."""
        beyond = math.expm1(math.sqrt(2 * self.replicas.spread(effect)))
        return math.expm1(math.sqrt(2 * self.replicas.most_likely(effect))) if beyond >= _TOLD_MIN else None

    def apart(self, effect: float) -> float | None:
        """Return the ratio, less 1, by which two parts of stable differ, whatever the cause; None where chance explains
        it."""
        floor = math.expm1(self.between_users(effect))
        by_replica = self.replicas_apart(effect)
        return max(floor, by_replica or 0.0) if by_replica is not None or floor >= _TOLD_MIN else None

    def blurs(self, floor: float, effect: float) -> bool:
        """Return whether by now a floor, rather than chance, hides a difference."""
        return floor > 0 and floor**2 * self.information >= effect
