"""Connections that cost more than they should: requests that never end, and heads without end.

uvicorn waits for the rest of a request for ever and keeps whatever head it is sent. Here both are bounded.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.settings import Limits

_LOOKS: Final = 4  # in one receive timeout
_HEAD_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


class GuardedProtocol(HttpToolsProtocol):
    """Knows since when it has been waiting for the rest of a request. Costs a request two readings of the clock."""

    def __init__(self, *, header_bytes_max: int, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._header_bytes_max = header_bytes_max
        self._header_bytes = 0
        self._in_head = True
        self.waiting_since_s: float | None = self.loop.time()  # a connection on which nothing is sent waits, too

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._header_bytes += len(data)
            if self._header_bytes > self._header_bytes_max and not self.transport.is_closing():
                self.transport.write(_HEAD_TOO_LARGE)
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.waiting_since_s = self.loop.time()
        self._in_head = True
        self._header_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self.waiting_since_s = None
        super().on_message_complete()


async def close_late(connections: Iterable[Any], limits: Limits) -> None:
    """Close, for ever, the connections whose request does not arrive. The application sees its client go away."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(limits.receive_timeout_s / _LOOKS)
        before_s = loop.time() - limits.receive_timeout_s
        for connection in tuple(connections):
            since_s = getattr(connection, "waiting_since_s", None)
            if since_s is not None and since_s < before_s:
                connection.transport.abort()
