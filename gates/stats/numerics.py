"""Small numbers: sums in the log domain, and roots of monotone functions."""

import math
from collections.abc import Callable, Sequence


def log_mean_exp(values: Sequence[float]) -> float:
    """The log of the mean of ``exp(values)``, without overflow."""
    top = max(values)
    return top + math.log(sum([math.exp(value - top) for value in values]) / len(values))


def boundary(
    excess: Callable[[float], float], inside: float, outside: float, step: float, *, tolerance: float = 0.01
) -> float:
    """Return where ``excess`` turns from negative (at ``inside``) to positive (towards ``outside``), erring to the
    outside.

    ``step`` is a guess of the distance: it is doubled until it goes far enough. The rest is false position (Illinois),
    until the distance is known to about a hundredth. Log evidence grows as the square of the distance, nearly, so the
    square is what is interpolated. The answer is ``outside`` where ``excess`` is negative everywhere up to it.
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
    """About how many samples in all settle a test that concludes nothing from fewer than ``least``; None where it has
    so many ``samples``, and nothing they show yet would ever settle it."""
    return None if needed is None and samples >= least else max(needed or 0, least)


def samples_to_settle(samples: int, log_e: float, log_threshold: float) -> int | None:
    """About how many samples in all settle a test that has gathered ``log_e`` so far and goes on at this rate."""
    if samples <= 0 or log_e <= 0:
        return None
    return max(samples + 1, math.ceil(samples * log_threshold / log_e))
