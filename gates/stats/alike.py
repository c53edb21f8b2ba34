"""The design effect of values that may have either sign: of pairs lost and won, of changes of a confidence.

Texts that are alike come together: a form that many users send, the variants of a bot, one user's session. A version
answers them alike, so they are lost together or won together, and many of them say as little as a few. This shows as it
does for errors (`gates.stats.spread`): sums of looks differ from each other by more than those of single values would.

    u = sum d - m n,  with the variance  v = sum d^2  if values come one by one

for the ``n`` values ``d`` of a look, in units of their root mean square, and the mean ``m`` of the values before the
look: a loss that is there from the start takes no part. Evidence that is divided by an effect of 1 or more is at most
what it was, or 0, so a test of independent values stays valid whatever the estimate is.

The first looks do not show how values come, so two things hold evidence back. The effect is multiplied by a factor
whose excess over 1 fades with the cube of the number of looks. And what the labels of one incident's time may add to
evidence of harm grows from a little to most of what decides: the labels of one such time never decide alone, nor do
those of a few minutes.
"""

import math
from dataclasses import dataclass, field
from typing import Final

from gates.quick import quick
from gates.stats.spread import Blocks, Caution, Spread

_CAUTION: Final = Caution(prior_events=4.0, errors=2.0)
_PRIOR_VALUES: Final = 20.0  # values of mean 0 that count as seen before the first
_FIRST_LOOKS: Final = 10.0  # the effect is multiplied by 1 + (this over the number of looks)^3
_PART_AT_FIRST: Final = 0.08  # of what decides: one incident's time may add this times the number of such times so far
_PART_MAX: Final = 0.6  # but no more than this


@quick
@dataclass(frozen=True, slots=True)
class Alike:
    """The values so far (their number, sum and sum of squares), and how far sums of looks are apart. ``spells``: how
    many incidents' times they cover; infinite where nothing is held back at first."""

    count: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    spells: float = 0.0
    spread: Spread = field(default_factory=Spread)

    def add(self, count: float, total: float, squares: float) -> "Alike":
        """Return the state with the values of a look, or of as much time: their number, their sum, and the sum of their
        squares. Values that are all 0 say nothing."""
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
        """Return how many values count as one, with the doubt of the first looks; at least 1."""
        return self.doubted(_FIRST_LOOKS)

    def doubted(self, first_looks: float) -> float:
        """Return how many values count as one, with the doubt that ``first_looks`` gives (`_FIRST_LOOKS`)."""
        return self.seen * (1 + (first_looks / max(self.spread.single.full, self.spells, 1.0)) ** 3)

    @property
    def seen(self) -> float:
        """Return how many values count as one, without that doubt; at least 1."""
        spread = self.spread
        return max(1.0, *(_believed(part, spread.known) for part in (spread.single, spread.several)))

    @property
    def learnt(self) -> float:
        """Return the effect that was found, for a state that begins anew; at least 1."""
        return self.spread.learnt

    @property
    def could_have_decided(self) -> bool:
        """Return whether all that `may_add` allows would already have sufficed to decide an incident's time ago."""
        return _PART_AT_FIRST * self.spells * (self.spells - 1) / 2 >= 1

    def may_add(self, before: "Alike") -> float:
        """Return the part of the deciding evidence that may be added since ``before``."""
        if math.isinf(self.spells):
            return math.inf
        return min(_PART_AT_FIRST * self.spells, _PART_MAX) * (self.spells - before.spells)

    def left(self, before: "Alike", peak: float) -> float:
        """Return what is left of ``peak``, the highest log evidence at ``before``, where the effect has grown since."""
        return min(before.effect / self.effect, 1.0) * peak

    def raised(self, before: "Alike", peak: float, log_e: float, alpha: float) -> float:
        """Return the highest log evidence of harm after a look that shows ``log_e``, where ``peak`` is left of the one
        before: it grows by no more than `may_add` allows since ``before``, of what decides at ``alpha``."""
        return max(peak, min(log_e, peak - math.log(alpha) * self.may_add(before)))


def _believed(part: Blocks, known: float) -> float:
    """Return the effect that blocks of looks show: with caution where chance might show as much, else without."""
    measured = part.measured(known, _CAUTION.prior_events)
    cautious = part.cautious(measured, known, _CAUTION)
    return measured if cautious**2 >= measured else cautious
