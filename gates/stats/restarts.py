"""Evidence that begins anew from time to time, so that harm that begins late is found nearly as soon as early harm.

Times at which to begin to bet are fixed in advance. The capital from each such start on is a supermartingale that
starts at 1; so is the mean of these capitals, with weights that add up to 1 (an e-detector: Shin, Ramdas & Rinaldo,
arXiv:2203.03532, with weights over an endless life in place of a rate of alarms). The n-th start has the weight
``1 / (n (n + 1))``. Only some starts are kept, chosen by their numbers alone, and fewer the older they are. To leave a
start out only loses evidence.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gates.stats.betting import Trinomial

SHARE: Final = 0.1  # of the level, for all starts but the first
_EVERY_S: Final = 240.0  # between two starts, at least
_NEAR: Final = 4  # starts kept of the newest, and of each octave of ages before them


@dataclass(frozen=True, slots=True)
class Start:
    """A start: its number, from 1, and the counts before it."""

    number: int
    before: Trinomial


@dataclass(frozen=True, slots=True)
class Late:
    """The log evidence of all starts together, and the counts since the start with the largest part in it."""

    log_e: float
    since: Trinomial | None  # None: since the beginning


@dataclass(frozen=True, slots=True)
class Restarts:
    """The starts that are kept. ``number``: of the newest start; ``due_s``: unix time of the next one, and None before
    the first look."""

    starts: tuple[Start, ...] = ()
    number: int = 0
    due_s: float | None = None

    def begin(self, start_s: float, counts: Trinomial) -> "Restarts":
        """Return the starts at a look whose window begins at ``start_s`` (unix seconds), with ``counts`` before it: a
        new one is added if one is due."""
        if self.due_s is None:
            return Restarts(self.starts, self.number, start_s + _EVERY_S)
        if start_s < self.due_s:
            return self
        number = self.number + 1
        kept = [start for start in self.starts if _is_kept(start.number, number)]
        return Restarts((*kept, Start(number, counts)), number, start_s + _EVERY_S)

    def forgotten(self) -> "Restarts":
        """Return the state without the starts so far: the counts since them are no evidence."""
        return Restarts((), self.number, self.due_s)

    def with_all(
        self, log_e: float, counts: Trinomial, log_es_of: Callable[[Sequence[Trinomial]], Sequence[float]]
    ) -> Late:
        """Return the evidence of all starts. ``log_e``: that of the counts since the beginning; ``log_es_of``: returns
        that of the counts since each later start."""
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
