"""Limits for each client: how many requests a second, and how many at once.

The rate is kept by the generic cell rate algorithm (ITU-T I.371): a token bucket whose whole state is one time, that at
which the bucket will be full again. So a client costs one float, and one whose time has passed need not be remembered.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from serving.refusals import Refusal, RefusedError
from serving.settings import ClientLimits

_CLIENTS_MAX: Final = 10_000
_BUSY_RETRY_S: Final = 1


class ClientCounts:
    """The current use of one replica by its clients. ``enter`` and ``leave`` go together.

    At most 10,000 clients' rates are remembered. Beyond that, those that have been away longest are forgotten: their
    buckets are almost always full by then, and an attacker with so many addresses gains at most one burst for each.
    """

    def __init__(self, limits: ClientLimits, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._interval_s = 1 / limits.rate_per_s if limits.rate_per_s else 0.0
        self._ahead_s = self._interval_s * (limits.burst - 1)
        self._concurrent_max = limits.concurrent
        self._full_at_s: OrderedDict[str, float] = OrderedDict()
        self._active: dict[str, int] = {}

    def enter(self, client: str) -> None:
        """Raises RefusedError: 429 with Retry-After."""
        if self._concurrent_max is not None and self._active.get(client, 0) >= self._concurrent_max:
            raise _refused(Refusal.CONCURRENCY, f"at most {self._concurrent_max} requests at once", _BUSY_RETRY_S)
        if self._interval_s:
            self._take(client)
        if self._concurrent_max is not None:
            self._active[client] = self._active.get(client, 0) + 1

    def leave(self, client: str) -> None:
        if self._concurrent_max is None:
            return
        left = self._active[client] - 1
        if left:
            self._active[client] = left
        else:
            del self._active[client]

    def _take(self, client: str) -> None:
        now_s = self._monotonic_s()
        full_at_s = max(self._full_at_s.pop(client, now_s), now_s)
        early_s = full_at_s - now_s - self._ahead_s
        taken = early_s <= 0
        self._full_at_s[client] = full_at_s + self._interval_s if taken else full_at_s
        if len(self._full_at_s) > _CLIENTS_MAX:
            self._full_at_s.popitem(last=False)
        if not taken:
            raise _refused(Refusal.RATE, f"at most {1 / self._interval_s:g} requests a second", math.ceil(early_s))


def _refused(refusal: Refusal, message: str, retry_s: int) -> RefusedError:
    return RefusedError(refusal, 429, "too_many_requests", message, {"retry-after": str(max(1, retry_s))})
