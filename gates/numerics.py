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
    """Where ``excess`` turns from negative (at ``inside``) to positive (towards ``outside``), erring to the outside.

    ``step`` is a guess of the distance: it is doubled until it goes far enough. The rest is false position (Illinois),
    until the answer is known to a hundredth of its distance. It is ``outside`` itself where ``excess`` is negative
    everywhere up to it.
    """
    start, below, length = inside, excess(inside), abs(outside - inside)
    away = 1 if outside > inside else -1
    while (over := excess(reached := start + away * min(step, length))) < 0:
        if step >= length:
            return outside
        inside, below, step = reached, over, 2 * step
    while abs(reached - inside) > tolerance * abs(reached - start):
        part = min(max(below / (below - over), 0.1), 0.9)  # over may be infinite
        middle = inside + part * (reached - inside)
        value = excess(middle)
        if value < 0:
            inside, below, over = middle, value, over / 2
        else:
            reached, over, below = middle, value, below / 2
    return reached


def samples_to_settle(samples: int, log_e: float, log_threshold: float) -> int | None:
    """About how many samples in all settle a test that has gathered ``log_e`` so far and goes on at this rate."""
    if samples <= 0 or log_e <= 0:
        return None
    return max(samples + 1, math.ceil(samples * log_threshold / log_e))
