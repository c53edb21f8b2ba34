"""A lease in memory: controllers that share one ``LeaseRow`` compete for it."""

from collections.abc import Callable
from dataclasses import dataclass

from controller.errors import ConflictError, Source
from controller.ports.leadership import Held, Lease


@dataclass
class LeaseRow:
    holder: str | None = None
    fence: int = 0
    beat: int = 0
    lease_s: float = 0.0


class FakeLeadership:
    def __init__(self, row: LeaseRow | None = None, monotonic: Callable[[], float] = lambda: 0.0) -> None:
        self.row = row or LeaseRow()
        self._monotonic = monotonic
        self._seen: tuple[tuple[int, int], float] | None = None
        self.failure: Exception | None = None  # raised instead of an answer

    def acquire(self, holder: str, *, lease_s: float) -> Lease | Held:
        self._answer()
        row, now_s = self.row, self._monotonic()
        if row.holder not in (None, holder):
            if self._seen is None or self._seen[0] != (row.fence, row.beat):
                self._seen = ((row.fence, row.beat), now_s)
            if now_s - self._seen[1] < row.lease_s:
                return Held(row.holder or "")
        row.holder, row.fence, row.beat, row.lease_s = holder, row.fence + 1, 0, lease_s
        return Lease(holder, row.fence, lease_s)

    def renew(self, lease: Lease) -> None:
        self._answer()
        if (self.row.holder, self.row.fence) != (lease.holder, lease.fence):
            raise ConflictError(Source.LEADERSHIP, f"another controller has taken the lease of {lease.holder}")
        self.row.beat += 1

    def release(self, lease: Lease) -> None:
        self._answer()
        if (self.row.holder, self.row.fence) == (lease.holder, lease.fence):
            self.row.holder = None

    def _answer(self) -> None:
        if self.failure is not None:
            raise self.failure
