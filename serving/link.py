"""The way between the HTTP process and the inference workers: one socket pair for each worker, JSON frames, no polling.

LitServe's own way is a queue in a manager process: four round trips a request, and loops that poll it while idle. Here
an idle replica sleeps; a worker takes all that has arrived in one read; and because each worker has a socket of its
own, its end is seen at once, together with which requests were lost with it.
"""

import asyncio
import json
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

_LENGTH: Final = struct.Struct("!I")
_READ_BYTES: Final = 1 << 18
READY: Final = "ready"


class LinkClosedError(Exception):
    """The other process has gone."""


@dataclass(frozen=True, slots=True)
class Job:
    """A request on its way to a worker: LitServe's id, the texts, and when nobody waits for it any more."""

    uid: str
    texts: tuple[str, ...]
    expires_at_s: float  # time.monotonic(), which all processes of a machine share


class Row(NamedTuple):
    """One text's class probabilities in label order, and what the tokenizer did to it."""

    probabilities: Sequence[float]
    tokens: int
    unknown_tokens: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """A worker's answer: a row for each text, or why there is none."""

    uid: str
    rows: tuple[Row, ...] = ()
    error: str | None = None


class FrameBuffer:
    """Puts frames together from whatever pieces a socket delivers."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        self._data += data
        while len(self._data) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data)
            end = _LENGTH.size + length
            if len(self._data) < end:
                return
            yield json.loads(bytes(self._data[_LENGTH.size : end]))
            del self._data[:end]


def frame(message: Any) -> bytes:
    payload = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    return _LENGTH.pack(len(payload)) + payload


def _outcome(message: Sequence[Any]) -> Outcome:
    uid, rows, error = message
    return Outcome(uid, tuple(Row(*row) for row in rows), error)


class WorkerEnd:
    """The worker's side: blocking, one thread."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._frames = FrameBuffer()

    def receive(self, timeout_s: float | None) -> list[Job]:
        """All jobs that have arrived, after waiting up to ``timeout_s`` (None: for ever) for the first.

        Raises:
            LinkClosedError: the HTTP process has gone; there is nobody left to work for.
        """
        jobs: list[Job] = []
        while select.select([self._socket], [], [], 0 if jobs else timeout_s)[0]:
            data = self._socket.recv(_READ_BYTES)
            if not data:
                raise LinkClosedError
            jobs += [Job(uid, tuple(texts), expires) for uid, texts, expires in self._frames.feed(data)]
        return jobs

    def send_ready(self) -> None:
        self._send(READY)

    def send(self, outcomes: Sequence[Outcome]) -> None:
        self._send([(outcome.uid, outcome.rows, outcome.error) for outcome in outcomes])

    def _send(self, message: Any) -> None:
        try:
            self._socket.sendall(frame(message))
        except OSError as error:
            raise LinkClosedError from error


class _ApiEnd(asyncio.Protocol):
    """One worker as the HTTP process sees it."""

    def __init__(self, dispatcher: "Dispatcher") -> None:
        self._dispatcher = dispatcher
        self._frames = FrameBuffer()
        self._transport: asyncio.WriteTransport | None = None
        self.ready = False
        self.outstanding: set[str] = set()
        self._unsent: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._dispatcher.connected(self)

    def data_received(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            if message == READY:
                self._dispatcher.joined(self)
            else:
                self._dispatcher.answered(self, map(_outcome, message))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (asyncio passes it)
        self._dispatcher.lost(self)

    def send(self, job: Job) -> None:
        """Jobs of one turn of the event loop leave in one write, which wakes the worker once."""
        self.outstanding.add(job.uid)
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(frame((job.uid, job.texts, job.expires_at_s)))

    def _flush(self) -> None:
        assert self._transport is not None  # noqa: S101  (only a joined worker is sent anything)
        self._transport.write(b"".join(self._unsent))
        self._unsent.clear()


class Dispatcher:
    """The HTTP process's side: gives each job to the ready worker with the fewest, and hands back the outcomes."""

    def __init__(self, deliver: Callable[[Outcome], None]) -> None:
        self._deliver = deliver
        self._workers: list[_ApiEnd] = []
        self._waiting: deque[Job] = deque()

    @property
    def ready(self) -> bool:
        return any(worker.ready for worker in self._workers)

    @property
    def depth(self) -> int:
        """Jobs accepted and not yet answered."""
        return len(self._waiting) + sum(len(worker.outstanding) for worker in self._workers)

    async def add_worker(self, connection: socket.socket) -> None:
        connection.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: _ApiEnd(self), sock=connection)

    def submit(self, job: Job) -> None:
        ready = [worker for worker in self._workers if worker.ready]
        if ready:
            min(ready, key=lambda worker: len(worker.outstanding)).send(job)
        else:
            self._waiting.append(job)

    def connected(self, worker: _ApiEnd) -> None:
        self._workers.append(worker)

    def joined(self, worker: _ApiEnd) -> None:
        worker.ready = True
        while self._waiting:
            self.submit(self._waiting.popleft())

    def answered(self, worker: _ApiEnd, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            worker.outstanding.discard(outcome.uid)
            self._deliver(outcome)

    def lost(self, worker: _ApiEnd) -> None:
        """A worker has gone: its requests are answered with an error, and none goes to it any more."""
        self._workers = [other for other in self._workers if other is not worker]
        for uid in tuple(worker.outstanding):
            self._deliver(Outcome(uid, error="the inference worker ended while it had this request"))
