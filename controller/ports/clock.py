"""The time, by the wall and as it passes."""

from typing import Protocol


class Clock(Protocol):
    def now_s(self) -> float:
        """Unix seconds, for what is recorded: somebody may set them back or forward."""

    def monotonic_s(self) -> float:
        """Seconds that only grow, since some moment of this process's: what intervals are measured by."""
