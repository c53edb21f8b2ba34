"""The evidence that some time may add at the most, so that no incident decides alone, however often one looks.

A cap of each look would let an incident of half a minute decide where looks are ten seconds apart, and not where they
are a minute apart. So the looks of a spell, as long as one incident may last, count together as one look of that length
would: no more than ``most``. For a product ``B`` of factors of an e-process ``min(B, c)`` is none that grows (it is
concave), so that the test stays valid at each look within a spell, too. Looks as long as a spell are one each.
"""

import math
from dataclasses import dataclass
from typing import Final

from gates.quick import quick

_ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Spell:
    """The looks since the last full spell: the log evidence that they said, and how much of it is over."""

    said: float = 0.0
    filled: float = 0.0

    @property
    def begins(self) -> bool:
        return not self.filled


@quick
@dataclass(frozen=True, slots=True)
class Cap:
    """The log evidence that one incident of up to ``incident_s`` may add; of 0 seconds, that one look may."""

    most: float = math.inf
    incident_s: float = 0.0

    def count(self, spell: Spell, said: float, length_s: float) -> tuple[float, Spell]:
        """The part of the log evidence of a look of so many seconds that counts, and the spell after it."""
        said, filled = spell.said + said, spell.filled + part_of(self.incident_s, length_s)
        counted = min(said, self.most) - min(spell.said, self.most)
        return counted, NO_SPELL if filled > 1 - _ROUNDING else Spell(said, filled)


NO_CAP: Final = Cap()
NO_SPELL: Final = Spell()


def part_of(incident_s: float, length_s: float) -> float:
    """The part of the time that an incident may last which a look covers; at most 1, which is a look's where no such
    time is known."""
    return min(length_s / incident_s, 1.0) if incident_s else 1.0
