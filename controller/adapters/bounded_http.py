"""A connection by HTTP whose every wait ends at one deadline: a time-out of a socket's own starts again with every byte
that drips in."""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast
from urllib.parse import SplitResult

CHUNK_BYTES: Final = 256 * 1024


class Deadline:
    def __init__(self, within_s: float) -> None:
        self._at_s = time.monotonic() + within_s

    def left_s(self) -> float:
        """Seconds that remain.

        Raises:
            TimeoutError: none do.
        """
        left = self._at_s - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


@contextmanager
def connection_to(url: SplitResult, clock: Deadline, ca_file: str | None) -> Iterator[http.client.HTTPConnection]:
    """Yield an open connection to the address. ``ca_file``: whose certificates the server's is held against, in place
    of those that this machine knows.

    Raises:
        OSError: it cannot be had; TimeoutError where it is not in time, also by what is done in the block.
    """
    host, timeout_s = str(url.hostname), clock.left_s()
    connection: http.client.HTTPConnection
    if url.scheme == "https":
        trust = ssl.create_default_context(cafile=ca_file)
        connection = http.client.HTTPSConnection(host, url.port, timeout=timeout_s, context=trust)
    else:
        connection = http.client.HTTPConnection(host, url.port, timeout=timeout_s)
    connection.connect()
    inner = connection.sock
    connection.sock = cast("socket.socket", _TimedSocket(inner, clock))
    try:
        yield connection
    finally:
        inner.close()


class _TimedSocket:
    """The part of a socket that ``http.client`` uses, each wait cut to what the deadline leaves."""

    def __init__(self, inner: socket.socket, clock: Deadline) -> None:
        self._inner = inner
        self._clock = clock

    def sendall(self, data: bytes) -> None:
        self._inner.settimeout(self._clock.left_s())
        self._inner.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._inner, self._clock), CHUNK_BYTES)

    def close(self) -> None:
        """The connection lets go of its socket before the answer is read; ``connection_to`` closes it."""


class _TimedReader(io.RawIOBase):
    def __init__(self, inner: socket.socket, clock: Deadline) -> None:
        self._inner = inner
        self._clock = clock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._inner.settimeout(self._clock.left_s())
        return self._inner.recv_into(buffer)
