"""The distance of a distribution from a reference, by counts of both in the same bins, and what it is at least.

The total variation between ``n`` independent observations in ``k`` bins and their true distribution exceeds

    sqrt((k - 1) / n) / 2 + sqrt(log(1 / alpha) / (2 n))

with probability at most ``alpha``: its mean is at most the first term (Cauchy-Schwarz over the bins' standard
deviations), and one observation changes it by at most ``1 / n`` (McDiarmid 1989). So if two samples are farther apart
than some distance plus both of these errors, their distributions are farther apart than that distance.
"""

import math
from collections.abc import Mapping


def distance(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """Return the total variation between two samples' shares, each of at least one observation: 0 same, 1 disjoint."""
    totals = sum(one.values()), sum(other.values())
    return sum(abs(one.get(name, 0) / totals[0] - other.get(name, 0) / totals[1]) for name in {*one, *other}) / 2


def error(observations: int, bins: int, alpha: float) -> float:
    """Return the total variation between observed and true shares that is exceeded with probability at most
    ``alpha``."""
    return min(math.sqrt((bins - 1) / observations) / 2 + math.sqrt(math.log(1 / alpha) / (2 * observations)), 1.0)


def spent_by(part: int, alpha: float) -> float:
    """Return the level of part number ``part``, from 1 on, of endlessly many parts that have ``alpha`` together."""
    return alpha / (part * (part + 1))
