"""Lags: how far behind the newest things come, by what came lately. Weights in bins, of which old ones fade."""

import bisect
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_FINEST_S: Final = 60.0
_GROWTH: Final = 1.3  # of the bins, to a month
EDGES_S: Final = tuple(itertools.takewhile(lambda edge: edge < 3.5e6, (_FINEST_S * _GROWTH**n for n in range(99))))


@dataclass(frozen=True, slots=True)
class Lags:
    """Weights by ``EDGES_S``: at most the first edge, up to the second, and so on; empty before the first."""

    weights: tuple[float, ...] = ()

    def add(self, lags_s: Sequence[float], half_life: float) -> "Lags":
        """With these; after so many others what is here has half of its weight."""
        if not lags_s:
            return self
        kept = 0.5 ** (len(lags_s) / half_life)
        weights = [weight * kept for weight in self.weights or (0.0,) * len(EDGES_S)]
        for lag_s, number in Counter(lags_s).items():  # nearly all are 0
            weights[min(bisect.bisect_left(EDGES_S, lag_s), len(EDGES_S) - 1)] += number
        return Lags(tuple(weight if weight > 1e-9 else 0.0 for weight in weights))

    def quantile(self, share: float) -> float:
        """The lag, in seconds, that at least so large a share does not exceed: the upper edge of its bin; 0 where that
        is the first bin, or where there is none."""
        wanted = share * sum(self.weights)
        for place, reached in enumerate(itertools.accumulate(self.weights)):
            if reached >= wanted:
                return EDGES_S[place] if place else 0.0
        return 0.0
