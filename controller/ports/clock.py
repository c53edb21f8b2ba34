"""The clocks: the wall clock, and one that only goes forward."""

from typing import Protocol


class Clock(Protocol):
    def now_s(self) -> float:
        """Return the wall clock's time in unix seconds, for records. Somebody may set that clock back or forward."""

    def monotonic_s(self) -> float:
        """Return seconds that only grow, from an arbitrary zero of this process, to measure intervals."""
