"""The state of calibration.shadow."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gates.quick import quick
from gates.stats.alike import Alike
from gates.stats.bounded import BetState, MeanBounds, Values
from gates.stats.murphy import Band
from gates.stats.numerics import log_mean_exp
from gates.stats.uneven import Chances, Graded
from gates.stats.weighted import Drawn


@quick
@dataclass(frozen=True, slots=True)
class Sides:
    """The states of two tests: of a mean that is too high, and of one that is too low."""

    high: BetState
    low: BetState

    @property
    def weaker(self) -> float:
        """The smaller log evidence of the two: that of both claims together."""
        return min(self.high.peak, self.low.peak)


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of the change of the gap, of the candidate's own gap and of the Brier difference, by inclusion
    probability."""

    chances: Chances = field(default_factory=Chances)
    graded_change: Graded = field(default_factory=Graded)
    graded_own: Graded = field(default_factory=Graded)
    brier: Drawn = field(default_factory=Drawn)

    def add(self, change: Values, own: Values, brier: Values, probabilities: list[float]) -> "Sums":
        return Sums(
            self.chances.add(probabilities),
            self.graded_change.add_all(change.tolist(), probabilities),
            self.graded_own.add_all(own.tolist(), probabilities),
            self.brier.add_all(brier.tolist(), probabilities),
        )

    @property
    def change(self) -> Drawn:
        return _all(self.graded_change)

    @property
    def own(self) -> Drawn:
        return _all(self.graded_own)

    @property
    def aside(self) -> int:
        return self.graded_change.kept.aside


def _all(graded: Graded) -> Drawn:
    sample = Drawn()
    for grade in graded.grades:
        sample = sample + grade.sample
    return sample


@quick
@dataclass(frozen=True, slots=True)
class Shape:
    """The miscalibration above each edge of confidence minus that below it, which shows two that cancel in the mean.

    ``sides``: the tests of each edge. ``peak``: the highest log evidence so far, as the mean over all of them.
    ``stable`` and ``candidate``: the version's own answers in bands between the edges, by its own confidence.
    """

    sides: tuple[Sides, ...]
    stable: tuple[Band, ...]
    candidate: tuple[Band, ...]
    peak: float = 0.0

    @property
    def edge(self) -> int:
        """The index of the edge at which the evidence is strongest."""
        strongest = [max(*sides.high.log_capital, *sides.low.log_capital) for sides in self.sides]
        return max(range(len(strongest)), key=strongest.__getitem__)

    def above(self, bands: Sequence[Band]) -> float:
        """Return the mean miscalibration of a version's answers above the edge with the strongest evidence."""
        return mean_miscalibration(bands[self.edge + 1 :])

    def below(self, bands: Sequence[Band]) -> float:
        """Return the mean miscalibration of a version's answers below the edge with the strongest evidence."""
        return mean_miscalibration(bands[: self.edge + 1])

    @property
    def change(self) -> float:
        """The candidate's miscalibration above that edge minus that below it, each times its share of the answers, less
        stable's."""
        own, other = (_contrast(bands, self.edge) for bands in (self.candidate, self.stable))
        return own - other


def log_evidence(every: Sequence[Sides]) -> float:
    """Return the log evidence that at some edge the change is beyond its tolerance: the mean over edges, sides and
    bets."""
    return log_mean_exp([log for sides in every for log in (*sides.high.log_capital, *sides.low.log_capital)])


def mean_miscalibration(bands: Sequence[Band]) -> float:
    """Return the mean of confidence minus correctness over the bands; 0 where they are empty."""
    weight = sum(band.weight for band in bands)
    return sum(band.miscalibration for band in bands) / weight if weight else 0.0


def _contrast(bands: Sequence[Band], edge: int) -> float:
    weight = sum(band.weight for band in bands)
    turned = sum(band.miscalibration if place > edge else -band.miscalibration for place, band in enumerate(bands))
    return turned / weight if weight else 0.0


@quick
@dataclass(frozen=True, slots=True)
class CalibrationState:
    harm_gap: Sides
    safe_change: Sides
    safe_own: Sides
    safe_brier: BetState
    shape: Shape
    change: MeanBounds = field(default_factory=MeanBounds)
    own: MeanBounds = field(default_factory=MeanBounds)
    brier: MeanBounds = field(default_factory=MeanBounds)
    sums: Sums = field(default_factory=Sums)
    alike: Alike = field(default_factory=Alike)  # changes of the gap

    @property
    def learnt(self) -> float:
        """The number of labelled pairs that came together and count as one, for the next release to expect."""
        return self.alike.learnt
