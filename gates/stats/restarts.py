"""Evidence that begins anew from time to time, so that what begins late is found nearly as soon as what begins at once.

For each time at which one could begin to bet, fixed in advance, the capital from then on is a supermartingale that
starts at 1; so is their mean by weights that add up to 1 (an e-detector: Shin, Ramdas & Rinaldo, arXiv:2203.03532, with
weights over an endless life in place of a rate of alarms). The n-th start has the weight ``1 / (n (n + 1))``. Only some
starts are kept, by their numbers alone: of those long ago fewer and fewer. To leave one out only loses evidence.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gates.stats.betting import Trinomial

SHARE: Final = 0.1  # of the level, for all starts but the first
_EVERY_S: Final = 240.0
_NEAR: Final = 4  # so many of the newest are kept, and as many of each octave before


@dataclass(frozen=True, slots=True)
class Start:
    """A time to begin at: its number, from 1, and what was counted before it."""

    number: int
    before: Trinomial


@dataclass(frozen=True, slots=True)
class Late:
    """The start that the evidence is mostly of: all log evidence together, and what was counted since."""

    log_e: float
    since: Trinomial | None  # None: since the beginning of all


@dataclass(frozen=True, slots=True)
class Restarts:
    """The starts that are kept; ``due_s``: when the next one is, and None before the first look."""

    starts: tuple[Start, ...] = ()
    number: int = 0
    due_s: float | None = None

    def begin(self, start_s: float, counts: Trinomial) -> "Restarts":
        """At a look whose window begins at ``start_s``, with what was counted before it."""
        if self.due_s is None:
            return Restarts(self.starts, self.number, start_s + _EVERY_S)
        if start_s < self.due_s:
            return self
        number = self.number + 1
        kept = [start for start in self.starts if _is_kept(start.number, number)]
        return Restarts((*kept, Start(number, counts)), number, start_s + _EVERY_S)

    def forgotten(self) -> "Restarts":
        """Without the starts so far: what was counted since them tells nothing."""
        return Restarts((), self.number, self.due_s)

    def with_all(
        self, log_e: float, counts: Trinomial, log_es_of: Callable[[Sequence[Trinomial]], Sequence[float]]
    ) -> Late:
        """Return the evidence of all starts, of which ``log_e`` is the first one's. ``log_es_of``: that of what was
        counted since each of the others."""
        counted = [counts - start.before for start in self.starts]
        weights = [math.log(SHARE / (start.number * (start.number + 1))) for start in self.starts]
        parts: list[tuple[float, Trinomial | None]] = [(math.log1p(-SHARE) + log_e, None)]
        found = zip(weights, log_es_of(counted), counted, strict=True)
        parts += [(weight + of_start, since) for weight, of_start, since in found]
        top, most = max(parts, key=lambda part: part[0])
        return Late(top + math.log(math.fsum(math.exp(part - top) for part, _ in parts)), most)


def _is_kept(number: int, newest: int) -> bool:
    octave = max((newest - number) // _NEAR, 1).bit_length() - 1
    return number % (1 << octave) == 0
