"""Which texts are asked: places in the pool of what both versions answer to a kind of requests."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]


class Texts(Protocol):
    """Of one release, mirrored or live; asked for each look, in order."""

    def draw(self, size: int, count: int, /) -> Places:
        """So many texts, each one of ``size``."""


TextsOf = Callable[[np.random.Generator], Texts]


class OneByOne:
    """Each text by itself."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def draw(self, size: int, count: int, /) -> Places:
        return self._rng.integers(0, size, count)


class Alike(OneByOne):
    """Texts come in groups that each version answers alike, one after the other: a form, a campaign, a bot's variants.
    A group has a geometric size."""

    def __init__(self, rng: np.random.Generator, mean: float) -> None:
        super().__init__(rng)
        self._mean = mean

    def draw(self, size: int, count: int, /) -> Places:
        if not count:
            return super().draw(size, count)
        sizes = self._rng.geometric(1 / self._mean, count)
        return np.repeat(super().draw(size, count), sizes)[:count]


class AlikeForLong(OneByOne):
    """The same, of groups that come over so many looks in the mean, many at a time. For one kind of requests alone."""

    def __init__(self, rng: np.random.Generator, mean: float, looks: int) -> None:
        super().__init__(rng)
        self._mean, self._looks = mean, looks
        self._there = super().draw(1, 0)

    def draw(self, size: int, count: int, /) -> Places:
        if not len(self._there) and count:
            self._there = super().draw(size, max(round(count * self._looks / self._mean), 1))
        over = self._rng.random(len(self._there)) < 1 / self._looks
        self._there[over] = super().draw(size, int(np.count_nonzero(over)))
        return self._there[super().draw(len(self._there), count)] if count else self._there[:0]
