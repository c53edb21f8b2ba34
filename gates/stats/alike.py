"""The design effect of values that may have either sign: of pairs lost and won, of changes of a confidence.

Texts that are alike come together: a form that many users send, the variants of a bot, one user's session. Versions
answer them alike, so they are lost together or won together, and many of them say as little as a few. It shows as it
does of errors (`gates.stats.spread`): sums of looks differ from each other by more than those of single values would.

    u = sum d - m n,  with the variance  v = sum d^2  if values come one by one

for the ``n`` values ``d`` of a look, both in units of the values' mean square, and their mean ``m`` before it: a loss
that is there from the start takes no part. Evidence that is divided by an effect of 1 or more is at most what it was,
or 0, so a test of independent values stays valid whatever the estimate is.

The first looks do not tell how values come, so two things are held back: the effect is larger by a part that fades with
the cube of the number of looks; and what the labels of one incident's time may add to evidence of harm grows from a
little to most of what decides. So much of one time never decides alone, and labels of few minutes do not either.
"""

import math
from dataclasses import dataclass, field
from typing import Final

from gates.quick import quick
from gates.stats.spread import Blocks, Caution, Spread

_CAUTION: Final = Caution(prior_events=4.0, errors=2.0)
_PRIOR_VALUES: Final = 20.0  # of mean 0, before the first
_FIRST_LOOKS: Final = 10.0  # over their number, cubed: by how much more an effect is taken for
_PART_AT_FIRST: Final = 0.08  # of the evidence that decides: what one incident's time may add, for each one so far
_PART_MAX: Final = 0.6


@quick
@dataclass(frozen=True, slots=True)
class Alike:
    """The values so far, and how far sums of looks are apart. ``spells``: how many incidents' times they are of;
    infinite where nothing is held back at first."""

    count: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    spells: float = 0.0
    spread: Spread = field(default_factory=Spread)

    def add(self, count: float, total: float, squares: float) -> "Alike":
        """The values of a look, or of as much time: how many, their sum, and that of their squares. Where all are 0,
        they say nothing."""
        if not squares:
            return self
        mean = self.total / (self.count + _PRIOR_VALUES)
        count, total_after, squares_after = self.count + count, self.total + total, self.squares + squares
        unit = squares_after / count
        excess = (total - mean * (count - self.count)) / unit**0.5
        spread = self.spread.add_sums(excess, squares / unit)
        return Alike(count, total_after, squares_after, self.spells, spread)

    @property
    def effect(self) -> float:
        """The number of values that count as one, by what the first looks leave in doubt too; at least 1."""
        return self.doubted(_FIRST_LOOKS)

    def doubted(self, first_looks: float) -> float:
        """The same, where the first looks leave less in doubt."""
        return self.seen * (1 + (first_looks / max(self.spread.single.full, self.spells, 1.0)) ** 3)

    @property
    def seen(self) -> float:
        """The same by what was seen."""
        spread = self.spread
        return max(1.0, *(_believed(part, spread.known) for part in (spread.single, spread.several)))

    @property
    def learnt(self) -> float:
        """The same as it was found, for whoever begins anew."""
        return self.spread.learnt

    @property
    def could_have_decided(self) -> bool:
        """Return whether what `may_add` allows could have decided already, an incident's time ago."""
        return _PART_AT_FIRST * self.spells * (self.spells - 1) / 2 >= 1

    def may_add(self, before: "Alike") -> float:
        """The part of the evidence that decides which may come since ``before``."""
        if math.isinf(self.spells):
            return math.inf
        return min(_PART_AT_FIRST * self.spells, _PART_MAX) * (self.spells - before.spells)

    def left(self, before: "Alike", peak: float) -> float:
        """The log evidence that is left of what earlier looks showed at its highest, by what is known by now."""
        return min(before.effect / self.effect, 1.0) * peak

    def raised(self, before: "Alike", peak: float, log_e: float, alpha: float) -> float:
        """The highest log evidence of harm, of which ``peak`` is left and a look shows ``log_e``: it grows by no more
        than may come since ``before``, of what decides at ``alpha``."""
        return max(peak, min(log_e, peak - math.log(alpha) * self.may_add(before)))


def _believed(part: Blocks, known: float) -> float:
    """The effect that blocks of looks show: with caution where chance might show as much, and as it is beyond that."""
    measured = part.measured(known, _CAUTION.prior_events)
    cautious = part.cautious(measured, known, _CAUTION)
    return measured if cautious**2 >= measured else cautious
