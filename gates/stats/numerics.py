"""Numerical helpers: sums in the log domain, roots of monotone functions, and sample sizes."""

import math
from collections.abc import Callable, Sequence


def log_mean_exp(values: Sequence[float]) -> float:
    """Return the log of the mean of ``exp(values)``, without overflow."""
    top = max(values)
    return top + math.log(sum([math.exp(value - top) for value in values]) / len(values))


def boundary(
    excess: Callable[[float], float], inside: float, outside: float, step: float, *, tolerance: float = 0.01
) -> float:
    """Return the point where ``excess`` turns from negative (at ``inside``) to positive (towards ``outside``), rounded
    outwards; ``outside`` where ``excess`` is negative all the way.

    ``step`` is a guess of the distance: it is doubled until it goes far enough. The rest is false position (Illinois),
    until the relative error of the distance is about ``tolerance``. Log evidence grows nearly as the square of the
    distance, so the square is interpolated.
    """
    whole = (outside - inside) ** 2
    away = 1 if outside > inside else -1

    def point(square: float) -> float:
        return inside + away * math.sqrt(square) if square < whole else outside

    near, below, far = 0.0, excess(inside), min(step**2, whole)
    while (over := excess(point(far))) < 0:
        if far >= whole:
            return outside
        near, below, far = far, over, min(4 * far, whole)
    while far - near > 2 * tolerance * far:
        part = min(max(below / (below - over), 0.1), 0.9)  # over may be infinite
        middle = near + part * (far - near)
        value = excess(point(middle))
        if value < 0:
            near, below, over = middle, value, over / 2
        else:
            far, over, below = middle, value, below / 2
    return point(far)


def at_least(needed: int | None, least: int, samples: int) -> int | None:
    """Return about how many samples in all settle a test that needs ``needed`` of them, and at least ``least``.

    ``needed`` is None where nothing shows that the test will ever settle; so is the result, once ``samples`` reach
    ``least``.
    """
    return None if needed is None and samples >= least else max(needed or 0, least)


def samples_to_settle(samples: int, log_e: float, log_threshold: float) -> int | None:
    """Return about how many samples in all settle a test that gathered ``log_e`` from ``samples`` and goes on at this
    rate; None where it gathered nothing."""
    if samples <= 0 or log_e <= 0:
        return None
    return max(samples + 1, math.ceil(samples * log_threshold / log_e))
