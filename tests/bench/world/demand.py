"""Who asks: how many requests each version gets in a look, and under which conditions."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from serving.contract import USER_PARTS
from tests.bench.world.latency import Speeds
from tests.bench.world.weather import Weather


@dataclass(frozen=True, slots=True)
class Demand:
    """What one version gets of users in one look, if it were stable."""

    requests: int
    error_ratio: float
    speeds: Speeds
    kinds: NDArray[np.float64]  # shares of the kinds of requests
    parts: tuple["Demand", ...] = ()  # the same by parts of the users, where these keep to a version


class Users(Protocol):
    def look(self, place: int, share: float) -> tuple[Demand, Demand]:
        """Of stable and of the candidate, which gets ``share``, at look ``place + 1``."""


class Anyone:
    """Each request goes to a version by itself."""

    def __init__(
        self, rng: np.random.Generator, weather: Weather, kinds: NDArray[np.float64], look_s: float, share_factor: float
    ) -> None:
        self._rng, self._weather, self._kinds = rng, weather, kinds
        self._look_s, self._share_factor = look_s, share_factor

    def look(self, place: int, share: float) -> tuple[Demand, Demand]:
        weather = self._weather
        requests = int(self._rng.poisson(weather.requests_per_s[place] * self._look_s))
        to_candidate = int(self._rng.binomial(requests, min(share * self._share_factor, 1.0)))
        error, speeds = float(weather.error_ratio[place]), ((1.0, float(weather.slowness[place])),)
        stable, candidate = (
            Demand(count, error, speeds, self._kinds[place]) for count in (requests - to_candidate, to_candidate)
        )
        return stable, candidate


@dataclass(frozen=True, slots=True)
class Crowd:
    """Users who keep to one version: few send most, in sessions, and each has its own errors, latency and hardness.

    How much a user sends is Pareto-distributed; a tenth of the users is there at a time. ``kinds`` has two entries:
    what is easy, and what is hard; a user differs from another in how much of the latter it asks.
    """

    users: int = 2_000
    shape: float = 1.5  # of the Pareto law: the heaviest user sends some 4 % of all
    error_sd: float = 1.0  # of the log of a user's error ratio
    slow_sd: float = 0.2  # of the log of a user's latency
    hard: float = 0.1  # share of hard requests, from user to user by a beta law
    hard_concentration: float = 2.0
    there: float = 0.1  # of the users, at a look
    stays_looks: float = 5.0


_SPEEDS = 9  # steps of users' slowness


class Sticky:
    """The users of a crowd, dealt to the versions by a hash of theirs."""

    def __init__(self, rng: np.random.Generator, weather: Weather, look_s: float, crowd: Crowd) -> None:
        self._rng, self._weather, self._look_s, self._crowd = rng, weather, look_s, crowd
        count = crowd.users
        self._hash = rng.random(count)
        self._part = rng.permutation(count) % USER_PARTS
        sends = 1 + rng.pareto(crowd.shape, count)
        self._sends = sends / sends.sum() / crowd.there
        errors = np.exp(crowd.error_sd * rng.standard_normal(count))
        self._errors = errors / np.average(errors, weights=sends)
        steps = np.linspace(-2, 2, _SPEEDS)
        nearest = np.abs(rng.standard_normal(count)[:, None] - steps).argmin(axis=1)
        self._speed, self._slowness = np.eye(_SPEEDS)[nearest], np.exp(crowd.slow_sd * steps)
        hard = crowd.hard * crowd.hard_concentration, (1 - crowd.hard) * crowd.hard_concentration
        self._hard = rng.beta(*hard, count)
        self._there = rng.random(count) < crowd.there

    def look(self, place: int, share: float) -> tuple[Demand, Demand]:
        rng, crowd = self._rng, self._crowd
        goes = rng.random(crowd.users) < 1 / crowd.stays_looks
        self._there = np.where(goes, rng.random(crowd.users) < crowd.there, self._there)
        sends = self._sends * self._there * self._weather.requests_per_s[place] * self._look_s
        other = self._hash < share
        stable = [self._demand(place, np.where(other | (self._part != part), 0.0, sends)) for part in range(USER_PARTS)]
        return _together(stable), self._demand(place, np.where(other, sends, 0.0))

    def _demand(self, place: int, sends: NDArray[np.float64]) -> Demand:
        total, weather = float(sends.sum()), self._weather
        of = sends / total if total else np.full(len(sends), 1 / len(sends))
        hard, slowness = float(of @ self._hard), self._slowness * weather.slowness[place]
        return Demand(
            requests=int(self._rng.poisson(total)),
            error_ratio=min(float(weather.error_ratio[place] * (of @ self._errors)), 1.0),
            speeds=tuple(zip((of @ self._speed).tolist(), slowness.tolist(), strict=True)),
            kinds=np.array([1 - hard, hard]),
        )


def _together(parts: list[Demand]) -> Demand:
    """The requests of all parts as those of one version."""
    requests = sum(part.requests for part in parts)
    weights = [part.requests / requests if requests else 1 / len(parts) for part in parts]
    speeds = [(weight * of, slow) for part, weight in zip(parts, weights, strict=True) for of, slow in part.speeds]
    error_ratio = sum(weight * part.error_ratio for part, weight in zip(parts, weights, strict=True))
    kinds = sum((weight * part.kinds for part, weight in zip(parts, weights, strict=True)), np.zeros(2))
    return Demand(requests, error_ratio, tuple(speeds), kinds, tuple(parts))
