"""What time it is."""

from typing import Protocol


class Clock(Protocol):
    def now_s(self) -> float:
        """Unix seconds."""
