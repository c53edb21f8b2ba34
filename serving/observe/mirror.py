"""Copies of live requests to the other version's shadow port, if the gateway cannot make them.

A bounded queue that no request waits for: what does not fit or cannot be delivered is dropped and counted. Where copies
go is read from a file that may change at any time, such as a mounted ConfigMap. It names the receiver for each version,
so that one file leads the copies of both versions to each other.
"""

import http.client
import json
import logging
import queue
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from serving.contract import PREDICT_ROUTE, REQUEST_ID_HEADER, TAGS_HEADER, TRACE_PARENT_HEADER, is_sampled

_log = logging.getLogger(__name__)

QUEUE_COPIES_MAX: Final = 256
QUEUE_BYTES_MAX: Final = 16 * 2**20
SENDERS: Final = 4
_FILE_BYTES_MAX: Final = 2**16
_READ_EVERY_S: Final = 1.0
_ANSWER_WITHIN_S: Final = 10.0
_TAKEN_ALONG: Final = frozenset(
    name.encode() for name in ("content-type", "authorization", TAGS_HEADER, TRACE_PARENT_HEADER)
)
"""The headers that the other version needs to treat the copy as it would have treated the request."""


class CopyLost(StrEnum):
    """The reason why a copy was not answered by the other version."""

    FULL = "full"  # the queue had no place: the other version is slower than the traffic
    UNDELIVERABLE = "undeliverable"  # nobody answered at its shadow port


@dataclass(frozen=True, slots=True)
class Copying:
    """The other version's shadow port, and the share of requests, 0 to 1, that it gets."""

    host: str
    port: int
    ratio: float


@dataclass(frozen=True, slots=True)
class _Copy:
    to: Copying
    headers: Mapping[str, str]
    body: bytes


class CopyCounts(Protocol):
    """The counters of copies that were answered, and of those that were dropped. Several threads call them."""

    def mirrored(self) -> None: ...

    def unmirrored(self, reason: CopyLost) -> None: ...


def copying_of(text: bytes, version: str) -> Copying | None:
    """Return where the version's copies go, by the text of the file: ``{"to": {"6": "http://..."}, "pct": 100}``. None
    if the file names no receiver for this version.

    Raises:
        ValueError: the text does not have this form.
    """
    document: Any = json.loads(text)
    if not isinstance(document, dict) or not isinstance(document.get("to"), dict):
        raise ValueError('an object with "to" is needed')  # noqa: TRY004 - somebody's file, no defect of ours
    url, pct = document["to"].get(version), document.get("pct")
    if url is None:
        return None
    if isinstance(pct, bool) or not isinstance(pct, int | float) or not 0 < pct <= 100:
        raise ValueError(f"pct must be above 0 and at most 100, got {pct!r}")
    parts = urlsplit(str(url))
    if parts.scheme != "http" or parts.hostname is None or parts.port is None or parts.path:
        raise ValueError(f"an address like http://intent-v7:8001 is needed, got {url!r}")
    return Copying(parts.hostname, parts.port, pct / 100)


class Mirror:
    """The queue, its senders and the reader of the file. The request path calls ``offer``, which never blocks and never
    raises."""

    def __init__(self, file: Path, version: str, counts: CopyCounts) -> None:
        self._file = file
        self._version = version
        self._counts = counts
        self._copying: Copying | None = None
        self._read: bytes | None = None
        self._queue: queue.Queue[_Copy | None] = queue.Queue(QUEUE_COPIES_MAX)
        self._held_bytes = 0
        self._holding = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._follow, name="mirror", daemon=True)]
        self._threads += [threading.Thread(target=self._send, name="mirror", daemon=True) for _ in range(SENDERS)]

    def offer(self, request_id: str, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """Put a copy of the request into the queue if the request is in the sample. If the queue is full, the copy is
        dropped and counted."""
        copying = self._copying
        if copying is None or not is_sampled(request_id, copying.ratio):
            return
        taken = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers if name in _TAKEN_ALONG}
        if not self._keeps(_Copy(copying, {**taken, REQUEST_ID_HEADER: request_id}, body)):
            self._counts.unmirrored(CopyLost.FULL)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float) -> None:
        """Drop what is queued, for which nobody waits, and end the threads within ``timeout_s`` seconds."""
        self._stopping.set()
        self._copying = None
        for _ in range(SENDERS):
            try:
                self._queue.put_nowait(None)
            except queue.Full:
                break  # the senders have copies to send, so none of them waits
        for thread in self._threads:
            thread.join(timeout_s / len(self._threads))

    def _keeps(self, copy: _Copy) -> bool:
        with self._holding:
            if self._held_bytes + len(copy.body) > QUEUE_BYTES_MAX:
                return False
            try:
                self._queue.put_nowait(copy)
            except queue.Full:
                return False
            self._held_bytes += len(copy.body)
        return True

    def _follow(self) -> None:
        while True:
            self._take_in()
            if self._stopping.wait(_READ_EVERY_S):
                return

    def _take_in(self) -> None:
        try:
            with self._file.open("rb") as file:
                text = file.read(_FILE_BYTES_MAX)
        except FileNotFoundError:
            text = b""
        except OSError as error:
            _log.warning("%s cannot be read: %s", self._file, error)
            return
        if text == self._read or self._stopping.is_set():
            return
        self._read = text
        try:
            self._copying = copying_of(text, self._version) if text.strip() else None
        except ValueError as error:
            self._copying = None
            _log.warning("%s does not say where copies go, so none are sent: %s", self._file, error)

    def _send(self) -> None:
        to: Copying | None = None
        connection: http.client.HTTPConnection | None = None
        while (copy := self._queue.get()) is not None and not self._stopping.is_set():
            with self._holding:
                self._held_bytes -= len(copy.body)
            if connection is None or to != copy.to:
                if connection is not None:
                    connection.close()
                to = copy.to
                connection = http.client.HTTPConnection(to.host, to.port, timeout=_ANSWER_WITHIN_S)
            if _delivered(connection, copy):
                self._counts.mirrored()
            else:
                self._counts.unmirrored(CopyLost.UNDELIVERABLE)
        if connection is not None:
            connection.close()


def _delivered(connection: http.client.HTTPConnection, copy: _Copy) -> bool:
    """Return whether the other version answered. Whatever its answer is, its own counts show it."""
    try:
        connection.request("POST", PREDICT_ROUTE, copy.body, copy.headers)
        connection.getresponse().read()
    except (OSError, ValueError, http.client.HTTPException) as error:
        connection.close()  # the next request opens a new one
        _log.debug("a copy could not be delivered: %s", error)
        return False
    return True
