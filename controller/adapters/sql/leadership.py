"""The lease in one row: who holds it, its fence, and a heartbeat counter that grows while the holder lives."""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Row, select, true, update

from controller.adapters.sql.database import Database
from controller.adapters.sql.schema import journal_head, leadership
from controller.errors import ConflictError, Source
from controller.ports.leadership import Held, Lease

_SOURCE: Final = Source.LEADERSHIP
_COLUMNS: Final = leadership.c
_ROW: Final = select(leadership, journal_head.c.fence.label("written")).join(journal_head, true())


class SqlLeadership:
    """``controller.ports.leadership.Leadership`` on SQL. Any thread may use it."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        """``monotonic``: seconds by a clock that never goes back."""
        self._database = database
        self._monotonic = monotonic
        self._seen: tuple[tuple[int, int], float] | None = None  # another's fence and beat, and since when
        self._lock = threading.Lock()

    def acquire(self, holder: str, *, lease_s: float) -> Lease | Held:
        with self._lock:
            asked_s = self._monotonic()
            with self._database.read(_SOURCE) as connection:
                row = connection.execute(_ROW).one()
            if row.holder not in (None, holder) and not self._expired(row, asked_s):
                return Held(row.holder)
            taken = self._take(row, holder, lease_s)
            self._seen = None
            return taken or self._who(row)

    def renew(self, lease: Lease) -> None:
        with self._database.write(_SOURCE) as connection:  # a beat that a power cut takes is no loss
            beat = update(leadership).where(*_held_by(lease)).values(beat=_COLUMNS.beat + 1)
            if connection.execute(beat).rowcount != 1:
                said = f"another controller has taken the lease of {lease.holder} (fence {lease.fence})"
                raise ConflictError(Source.LEADERSHIP, said)

    def release(self, lease: Lease) -> None:
        with self._database.write_durably(_SOURCE) as connection:
            connection.execute(update(leadership).where(*_held_by(lease)).values(holder=None))

    def _expired(self, row: Row[Any], asked_s: float) -> bool:
        """Return whether this beat was seen as long ago as the holder promised another. Counted from after the first
        sight to before this one, so that what the database takes to answer never shortens it."""
        mark = (row.fence, row.beat)
        if self._seen is None or self._seen[0] != mark:
            self._seen = (mark, self._monotonic())
        return bool(asked_s - self._seen[1] >= row.lease_s)

    def _take(self, row: Row[Any], holder: str, lease_s: float) -> Lease | None:
        """The lease; None if another controller was quicker, or the holder has sent a heartbeat after all."""
        as_seen = (
            _COLUMNS.fence == row.fence,
            _COLUMNS.beat == row.beat,
            _COLUMNS.holder.is_not_distinct_from(row.holder),
        )
        fence = max(row.fence, row.written) + 1  # of who led by other means, too
        values = {"holder": holder, "fence": fence, "beat": 0, "lease_s": lease_s}
        with self._database.write_durably(_SOURCE) as connection:
            taken = connection.execute(update(leadership).where(*as_seen).values(values)).rowcount == 1
            if taken:  # from here on the journal refuses whoever wrote before
                connection.execute(update(journal_head).values(fence=fence))
        return Lease(holder, fence, lease_s) if taken else None

    def _who(self, seen: Row[Any]) -> Held:
        with self._database.read(_SOURCE) as connection:
            holder = connection.execute(select(_COLUMNS.holder)).scalar_one()
        return Held(holder or seen.holder or "another")


def _held_by(lease: Lease) -> tuple[Any, ...]:
    return (_COLUMNS.fence == lease.fence, _COLUMNS.holder == lease.holder)
