"""The leadership of this controller: only one controller of a database works at a time, and the others stand by."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from controller.errors import ConflictError, Source, TransientError
from controller.ports.leadership import Held, Leadership, Lease

log = logging.getLogger(__name__)

_TURNS: Final = 4  # turns in each lease_s: in each one a beat is given, or the lease is asked for


def _nothing() -> None:
    """Do nothing: the default callback."""


class Leader:
    """The holder of the lease for one controller process. A process that has lost the lease never takes it again: its
    state is out of date, and the process ends."""

    def __init__(
        self,
        leadership: Leadership,
        holder: str,
        *,
        lease_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``holder``: a name that no other process uses at this time."""
        self._leadership = leadership
        self._holder = holder
        self._taken: Callable[[], None] = _nothing
        self._lost: Callable[[], None] = _nothing
        self._lease_s = lease_s
        self._monotonic = monotonic
        self._turning = threading.Lock()
        self._lease: Lease | None = None
        self._renewed_s = 0.0  # when the last successful turn began, by the monotonic clock
        self._over = False
        self._told = ""  # the last log line, so that no line is repeated

    @contextmanager
    def campaign(self, *, taken: Callable[[], None] = _nothing, lost: Callable[[], None] = _nothing) -> Iterator[None]:
        """Ask for the lease and renew it, in a thread of its own, while the block lasts; then give it back. ``taken``
        is called when this process gets the lease, ``lost`` when another has taken it; both from any thread."""
        self._taken, self._lost = taken, lost
        stopping = threading.Event()
        thread = threading.Thread(target=self._run, args=(stopping,), name="leader", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()
            if self._lease is not None:
                with suppress(TransientError):  # without this the lease runs out by itself
                    self._leadership.release(self._lease)

    def leads(self) -> bool:
        """Return whether this controller may act now. If its last beat is older than ``lease_s``, it asks the store
        first, because it may have slept. While the store does not answer, the leader goes on; if another controller has
        taken over, the fence refuses its writes."""
        if self._lease is not None and self._monotonic() - self._renewed_s < self._lease_s:
            return True
        self.turn()
        return self._lease is not None

    @property
    def has_lease(self) -> bool:
        """Return whether this controller had the lease at its last turn, without asking the store."""
        return self._lease is not None

    def fence(self) -> int:
        """Return the fence to write with.

        Raises:
            ConflictError: another controller leads.
        """
        if self._lease is None:
            raise ConflictError(Source.LEADERSHIP, "another controller leads for this database")
        return self._lease.fence

    def turn(self) -> None:
        """Renew the lease, or ask for it."""
        with self._turning:
            asked_s = self._monotonic()
            try:
                if self._lease is not None:
                    self._leadership.renew(self._lease)
                elif not self._over:
                    self._ask()
                self._renewed_s = asked_s
            except TransientError as error:
                self._tell(logging.WARNING, f"whether this controller leads is not known: {error}")
            except ConflictError as error:
                self._lease, self._over = None, True
                self._tell(logging.ERROR, f"{error}: this one ends")
                self._lost()

    def _ask(self) -> None:
        found = self._leadership.acquire(self._holder, lease_s=self._lease_s)
        if isinstance(found, Held):
            self._tell(logging.INFO, f"stand-by: the controller of {found.by} leads; this one takes over when it ends")
            return
        self._lease = found
        self._tell(logging.INFO, f"this controller leads (fence {found.fence})")
        self._taken()

    def _tell(self, level: int, line: str) -> None:
        if line != self._told:
            self._told = line
            log.log(level, "%s", line)

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                self.turn()
            except Exception:  # a defect must not end the thread: without beats the lease would run out
                log.exception("a beat failed")
            stopping.wait(self._lease_s / _TURNS)
