"""The noise of the service itself: how far two parts of its stable version are apart, which no version is to blame for.

Two parts that were dealt requests at random differ by chance alone, ever less with more of them. A bad node, or users
who keep to what they were dealt to once, leave an offset that no number of requests averages out, and the candidate is
apart from stable by such a one as well. So the two parts are compared as two versions are (A/A), and what is left of
the logarithm of their ratio beyond chance is the floor below which no difference of the versions says anything:

    floor = max(|ln ratio| - 1.5 standard errors, 0)
    effect = d + floor^2 I,  with the information  I = sum events rho (1 - rho)  of the comparison of the versions

for the design effect ``d`` of events that come together (`gates.stats.spread`). The variance of a sum whose log ratio
is off by as much as the floor is so many times that of independent events (Rao & Scott, Biometrics 48, 1992). Evidence
of a difference no larger than the floor then hardly grows, whatever comes, and what is several times as large is still
shown. The effect is known before the look that it divides, and is no less than ``d``.

Where users keep to a version, nothing is independent to begin with: until stable's own answers to the candidate's users
have shown that they are closer, they count as apart by `USERS_APART`.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Final

from gates.stats.ratio import NO_ARMS, Arms

USERS_APART: Final = 0.4
"""The logarithm of a ratio, some 1.5: as far apart are few users who send most of the requests."""

_TOLD_MIN: Final = 0.01  # of a ratio, beyond chance: less is not told
_CHANCE: Final = 1.5  # standard errors that chance explains: of independent services 7 % exceed them, by little


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
class Noise:
    """``halves``: of stable's replicas. ``users``: stable's answers to the candidate's users, and to its own.

    ``sticky``: users keep to a version. ``information``: of the comparison of the versions, so far.
    """

    halves: Apart = field(default_factory=Apart)
    users: Apart = field(default_factory=Apart)
    sticky: bool = False
    information: float = 0.0

    def compared(self, arms: Arms) -> "Noise":
        """With one look's events of both versions."""
        if not arms.comparable:
            return self
        return replace(self, information=self.information + arms.events * arms.share * (1 - arms.share))

    def floor(self, effect: float) -> float:
        """The logarithm of the ratio below which no difference tells of a version. ``effect``: as `Spread` has it."""
        return max(self.halves.beyond_chance(effect), self.between_users(effect))

    def between_users(self, effect: float) -> float:
        """That of users who keep to a version; 0 where they do not."""
        if not self.sticky:
            return 0.0
        known = self.users.offset + self.users.error(effect)
        return max(min(known, USERS_APART), self.users.beyond_chance(effect))

    def effect(self, effect: float) -> float:
        """The number of events that count as one at the next look, of which ``effect`` come together."""
        return effect + self.floor(effect) ** 2 * self.information

    def halves_apart(self, effect: float) -> float | None:
        """The ratio of the halves, less 1, as far as it is told: None where chance explains it."""
        beyond = math.expm1(self.halves.beyond_chance(effect))
        return math.expm1(self.halves.offset) if beyond >= _TOLD_MIN else None

    def blurs(self, floor: float, effect: float) -> bool:
        """Return whether a floor, rather than chance, is what hides a difference by now."""
        return floor > 0 and floor**2 * self.information >= effect
