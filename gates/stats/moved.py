"""The distance of a distribution from a reference, by counts of both in the same bins, and what it is at least.

The total variation between ``n`` independent observations of ``k`` bins and what they were drawn from exceeds

    sqrt((k - 1) / n) / 2 + sqrt(log(1 / alpha) / (2 n))

with probability at most ``alpha``: its mean is at most the first term (Cauchy-Schwarz over the bins' standard
deviations), and one observation changes it by at most ``1 / n`` (McDiarmid 1989). So two samples that are farther apart
than a distance and both errors were drawn from distributions that are farther apart than it.
"""

import math
from collections.abc import Mapping


def distance(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """The total variation between the two shares, each of one observation at least: 0 same, 1 disjoint."""
    totals = sum(one.values()), sum(other.values())
    return sum(abs(one.get(name, 0) / totals[0] - other.get(name, 0) / totals[1]) for name in {*one, *other}) / 2


def error(observations: int, bins: int, alpha: float) -> float:
    """Return how far the observed shares are from those they were drawn from, at most, but with probability
    ``alpha``."""
    return min(math.sqrt((bins - 1) / observations) / 2 + math.sqrt(math.log(1 / alpha) / (2 * observations)), 1.0)


def spent_by(part: int, alpha: float) -> float:
    """Return the level of the part with this number, from 1 on, of endlessly many that have ``alpha`` together."""
    return alpha / (part * (part + 1))
