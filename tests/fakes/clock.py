"""Time that passes only when a test says so."""


class FakeClock:
    """Implements ``Clock``."""

    def __init__(self, now_s: float = 1_800_000_000.0) -> None:
        self._now_s = now_s
        self._passed_s = 0.0

    def now_s(self) -> float:
        return self._now_s

    def monotonic_s(self) -> float:
        return self._passed_s

    def pass_s(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds} s")
        self._now_s += seconds
        self._passed_s += seconds

    def step(self, seconds: float) -> None:
        """Somebody sets the clock, forward or back: no time passes."""
        self._now_s += seconds
