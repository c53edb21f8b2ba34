"""What is counted over many releases of a world, each figure with how sure it is."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import beta

from tests.bench._table import Bar
from tests.bench.world.runs import Played
from tests.bench.world.scenarios import Scenario

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many, in per cent."""

    hits: int
    runs: int

    @property
    def pct(self) -> float:
        return 100 * self.hits / self.runs if self.runs else math.nan

    @property
    def interval_pct(self) -> tuple[float, float]:
        """Bounds that hold with 95 % (Clopper and Pearson), one of them where nothing or everything was hit too. Not a
        number where nothing was played."""
        if not self.runs:
            return math.nan, math.nan
        tail, missed = (1 - LEVEL) / 2, self.runs - self.hits
        low = float(beta.ppf(tail, self.hits, missed + 1)) if self.hits else 0.0
        high = float(beta.ppf(1 - tail, self.hits + 1, missed)) if missed else 1.0
        return 100 * low, 100 * high

    @property
    def _seen(self) -> str:
        low, high = self.interval_pct
        return f"% of {self.runs:,} ({low:.2g} to {high:.3g})"

    def bar(self, what: str, *, at_most: float | None = None, at_least: float | None = None) -> Bar:
        return Bar(what, self.pct, self._seen, at_most, at_least)

    def upper_bar(self, what: str, at_most: float) -> Bar:
        """Of the upper end of the interval."""
        return Bar(f"{what}: upper end of 95 %", self.interval_pct[1], f"% of {self.runs:,}", at_most)


def failed(played: Sequence[Played]) -> Share:
    return Share(sum(one.ended.failed_at is not None for one in played), len(played))


def promoted(played: Sequence[Played]) -> Share:
    """Promoted, and not failed before or later."""
    ends = [one.ended for one in played]
    return Share(sum(end.promoted_at is not None and end.failed_at is None for end in ends), len(ends))


def ever_promoted(played: Sequence[Played]) -> Share:
    return Share(sum(one.ended.promoted_at is not None for one in played), len(played))


def promoted_before(played: Sequence[Played], look: int) -> Share:
    """Promoted before a fault began."""
    return Share(sum((one.ended.promoted_at or look) < look for one in played), len(played))


def held_for(played: Sequence[Played], words: str) -> Share:
    """Neither promoted nor rolled back, for a reason that holds the words."""
    ends = [one.ended for one in played]
    hits = sum(words in end.held and not (end.promoted_at or end.failed_at) for end in ends)
    return Share(hits, len(ends))


def mean_bar(what: str, values: Sequence[float], unit: str, at_most: float | None = None, scale: float = 1.0) -> Bar:
    """With the standard error of the simulation."""
    if len(values) < 2:
        return Bar(what, math.nan, unit, at_most)
    error = statistics.stdev(values) / math.sqrt(len(values)) / scale
    return Bar(what, statistics.fmean(values) / scale, f"{unit} (s.e. {error:.2g})", at_most)


def median_bar(what: str, values: Sequence[float], unit: str, at_most: float | None = None) -> Bar:
    """With its 95 % interval, from the order statistics a root of n beside the middle."""
    if len(values) < 2:
        return Bar(what, math.nan, unit, at_most)
    ordered, half, middle = sorted(values), math.sqrt(len(values)), len(values) / 2
    low, high = ordered[max(int(middle - half), 0)], ordered[min(int(middle + half), len(values) - 1)]
    return Bar(what, statistics.median(values), f"{unit} ({low:g} to {high:g})", at_most)


def minutes_to_fail(scenario: Scenario, played: Sequence[Played]) -> list[float]:
    """From the first look at live traffic; of those that got there."""
    offset = 0 if scenario.steps else 1  # a look that leads to the first step is still one of shadow
    ends = ((one.ended.exposed_at, one.ended.failed_at) for one in played)
    return [(back - first + offset) * scenario.look_s / 60 for first, back in ends if first and back]


def minutes_to_promote(scenario: Scenario, played: Sequence[Played]) -> list[float]:
    """From the first look; infinite where it never came, so that the median is one of all releases."""
    return [(one.ended.promoted_at or math.inf) * scenario.look_s / 60 for one in played]


def minutes_after_onset(scenario: Scenario, played: Sequence[Played]) -> list[float]:
    """From when the fault begins to when it is found, of releases that had not failed before; infinite for never."""
    before = scenario.candidate.onset - 1
    backs = [one.ended.failed_at or math.inf for one in played]
    return [(back - before) * scenario.look_s / 60 for back in backs if back > before]
