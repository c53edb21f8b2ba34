"""The cap on the evidence that one incident may add, so that no incident decides alone, however often one looks.

A cap on each look would let an incident of half a minute decide where looks are ten seconds apart, but not where they
are a minute apart. So the looks of a *spell*, a time as long as one incident may last, together add at most ``most``,
as one look of that length would. A look at least as long as a spell is a spell of its own. Of a product ``B`` of
factors of an e-process, ``min(B, c)`` does not grow on average either, because it is concave in ``B``: the test stays
valid at each look, within a spell too.
"""

import math
from dataclasses import dataclass
from typing import Final

from gates.quick import quick

_ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Spell:
    """The spell under way: the log evidence of its looks so far, and the part of its time that is over."""

    said: float = 0.0
    filled: float = 0.0

    @property
    def begins(self) -> bool:
        return not self.filled


@quick
@dataclass(frozen=True, slots=True)
class Cap:
    """The ``most`` log evidence that an incident of up to ``incident_s`` may add; for 0 seconds, that one look may."""

    most: float = math.inf
    incident_s: float = 0.0

    def count(self, spell: Spell, said: float, length_s: float) -> tuple[float, Spell]:
        """Return the part of ``said``, the log evidence of a look of ``length_s``, that counts, and the next spell."""
        said, filled = spell.said + said, spell.filled + part_of(self.incident_s, length_s)
        counted = min(said, self.most) - min(spell.said, self.most)
        return counted, NO_SPELL if filled > 1 - _ROUNDING else Spell(said, filled)


NO_CAP: Final = Cap()
NO_SPELL: Final = Spell()


def part_of(incident_s: float, length_s: float) -> float:
    """Return the part of an incident's time that a look covers, at most 1; 1 where ``incident_s`` is 0."""
    return min(length_s / incident_s, 1.0) if incident_s else 1.0
