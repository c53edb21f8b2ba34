"""Lags: how far behind the newest items others have come lately, as weights in bins. Old weights fade."""

import bisect
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_FINEST_S: Final = 60.0
_GROWTH: Final = 1.3  # each edge over the one before it, up to about a month
EDGES_S: Final = tuple(itertools.takewhile(lambda edge: edge < 3.5e6, (_FINEST_S * _GROWTH**n for n in range(99))))


@dataclass(frozen=True, slots=True)
class Lags:
    """Weights by ``EDGES_S``: of lags up to the first edge, above it up to the second, and so on (longer lags are in
    the last bin); empty before the first lag."""

    weights: tuple[float, ...] = ()

    def add(self, lags_s: Sequence[float], half_life: float) -> "Lags":
        """Return the weights with these lags added; after ``half_life`` further lags a weight is halved."""
        if not lags_s:
            return self
        kept = 0.5 ** (len(lags_s) / half_life)
        weights = [weight * kept for weight in self.weights or (0.0,) * len(EDGES_S)]
        for lag_s, number in Counter(lags_s).items():  # nearly all are 0
            weights[min(bisect.bisect_left(EDGES_S, lag_s), len(EDGES_S) - 1)] += number
        return Lags(tuple(weight if weight > 1e-9 else 0.0 for weight in weights))

    def quantile(self, share: float) -> float:
        """Return the lag, in seconds, that at least ``share`` of the weight does not exceed: the upper edge of its bin;
        0 for the first bin, or without any lag."""
        wanted = share * sum(self.weights)
        for place, reached in enumerate(itertools.accumulate(self.weights)):
            if reached >= wanted:
                return EDGES_S[place] if place else 0.0
        return 0.0
