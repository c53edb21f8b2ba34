"""The patience of the interface: how long it waits for a request, and for how many connections at once.

uvicorn waits for the rest of a request for ever, takes as many connections as the process has files, and, by one of its
parsers, a head without end. The control loop lives in the same process: it must not starve for a client's sake.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol


@dataclass(frozen=True, slots=True)
class Patience:
    """``quiet_s``: how long a connection may be without a request; ``answer_s``: how long its answer may take, the
    request's body included.

    ``handshake_s``: how long TLS may take to be agreed on.

    More connections than ``connections_max`` are closed at once. A head is not read beyond ``head_bytes_max``.
    """

    connections_max: int = 512  # two hundred who look on at the page, and all the others
    quiet_s: float = 15.0
    answer_s: float = 600.0
    handshake_s: float = 5.0
    head_bytes_max: int = 64 * 2**10


class GuardedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Closes a connection on which no request comes to its end."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport | None
    connections: set[Any]  # of all protocols of the server
    cycle: Any  # the request under way, or the last one

    def __init__(self, *, patience: Patience, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._patience = patience
        self._seen: Any = None
        self._seen_since_s = self.loop.time()
        self._in_head = False
        self._head_bytes = 0
        self._look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > self._patience.connections_max:
            transport.abort()
        else:
            self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self._patience.head_bytes_max and self.transport is not None:
                self.transport.abort()

    def on_message_begin(self) -> None:
        """Begin a message of httptools' protocol; h11 bounds a head by itself."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def _waits(self) -> bool:
        """Return whether no request is being answered."""
        return self.cycle is None or bool(self.cycle.response_complete)

    def _look_later(self) -> None:
        self._look = self.loop.call_later(self._patience.quiet_s, self._look_now)

    def _look_now(self) -> None:
        """Two looks that find no request under way, and none that came between them, end the connection; and so does
        one whose answer is not taken."""
        now_s = self.loop.time()
        if self._seen is not self.cycle:
            self._seen, self._seen_since_s = self.cycle, now_s
        elif self.transport is not None and (self._waits() or now_s - self._seen_since_s > self._patience.answer_s):
            self.transport.abort()
            return
        self._look_later()
