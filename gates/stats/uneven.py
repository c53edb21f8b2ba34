"""Betting on the mean of a population of which some units were more likely to be drawn than others.

A unit has the value ``d`` and is drawn with probability ``p``, never below ``least``. Someone who bets the share ``b``
of the capital against "the mean is at most ``m``" multiplies it by ``1 + b (least / p) (d - m)`` for each unit drawn,
and by 1 for each other unit. Over all units the mean of that factor is ``1 + b least (mean - m)`` (Horvitz & Thompson
1952), so the capital is a non-negative supermartingale, whatever the probabilities depended on (Shekhar, Xu, Lipton,
Liang & Ramdas, arXiv:2210.10768): it ever exceeds ``1/alpha`` with probability at most ``alpha``.

The capital is bounded from below by sums alone, since ``log(1 + x) >= x - c x^2`` for ``x >= -s``, where
``c = -(log(1 - s) + s) / s^2`` (Fan, Grama & Liu, arXiv:1311.6273). So a few sums (`Drawn`) are evidence about any
mean. ``least`` need not be known when a unit is drawn: the evidence is what it would be had ``least`` been known. Where
it is not declared, the smallest probability so far stands for it, and a later unit may show a smaller one.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from gates.quick import quick
from gates.stats.numerics import boundary, log_mean_exp
from gates.stats.weighted import Drawn, shared_by_all

_GRID = 64  # shares at which the evidence of two arms is tried; the least is then sought between two of them
_EDGE = 1 - 1e-9
SET_ASIDE_MAX = 0.01  # of the labels: so few of the least likely ones may be left out of evidence of harm
_FLOORS_WEIGHT = 0.1  # of the level: for evidence whose floor was chosen after the labels were seen
_FLOORS = 9  # powers of ten that a floor may be


@quick
@dataclass(frozen=True, slots=True)
class Chances:
    """The smallest probability of being drawn, declared or seen, and the largest that was seen."""

    least: float = 1.0
    most: float = 0.0

    def add(self, probabilities: Sequence[float]) -> "Chances":
        if not probabilities:
            return self
        shared = shared_by_all(probabilities)
        seen = probabilities if shared is None else (shared,)
        return Chances(min(self.least, *seen), max(self.most, *seen))

    def __add__(self, other: "Chances") -> "Chances":
        return Chances(min(self.least, other.least), max(self.most, other.most))

    @property
    def even(self) -> bool:
        """Return whether all units were equally likely: a plain mean is then the population's."""
        return self.most <= self.least


def declared(least: float | None) -> Chances:
    """Return the chances before anything was drawn, where the smallest probability is ``least``; None: not known."""
    return Chances() if least is None else Chances(least)


@dataclass(frozen=True, slots=True)
class Span:
    """The interval that values lie in."""

    low: float
    high: float

    @property
    def half(self) -> float:
        return (self.high - self.low) / 2

    @property
    def mirrored(self) -> "Span":
        return Span(-self.high, -self.low)


@quick
@dataclass(frozen=True, slots=True)
class Grade:
    """The units whose probability has one power of ten: its common logarithm, rounded down, is ``power``."""

    power: int
    chances: Chances
    sample: Drawn


@dataclass(frozen=True, slots=True)
class Kept:
    """The sums without the few least likely units, the smallest and the largest probability that are left, and the
    number of units set ``aside``."""

    sample: Drawn = field(default_factory=Drawn)
    least: float = 1.0
    aside: int = 0
    most: float = 1.0


def _power(probability: float) -> int:
    return math.floor(math.log10(probability))


@quick
@dataclass(frozen=True, slots=True)
class Graded:
    """Sums by the power of ten of the units' probabilities: at most one entry for each."""

    grades: tuple[Grade, ...] = ()

    def add(self, sample: Drawn, chances: Chances) -> "Graded":
        """Return the sums with ``sample`` added, all of it drawn with probabilities of one power of ten."""
        power, grades = _power(chances.least), self.grades
        place = bisect_left(grades, power, key=attrgetter("power"))
        known = place < len(grades) and grades[place].power == power
        if known:
            chances, sample = grades[place].chances + chances, grades[place].sample + sample
        return Graded((*grades[:place], Grade(power, chances, sample), *grades[place + known :]))

    def add_all(self, values: Sequence[float], probabilities: Sequence[float]) -> "Graded":
        """Return the sums with one unit added for each value and its probability."""
        if not probabilities:
            return self
        if shared_by_all(probabilities) is not None or _power(min(probabilities)) == _power(max(probabilities)):
            return self.add(Drawn().add_all(values, probabilities), Chances().add(probabilities))
        alike: dict[int, list[tuple[float, float]]] = {}
        for value, probability in zip(values, probabilities, strict=True):
            alike.setdefault(_power(probability), []).append((value, probability))
        graded = self
        for units in alike.values():
            own, chances = zip(*units, strict=True)
            graded = graded.add(Drawn().add_all(own, chances), Chances().add(chances))
        return graded

    def __add__(self, other: "Graded") -> "Graded":
        if not self.grades:
            return other
        both = self
        for grade in other.grades:
            both = both.add(grade.sample, grade.chances)
        return both

    @property
    def count(self) -> int:
        return sum(grade.sample.count for grade in self.grades)

    @property
    def kept(self) -> Kept:
        """Return the sums without the lowest powers, which together hold at most ``SET_ASIDE_MAX`` of all units."""
        room = SET_ASIDE_MAX * self.count
        aside, first = 0, 0
        while first < len(self.grades) - 1 and aside + self.grades[first].sample.count <= room:
            aside += self.grades[first].sample.count
            first += 1
        sample = Drawn()
        for grade in self.grades[first:]:
            sample = sample + grade.sample
        most = max((grade.chances.most for grade in self.grades[first:]), default=1.0)
        return Kept(sample, min((grade.chances.least for grade in self.grades[first:]), default=1.0), aside, most)


FLOOR_LOG_WEIGHT = math.log(_FLOORS_WEIGHT / _FLOORS)
"""The log weight of evidence from `Kept` units: a tenth of the level, divided among the possible floors."""


def log_capitals(sample: Drawn, least: float, mean_max: float, span: Span, bets: Sequence[float]) -> list[float]:
    """Return a lower bound of the log capital of each bet against "the mean is at most ``mean_max``".

    ``least``: the smallest probability of being drawn; ``span``: of the values; ``bets``: shares, below 1, of the
    largest bet that cannot lose everything.
    """
    room = mean_max - span.low
    won = least * (sample.total - mean_max * sample.weight)
    squares = sample.spread - 2 * mean_max * sample.cross + mean_max**2 * sample.squares
    risked = least**2 * max(squares, 0.0)
    sizes = [bet / max(room, span.half) for bet in bets]
    return [size * won - _curvature(size * room) * size**2 * risked for size in sizes]


def _curvature(lost: float) -> float:
    return -(math.log1p(-lost) + lost) / lost**2 if lost > 1e-4 else 0.5 + lost / 2


def log_e_mean_at_most(sample: Drawn, least: float, mean_max: float, span: Span, bets: Sequence[float]) -> float:
    """Return the log evidence against "the mean is at most ``mean_max``"."""
    return log_mean_exp(log_capitals(sample, least, mean_max, span, bets))


def log_e_mean_at_least(sample: Drawn, least: float, mean_min: float, span: Span, bets: Sequence[float]) -> float:
    """Return the log evidence against "the mean is at least ``mean_min``": the mirror image."""
    return log_e_mean_at_most(-sample, least, -mean_min, span.mirrored, bets)


def mean_bounds(sample: Drawn, least: float, span: Span, bets: Sequence[float], alpha: float) -> tuple[float, float]:
    """Return bounds on the mean that hold at every look at once with probability ``1 - alpha``."""
    if not sample.count:
        return span.low, span.high
    threshold = math.log(2 / alpha)
    centre = (span.low + span.high) / 2
    ends = [centre + _EDGE * (end - centre) for end in (span.low, span.high)]
    inside = min(max(sample.mean, ends[0]), ends[1])
    step = 5 * span.half / math.sqrt(sample.effective)

    def excess(of: Callable[..., float]) -> Callable[[float], float]:
        return lambda mean: of(sample, least, mean, span, bets) - threshold

    low = boundary(excess(log_e_mean_at_most), inside, ends[0], step)
    return low, boundary(excess(log_e_mean_at_least), inside, ends[1], step)


@dataclass(frozen=True, slots=True)
class Arm:
    """The labelled answers of one version, 1 for a wrong one and 0 for a right one. ``graded``: the same sums by
    probability."""

    sample: Drawn = field(default_factory=Drawn)
    chances: Chances = field(default_factory=Chances)
    graded: Graded = field(default_factory=Graded)

    @property
    def kept(self) -> "Arm":
        """Return the arm without the few least likely answers."""
        found = self.graded.kept
        return Arm(found.sample, Chances(found.least, self.chances.most)) if found.aside else self


_SHARE = Span(0.0, 1.0)


def log_e_difference_at_least(one: Arm, other: Arm, difference: float, bets: Sequence[float]) -> float:
    """Return the log evidence against "the share of ``one`` is at least that of ``other`` plus ``difference``".

    Under that null there is a ``share`` such that ``other``'s is at most ``share`` and ``one``'s at least
    ``share + difference``. The evidence against both is a product; against the null it is the least product over all
    such shares.
    """
    from scipy.optimize import minimize_scalar  # here, so that reading a state needs no scipy

    low, high = max(0.0, -difference), min(1.0, 1 - difference)

    def against(share: float) -> float:
        own = log_e_mean_at_least(one.sample, one.chances.least, share + difference, _SHARE, bets)
        return own + log_e_mean_at_most(other.sample, other.chances.least, share, _SHARE, bets)

    step = (high - low) / _GRID
    found = [against(low + step * place) for place in range(_GRID + 1)]
    place = min(range(_GRID + 1), key=found.__getitem__)
    near = (low + step * max(place - 1, 0), low + step * min(place + 1, _GRID))
    least = minimize_scalar(against, bounds=near, method="bounded", options={"xatol": 1e-7})
    return min(found[place], float(least.fun))


def share_bounds(arm: Arm, bets: Sequence[float], alpha: float) -> tuple[float, float]:
    """Return bounds on an arm's share of wrong answers, at every look at once with probability ``1 - alpha``."""
    return mean_bounds(arm.sample, arm.chances.least, _SHARE, bets, alpha)
