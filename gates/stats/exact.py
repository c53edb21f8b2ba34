"""Exact tests and bounds for one look, such as that of a deadline that was fixed before the release started."""

from collections.abc import Sequence

from scipy.special import bdtr, betainc, betaincinv


def upper_tail(successes: int, trials: float, probability: float) -> float:
    """Return P(X >= successes) of a binomial: the one-sided p-value against "at most ``probability``".

    For trials that are no whole number, it lies between the values for the next lower and the next higher one.
    """
    if successes <= 0:
        return 1.0
    return float(betainc(successes, trials - successes + 1, probability))


def share_bounds(successes: int, trials: int, alpha: float) -> tuple[float, float]:
    """Return the Clopper-Pearson bounds on a probability, each wrong with probability at most ``alpha / 2``."""
    low = float(betaincinv(successes, trials - successes + 1, alpha / 2)) if successes > 0 else 0.0
    high = float(betaincinv(successes + 1, trials - successes, 1 - alpha / 2)) if successes < trials else 1.0
    return low, high


def median_bounds(ordered: Sequence[float], alpha: float) -> tuple[float, float] | None:
    """Return two order statistics with the median between them, with probability at least ``1 - alpha``, whatever the
    distribution.

    ``ordered``: in ascending order. ``None`` where even the smallest and the largest do not (fewer than 6 at 95 %).
    """
    count, place = len(ordered), 0
    while 2 * (place + 1) <= count and bdtr(place, count, 0.5) <= alpha / 2:
        place += 1
    return (ordered[place - 1], ordered[count - place]) if place else None
