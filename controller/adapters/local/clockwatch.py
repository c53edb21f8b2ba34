"""The watch for changes to this machine's clock. Nothing here depends on it, but later records carry another time."""

import time
from collections.abc import Callable
from typing import Final

_STEP_S: Final = 1.0  # less than that is drift, or the time between two readings


class ClockWatch:
    """Compares the wall clock with the monotonic one, which nobody can set."""

    def __init__(
        self, wall_s: Callable[[], float] = time.time, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall_s = wall_s
        self._monotonic_s = monotonic_s
        self._ahead_s = self._now_s()

    def step(self) -> str | None:
        """A sentence about a step since the last look, if there was one."""
        before_s, self._ahead_s = self._ahead_s, self._now_s()
        moved_s = self._ahead_s - before_s
        if abs(moved_s) < _STEP_S:
            return None
        way = "forward" if moved_s > 0 else "back"
        return (
            f"the clock of this machine was set {way} by {abs(moved_s):,.0f} s: nothing is ended or "
            "started because of that"
        )

    def _now_s(self) -> float:
        return self._wall_s() - self._monotonic_s()
