"""The memory of calibration.shadow."""

from dataclasses import dataclass, field

from gates.stats.bounded import BetState, MeanBounds, Values
from gates.stats.uneven import Chances, Graded
from gates.stats.weighted import Drawn


@dataclass(frozen=True, slots=True)
class Sides:
    """Two tests, of a mean that is too high and of one that is too low."""

    high: BetState
    low: BetState

    @property
    def weaker(self) -> float:
        """Evidence that the mean is neither."""
        return min(self.high.peak, self.low.peak)


@dataclass(frozen=True, slots=True)
class Sums:
    """The same values by how likely each pair was to be labelled."""

    chances: Chances = field(default_factory=Chances)
    change: Drawn = field(default_factory=Drawn)
    own: Drawn = field(default_factory=Drawn)
    brier: Drawn = field(default_factory=Drawn)
    graded_change: Graded = field(default_factory=Graded)
    graded_own: Graded = field(default_factory=Graded)
    graded_brier: Graded = field(default_factory=Graded)

    def add(self, change: Values, own: Values, brier: Values, probabilities: list[float]) -> "Sums":
        return Sums(
            self.chances.add(probabilities),
            self.change.add_all(change.tolist(), probabilities),
            self.own.add_all(own.tolist(), probabilities),
            self.brier.add_all(brier.tolist(), probabilities),
            self.graded_change.add_all(change.tolist(), probabilities),
            self.graded_own.add_all(own.tolist(), probabilities),
            self.graded_brier.add_all(brier.tolist(), probabilities),
        )

    @property
    def aside(self) -> int:
        return self.graded_change.kept.aside


@dataclass(frozen=True, slots=True)
class CalibrationState:
    harm_gap: Sides
    harm_brier: BetState
    safe_change: Sides
    safe_own: Sides
    safe_brier: BetState
    change: MeanBounds = field(default_factory=MeanBounds)
    own: MeanBounds = field(default_factory=MeanBounds)
    brier: MeanBounds = field(default_factory=MeanBounds)
    sums: Sums = field(default_factory=Sums)
