"""A service that is asked now and then and runs only while it is: what a call costs, and who waits for a start."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PerCall:
    """What a call costs on average. ``cold_ratio``: the share of calls that wait for a start."""

    cold_ratio: float
    billed_s: float

    def price(self, replica_hour_price: float) -> float:
        """Return the price of a call, in the currency of ``replica_hour_price``."""
        return self.billed_s * replica_hour_price / 3600


def per_call(calls_per_h: float, *, start_s: float, idle_s: float, answer_s: float) -> PerCall:
    """Return what a call costs where calls come at random moments (a Poisson process), a replica is ended ``idle_s``
    after the last answer, and is paid for from the moment it is asked for.

    A call waits for a start where the one before is longer ago than ``idle_s``: with probability exp(-rate * idle_s).
    What is paid after a call is the shorter of the gap to the next and ``idle_s``: (1 - exp(-rate * idle_s)) / rate on
    average. Answers are short beside both and are added as they are.
    """
    rate_per_s = calls_per_h / 3600
    cold_ratio = math.exp(-rate_per_s * idle_s)
    return PerCall(cold_ratio, (1 - cold_ratio) / rate_per_s + cold_ratio * start_s + answer_s)
