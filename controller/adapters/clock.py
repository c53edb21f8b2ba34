"""The real clock."""

import time


class SystemClock:
    """Implements the port ``Clock``."""

    def now_s(self) -> float:
        return time.time()

    def monotonic_s(self) -> float:
        return time.monotonic()
