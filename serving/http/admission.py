"""Admission of requests: a queue that is bounded, also in time if the settings say so.

The time a request would wait is what waits before it, in estimated tokens, times the pace at which the workers have
been answering. A queue that is bounded by count alone makes everyone late under overload; bounded by time, those who
are accepted are answered in time, and the rest know at once.

The bound in time is off by default: to the gates a refusal is an error, and a slow candidate must be found slow, not
unreliable.
"""

import math
from collections.abc import Sequence
from typing import Final

from serving.refusals import ApiError
from serving.settings import Limits

_CHARS_PER_TOKEN: Final = 4
_TOKENS_OF_A_TEXT: Final = 16  # its share of a call, special tokens included
_DECAY: Final = 0.95


class Admission:
    """Counts what waits. ``enter`` and ``leave`` go together.

    If there are several HTTP processes, each sees its own part of the queue, and assumes that the others are like
    it.
    """

    def __init__(self, limits: Limits, max_tokens: int, api_processes: int = 1, workers: int = 1) -> None:
        self._limits = limits
        self._requests_max = math.ceil(limits.queue_requests_max / api_processes)
        self._share = api_processes / workers
        self._max_tokens = max_tokens
        self._busy_s = 0.0
        self._done_tokens = 0.0
        self.requests = 0
        self.tokens = 0

    def cost(self, texts: Sequence[str]) -> int:
        """Estimated tokens."""
        return sum(min(self._max_tokens, len(text) // _CHARS_PER_TOKEN) + _TOKENS_OF_A_TEXT for text in texts)

    @property
    def wait_s(self) -> float:
        """Return how long a request that enters now will probably wait for those before it."""
        return self.tokens * self._share * self._busy_s / self._done_tokens if self._done_tokens else 0.0

    def check(self) -> None:
        """Refuse before anything is read.

        Raises:
            ApiError: 503 with Retry-After.
        """
        wait_ms_max = self._limits.wait_ms_max
        wait_s = self.wait_s
        late = wait_ms_max is not None and wait_s * 1000 > wait_ms_max
        if late or self.requests >= self._requests_max:
            retry_s = max(1, math.ceil(wait_s))
            raise ApiError(503, "overloaded", "too many requests are waiting", headers={"retry-after": str(retry_s)})

    def enter(self, cost: int) -> None:
        self.requests += 1
        self.tokens += cost

    def leave(self, cost: int) -> None:
        self.requests -= 1
        self.tokens -= cost

    def observe(self, busy_s: float, tokens: int) -> None:
        """A worker answered requests of this cost after this much work."""
        self._busy_s = self._busy_s * _DECAY + busy_s
        self._done_tokens = self._done_tokens * _DECAY + tokens
