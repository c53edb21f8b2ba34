"""How long the answers of one version take: counts by latency bucket, look by look.

The law is log-normal, whatever comes in runs: a version that is equal to stable has stable's law, minute by minute and
taken over all of its requests.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from controller.core.policy import ReleasePolicy
from serving.contract import latency_edges_ms

EDGES_MS = latency_edges_ms(ReleasePolicy("any").objectives_ms)
MEDIAN_MS, SPREAD = 40.0, 0.5  # of a log-normal latency; with the wander of the weather P95 is some 95 ms
STABLE_P95 = int(np.searchsorted(EDGES_MS, MEDIAN_MS * np.exp(1.645 * SPREAD)))
SLOW = 0.05  # the share of requests that come in runs
_LOG_EDGES = np.log(EDGES_MS)
_SECONDS = 60  # of a look

Counts = NDArray[np.int64]
Speeds = tuple[tuple[float, float], ...]
"""Of the requests: (a share, how much slower than usual it is)."""


class Latency(Protocol):
    """Of one version in one release; asked once for each look, in order."""

    def counts(self, answered: int, speeds: Speeds, share: float, /) -> Counts: ...


LatencyOf = Callable[[np.random.Generator], Latency]


def law(speeds: Speeds, spread: float = SPREAD) -> NDArray[np.float64]:
    """Probabilities of the latency buckets."""
    shares, slowness = (np.array(column) for column in zip(*speeds, strict=True))
    below = ndtr((_LOG_EDGES - np.log(MEDIAN_MS * slowness)[:, None]) / spread)
    found: NDArray[np.float64] = shares @ np.diff(below, prepend=0.0, append=1.0)
    return found


def _slower(speeds: Speeds, factor: float) -> Speeds:
    return tuple((share, slowness * factor) for share, slowness in speeds)


class Independent:
    """Each request by itself."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def counts(self, answered: int, speeds: Speeds, _share: float, /) -> Counts:
        return self._rng.multinomial(answered, law(speeds))


class Runs:
    """The slowest 5 % come in runs, as behind a collector's pause or a full queue; a run has a geometric length."""

    def __init__(self, rng: np.random.Generator, mean: float) -> None:
        self._rng, self._mean = rng, mean

    def counts(self, answered: int, speeds: Speeds, _share: float, /) -> Counts:
        rng, usual = self._rng, law(speeds)
        runs = int(rng.poisson(answered * SLOW / self._mean))
        slow = min(answered, int(rng.geometric(1 / self._mean, runs).sum()))
        above = np.clip(np.cumsum(usual) - (1 - SLOW), 0, usual)  # of each bucket, what is among the slowest
        return rng.multinomial(slow, above / above.sum()) + rng.multinomial(
            answered - slow, (usual - above) / (1 - above.sum())
        )


class Wander:
    """The latency wanders from second to second: an autoregression of the log, within the usual spread."""

    def __init__(self, rng: np.random.Generator, memory: float = 0.9, sd: float = 0.3) -> None:
        self._rng, self._memory, self._sd = rng, memory, sd
        self._own = float(np.sqrt(SPREAD**2 - sd**2))  # what is left for each request by itself
        self._last = sd * float(rng.standard_normal())

    def counts(self, answered: int, speeds: Speeds, _share: float, /) -> Counts:
        rng, fresh = self._rng, self._sd * np.sqrt(1 - self._memory**2)
        wander = []
        for step in (fresh * rng.standard_normal(_SECONDS)).tolist():
            self._last = self._memory * self._last + step
            wander.append(self._last)
        second = rng.integers(0, _SECONDS, answered)
        slowness = rng.choice([slow for _, slow in speeds], answered, p=[part for part, _ in speeds])
        took = np.log(MEDIAN_MS * slowness) + np.array(wander)[second] + self._own * rng.standard_normal(answered)
        return np.bincount(np.searchsorted(_LOG_EDGES, took), minlength=len(_LOG_EDGES) + 1)


class SmallArm(Independent):
    """A few per cent slower while it has less than half of the traffic: it batches less."""

    def __init__(self, rng: np.random.Generator, factor: float) -> None:
        super().__init__(rng)
        self._factor = factor

    def counts(self, answered: int, speeds: Speeds, share: float, /) -> Counts:
        return super().counts(answered, _slower(speeds, self._factor if share < 0.5 else 1.0), share)


class Scaled(Independent):
    """Replicas come and go: a new one is cold for a minute, and answers its part of the requests so much slower."""

    def __init__(self, rng: np.random.Generator, every_looks: float, replicas: int = 3, factor: float = 3.0) -> None:
        super().__init__(rng)
        self._chance, self._part, self._factor = 1 / every_looks, 1 / replicas, factor

    def counts(self, answered: int, speeds: Speeds, share: float, /) -> Counts:
        cold = self._part if self._rng.random() < self._chance else 0.0
        both = (*((cold * part, slow * self._factor) for part, slow in speeds),
                *(((1 - cold) * part, slow) for part, slow in speeds))  # fmt: skip
        return super().counts(answered, both, share)


class Cold(Independent):
    """Twice as slow for the first looks at each new share: its caches know nothing of what is asked now."""

    def __init__(self, rng: np.random.Generator, looks: float = 2.5, factor: float = 2.0) -> None:
        super().__init__(rng)
        self._looks, self._factor = looks, factor
        self._share, self._since = 0.0, 0

    def counts(self, answered: int, speeds: Speeds, share: float, /) -> Counts:
        self._since = self._since + 1 if share == self._share else 0
        self._share = share
        cold = min(max(self._looks - self._since, 0.0), 1.0)
        warm = tuple(((1 - cold) * part, slow) for part, slow in speeds)
        both = (*((cold * part, slow * self._factor) for part, slow in speeds), *warm)
        return super().counts(answered, both, share)
