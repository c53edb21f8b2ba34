"""What happens to both versions alike, minute by minute: load, incidents, slowness."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]
REQUESTS_PER_S = 20.0
ERROR_RATIO = 0.001
_SLOWNESS_SD, _SLOWNESS_MEMORY = 0.1, 0.9  # of the log of the latency, from look to look


@dataclass(frozen=True, slots=True)
class Weather:
    """One entry a look."""

    requests_per_s: Series
    error_ratio: Series
    slowness: Series  # latency of both versions, times the usual


Forecast = Callable[[np.random.Generator, int], Weather]


def steady(rng: np.random.Generator, looks: int) -> Weather:
    """Constant demand; a load on the machines that both versions share makes the latency wander."""
    wander = rng.standard_normal(looks) * _SLOWNESS_SD
    for look in range(1, looks):
        wander[look] = _SLOWNESS_MEMORY * wander[look - 1] + np.sqrt(1 - _SLOWNESS_MEMORY**2) * wander[look]
    flat = np.ones(looks)
    return Weather(REQUESTS_PER_S * flat, ERROR_RATIO * flat, np.exp(wander))


def scarce(rng: np.random.Generator, looks: int) -> Weather:
    """0.1 requests a second: some 720 in two hours."""
    return _with(steady(rng, looks), requests_per_s=np.full(looks, 0.1))


def quiet(rng: np.random.Generator, looks: int) -> Weather:
    """2 requests a second."""
    return _with(steady(rng, looks), requests_per_s=np.full(looks, 2.0))


def bursts(rng: np.random.Generator, looks: int) -> Weather:
    """One minute in ten brings ten times the requests, a third more latency and five times the errors."""
    calm, burst = steady(rng, looks), rng.random(looks) < 0.1
    return _with(
        calm,
        requests_per_s=calm.requests_per_s * np.where(burst, 10, 1),
        slowness=calm.slowness * np.where(burst, 1.33, 1),
        error_ratio=calm.error_ratio * np.where(burst, 5, 1),
    )


def diurnal(rng: np.random.Generator, looks: int) -> Weather:
    """Demand swings between a fifth and nine fifths of the usual, twice in a release, and latency follows it."""
    calm = steady(rng, looks)
    phase = np.sin(2 * np.pi * (2 * np.arange(looks) / looks + rng.random()))
    return _with(
        calm, requests_per_s=calm.requests_per_s * (1 + 0.8 * phase), slowness=calm.slowness * (1 + 0.2 * phase)
    )


def incident(rng: np.random.Generator, looks: int) -> Weather:
    """Ten minutes, some time in the release, in which both versions fail 5 % of the requests and take three times as
    long."""
    calm = steady(rng, looks)
    first = int(rng.integers(5, looks - 10))
    during = (np.arange(looks) >= first) & (np.arange(looks) < first + 10)
    return _with(
        calm, error_ratio=np.where(during, 0.05, calm.error_ratio), slowness=calm.slowness * np.where(during, 3, 1)
    )


def _with(calm: Weather, **changed: Series) -> Weather:
    fields = {name: getattr(calm, name) for name in Weather.__slots__}
    return Weather(**(fields | changed))
