"""The watchdog that gives up a database that stopped in the middle of an answer: PostgreSQL's own limits need a running
server, and without one a client waits for as long as the connection exists."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds after which a silent server is given up. A running one keeps its own, lower limits."""

    ping_s: float = 3.0  # asked before a connection is used again
    short_s: float = 10.0  # what every round asks
    long_s: float = 70.0


class Waits(Protocol):
    """A connection that somebody may be waiting for, as psycopg has it."""

    def fileno(self) -> int:
        """The descriptor of its socket. Raises where it is closed."""


class Watchdog:
    """Cuts connections whose time is over, so that whoever waits for one gets an error. Any thread may use it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._until_s: dict[object, tuple[float, Waits]] = {}
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, connection: Waits, limit_s: float) -> Iterator[None]:
        """Cut the connection if the block takes longer than this."""
        watch = object()
        with self._changed:
            self._until_s[watch] = (time.monotonic() + limit_s, connection)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="database watchdog", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._until_s.pop(watch, None)

    def _run(self) -> None:
        with self._changed:
            while True:
                now_s = time.monotonic()
                for watch, (until_s, connection) in tuple(self._until_s.items()):
                    if until_s <= now_s:
                        del self._until_s[watch]
                        _cut(connection)
                next_s = min((until_s for until_s, _ in self._until_s.values()), default=None)
                self._changed.wait(None if next_s is None else max(next_s - now_s, 0.0))


def _cut(connection: Waits) -> None:
    """End both directions of the socket. The descriptor stays with its owner, who learns of it at once."""
    with suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as ours:
        ours.shutdown(socket.SHUT_RDWR)
    # Suppressed: it was closed since, by who is watched, and each driver says so in its own way.
