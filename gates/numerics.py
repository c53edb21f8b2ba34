"""Small numbers: sums in the log domain, and roots of monotone functions."""

import math
from collections.abc import Callable, Sequence


def log_mean_exp(values: Sequence[float]) -> float:
    """The log of the mean of ``exp(values)``, without overflow."""
    top = max(values)
    return top + math.log(sum([math.exp(value - top) for value in values]) / len(values))


def boundary(
    accepts: Callable[[float], bool], inside: float, outside: float, step: float, *, halvings: int = 8
) -> float:
    """Where ``accepts`` turns from true (at ``inside``) to false (towards ``outside``), erring to the outside.

    ``step`` is a guess of the distance: it is doubled until it goes far enough, and the last stretch is then halved
    ``halvings`` times. The answer is ``outside`` itself where everything up to it is accepted.
    """
    away = 1 if outside > inside else -1
    while accepts(reached := inside + away * min(step, abs(outside - inside))):
        if reached == outside or step >= abs(outside - inside):
            return outside
        inside, step = reached, 2 * step
    for _ in range(halvings):
        middle = (inside + reached) / 2
        if accepts(middle):
            inside = middle
        else:
            reached = middle
    return reached


def samples_to_settle(samples: int, log_e: float, log_threshold: float) -> int | None:
    """About how many samples in all settle a test that has gathered ``log_e`` so far and goes on at this rate."""
    if samples <= 0 or log_e <= 0:
        return None
    return max(samples + 1, math.ceil(samples * log_threshold / log_e))
