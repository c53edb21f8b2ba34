"""The way between the HTTP process and the inference workers: one socket pair for each worker, no polling.

LitServe's own way is a queue in a manager process: four round trips a request, and loops that poll it while idle. Here
an idle replica sleeps; a worker takes all that has arrived in one read; and because each worker has a socket of its
own, its end is seen at once, together with which requests were lost with it.

Messages are marshalled: both ends are forks of one process, so the interpreter is the same and nobody else can write.
It costs a third of JSON here, and the HTTP process is what small models wait for.
"""

import asyncio
import marshal
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

_LENGTH: Final = struct.Struct("!I")
_READ_BYTES: Final = 1 << 18
_GATHER_S: Final = 0.001
"""How long jobs for a worker that is busy are gathered: every write to it is a system call, and one will do."""


class LinkClosedError(Exception):
    """The other process has gone."""


@dataclass(frozen=True, slots=True)
class Job:
    """A request on its way to a worker. ``cost`` is what admission reckons it at."""

    uid: int
    texts: tuple[str, ...]
    cost: int = 1


# One text's answer: it as a JSON object, its tokens, how many of them are unknown, whether it was cut, its windows.
Row = tuple[bytes, int, int, bool, int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A worker's answer: a row for each text, or why there is none.

    ``too_long``: a text needs more windows than are computed for one, as (its index, how many it needs).
    """

    uid: int
    rows: Sequence[Row] = ()
    error: str | None = None
    too_long: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Inbox:
    """What has arrived at a worker: new jobs, and the ids of those that nobody waits for any more."""

    jobs: list[Job] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)


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
            yield marshal.loads(self._data[_LENGTH.size : end])  # noqa: S302  (from our own fork: see above)
            del self._data[:end]


def frame(message: Any) -> bytes:
    payload = marshal.dumps(message)
    return _LENGTH.pack(len(payload)) + payload


class WorkerEnd:
    """The worker's side: blocking, one thread."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._frames = FrameBuffer()

    def receive(self, timeout_s: float | None) -> Inbox:
        """All that has arrived, after waiting up to ``timeout_s`` (None: for ever) for the first.

        Raises:
            LinkClosedError: the HTTP process has gone; there is nobody left to work for.
        """
        inbox = Inbox()
        if timeout_s:
            select.select([self._socket], [], [], timeout_s)
        flags = 0 if timeout_s is None else socket.MSG_DONTWAIT
        while True:
            try:
                data = self._socket.recv(_READ_BYTES, flags)
            except BlockingIOError:
                return inbox
            if not data:
                raise LinkClosedError
            for jobs, cancelled in self._frames.feed(data):
                inbox.jobs.extend(Job(uid, texts) for uid, texts in jobs)
                inbox.cancelled.extend(cancelled)
            if len(data) < _READ_BYTES and (inbox.jobs or inbox.cancelled):
                return inbox

    def send_ready(self) -> None:
        self.send((), 0.0)

    def send(self, outcomes: Sequence[Outcome], busy_s: float) -> None:
        """Answers, and the time that the worker was not idle since it last sent any. The first message: it is ready."""
        try:
            told = [(done.uid, done.rows, done.error, done.too_long) for done in outcomes]
            self._socket.sendall(frame((busy_s, told)))
        except OSError as error:
            raise LinkClosedError from error


class _ApiEnd(asyncio.Protocol):
    """One worker as the HTTP process sees it."""

    def __init__(self, dispatcher: "Dispatcher") -> None:
        self._dispatcher = dispatcher
        self._loop = asyncio.get_running_loop()
        self._frames = FrameBuffer()
        self._transport: asyncio.WriteTransport | None = None
        self._jobs: dict[int, tuple[str, ...]] = {}  # not yet written
        self._cancelled: list[int] = []
        self._flushing: asyncio.Handle | None = None
        self.ready = False
        self.outstanding: dict[int, int] = {}  # uid -> cost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._dispatcher.connected(self)

    def data_received(self, data: bytes) -> None:
        for busy_s, outcomes in self._frames.feed(data):
            if self.ready:
                self._dispatcher.answered(self, busy_s, [Outcome(*outcome) for outcome in outcomes])
            else:
                self._dispatcher.joined(self)
        if self._flushing is not None:  # the worker is between two engine calls: now is when it looks for more
            self._flushing.cancel()
            self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (asyncio passes it)
        if self._flushing is not None:
            self._flushing.cancel()
        self._dispatcher.lost(self)

    def send(self, job: Job) -> None:
        idle = not self.outstanding
        self.outstanding[job.uid] = job.cost
        self._jobs[job.uid] = job.texts
        if self._flushing is None:
            soon, later = self._loop.call_soon, self._loop.call_later
            self._flushing = soon(self._flush) if idle else later(_GATHER_S, self._flush)

    def cancel(self, uid: int) -> None:
        if self.outstanding.pop(uid, None) is None:
            return
        if self._jobs.pop(uid, None) is None:
            self._cancelled.append(uid)
            if self._flushing is None:
                self._flushing = self._loop.call_later(_GATHER_S, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        assert self._transport is not None  # noqa: S101  (only a joined worker is sent anything)
        if self._jobs or self._cancelled:
            self._transport.write(frame((list(self._jobs.items()), self._cancelled)))
            self._jobs, self._cancelled = {}, []


class Dispatcher:
    """The HTTP process's side: gives each job to the ready worker with the least to do, and hands back the outcomes.

    ``deliver`` gets each outcome, ``observe(busy_s, cost)`` how long a worker took for jobs of that cost together;
    ``lost`` is told of each worker that ended.
    """

    def __init__(
        self,
        deliver: Callable[[Outcome], None],
        observe: Callable[[float, int], None] = lambda _, __: None,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._deliver = deliver
        self._observe = observe
        self._lost = lost
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

    def cancel(self, uid: int) -> None:
        """Nobody waits for this job any more: it frees its place and, unless it runs already, is not computed."""
        self._waiting = deque(job for job in self._waiting if job.uid != uid)
        for worker in self._workers:
            worker.cancel(uid)

    def connected(self, worker: _ApiEnd) -> None:
        self._workers.append(worker)

    def joined(self, worker: _ApiEnd) -> None:
        worker.ready = True
        while self._waiting:
            self.submit(self._waiting.popleft())

    def answered(self, worker: _ApiEnd, busy_s: float, outcomes: Sequence[Outcome]) -> None:
        cost = 0
        for outcome in outcomes:
            cost += worker.outstanding.pop(outcome.uid, 0)
            self._deliver(outcome)
        self._observe(busy_s, cost)

    def lost(self, worker: _ApiEnd) -> None:
        """A worker has gone: its requests are answered with an error, and none goes to it any more."""
        self._workers = [other for other in self._workers if other is not worker]
        self._lost()
        for uid in tuple(worker.outstanding):
            self._deliver(Outcome(uid, error="the inference worker ended while it had this request"))
