"""Which requests fail, of one version in one release."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True, slots=True)
class Failed:
    """Errors, and what caused them: each cause once."""

    errors: int
    causes: int


class Errors(Protocol):
    """Asked at each look for what users sent and for what was mirrored."""

    def failed(self, requests: int, ratio: float) -> Failed: ...

    def mishap(self, look: int, live: int, mirrored: int, /) -> tuple[int, int]:
        """Requests that fail of one more cause at this look: (live, mirrored)."""


ErrorsOf = Callable[[np.random.Generator, int], Errors]


class Independent:
    """Each request by itself."""

    def __init__(self, rng: np.random.Generator, looks: int) -> None:
        self._rng, self._looks = rng, looks

    def failed(self, requests: int, ratio: float) -> Failed:
        errors = int(self._rng.binomial(requests, ratio))
        return Failed(errors, errors)

    def mishap(self, _look: int, _live: int, _mirrored: int, /) -> tuple[int, int]:
        return 0, 0


class Clusters(Independent):
    """Errors come together, so many at a time in the mean (a geometric number), at the same rate."""

    def __init__(self, rng: np.random.Generator, looks: int, mean: float) -> None:
        super().__init__(rng, looks)
        self._mean = mean

    def failed(self, requests: int, ratio: float) -> Failed:
        causes = int(self._rng.poisson(requests * ratio / self._mean)) if requests else 0
        errors = min(requests, int(self._rng.geometric(1 / self._mean, causes).sum()))
        return Failed(errors, min(causes, errors))


class LostReplica(Independent):
    """Once, at some look, a replica is lost with all that it is answering."""

    def __init__(self, rng: np.random.Generator, looks: int, in_flight: int = 10) -> None:
        super().__init__(rng, looks)
        self._at, self._in_flight = int(rng.integers(1, looks + 1)), in_flight

    def mishap(self, look: int, live: int, mirrored: int, /) -> tuple[int, int]:
        lost = min(self._in_flight, live + mirrored) if look == self._at else 0
        of_users = int(self._rng.hypergeometric(live, mirrored, lost)) if lost else 0
        return of_users, lost - of_users
