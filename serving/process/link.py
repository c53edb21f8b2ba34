"""The way between the HTTP processes and the inference workers: one socket pair for each two of them, no polling.

LitServe's own way is a queue in a manager process: four round trips a request, and loops that poll it while idle. Here
an idle replica sleeps; a worker takes all that has arrived in one read; and because each worker has sockets of its
own, its end is seen at once, together with which requests were lost with it.

A job's id says whose it is: HTTP process k of n numbers its jobs k, k + n, k + 2n, and so on.

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
from typing import Any, Final, NamedTuple, cast

_LENGTH: Final = struct.Struct("!I")
_READ_BYTES: Final = 1 << 18
_GATHER_S: Final = 0.001
"""How long jobs for a worker that is busy are gathered: every write to it is a system call, and one will do."""
_SIGN_S: Final = 1.0
"""How often a worker that works says so. One that says nothing for as long as a request may take is hung."""


class LinkClosedError(Exception):
    """The other end has gone; of a worker's, all of them."""


class Job(NamedTuple):
    """A request on its way to a worker. ``cost`` is what admission reckons it at, ``trace`` its W3C traceparent."""

    uid: int
    texts: tuple[str, ...]
    cost: int = 1
    trace: str | None = None


class Call(NamedTuple):
    """An engine call: from when to when, and for how many texts, this job's and others'."""

    began_ns: int
    ended_ns: int
    texts: int


class Trail(NamedTuple):
    """When a worker did what for a job that is traced, in ns since the epoch."""

    tokenize_began_ns: int
    tokenize_ended_ns: int
    calls: Sequence[Call]


# One text's answer: it as a JSON object, its tokens, how many of them are unknown, whether it was cut, its windows.
Row = tuple[bytes, int, int, bool, int]


class Failure:
    """What made several requests fail, a worker's end: one event, however many it took along."""

    __slots__ = ("_kinds",)

    def __init__(self) -> None:
        self._kinds: set[str] = set()

    def is_new(self, kind: str) -> bool:
        """Is this the first that is heard of it among requests of this kind?"""
        known = kind in self._kinds
        self._kinds.add(kind)
        return not known


class Outcome(NamedTuple):
    """A worker's answer: a row for each text, or why there is none.

    ``too_long``: a text needs more windows than are computed for one, or all texts together (None) more than are for a
    request, as (the index of the text, how many windows).
    """

    uid: int
    rows: Sequence[Row] = ()
    error: str | None = None
    too_long: tuple[int | None, int] | None = None
    trail: Trail | None = None  # of jobs that are traced
    failure: Failure | None = None  # what it shares with others; an engine call that fails is tried again row by row


@dataclass(frozen=True, slots=True)
class Inbox:
    """What has arrived at a worker: new jobs, the ids of those that nobody waits for any more, and which are traced."""

    jobs: list[Job] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    traces: dict[int, str] = field(default_factory=dict)  # by id, the traceparent


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


def _pack(done: Outcome) -> tuple[Any, ...]:
    if done.trail is None:
        return done[:4]
    trail = (*done.trail[:2], [tuple(call) for call in done.trail.calls])
    return done.uid, done.rows, done.error, done.too_long, trail


def _unpack(
    uid: int, rows: Sequence[Row], error: str | None, too_long: tuple[int | None, int] | None, trail: Any = None
) -> Outcome:
    if trail is None:
        return Outcome(uid, rows, error, too_long)
    began_ns, ended_ns, calls = trail
    return Outcome(uid, rows, error, too_long, Trail(began_ns, ended_ns, [Call(*call) for call in calls]))


class WorkerEnd:
    """The worker's side: blocking, one thread. One connection for each HTTP process, in their order."""

    def __init__(self, connections: Sequence[socket.socket]) -> None:
        self._peers: dict[int, tuple[socket.socket, FrameBuffer]] = {
            number: (connection, FrameBuffer()) for number, connection in enumerate(connections)
        }
        self._numbers = len(connections)
        self._signed_s = 0.0
        self._gave_up: set[int] = set()  # the HTTP processes that were not told yet that this was heard

    def receive(self, timeout_s: float | None) -> Inbox:
        """All that has arrived, after waiting up to ``timeout_s`` (None: for ever) for the first.

        Raises:
            LinkClosedError: every HTTP process has gone; there is nobody left to work for.
        """
        inbox = Inbox()
        while True:
            if timeout_s != 0.0:
                select.select([connection for connection, _ in self._peers.values()], [], [], timeout_s)
            for number in tuple(self._peers):
                self._drain(number, inbox)
            if timeout_s is not None or inbox.jobs or inbox.cancelled:
                return inbox

    def _drain(self, number: int, inbox: Inbox) -> None:
        connection, frames = self._peers[number]
        while True:
            try:
                data = connection.recv(_READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""
            if not data:
                self._close(number)
                return
            for jobs, cancelled, traces in frames.feed(data):
                inbox.jobs.extend(Job(uid, texts) for uid, texts in jobs)
                inbox.cancelled.extend(cancelled)
                if cancelled:
                    self._gave_up.add(number)
                inbox.traces.update(traces)
            if len(data) < _READ_BYTES:
                return

    def _close(self, number: int) -> None:
        """Nobody waits for what this HTTP process asked for: it ends only with the replica."""
        connection, _ = self._peers.pop(number)
        connection.close()
        if not self._peers:
            raise LinkClosedError

    def close(self) -> None:
        for connection, _ in self._peers.values():
            connection.close()
        self._peers.clear()

    def send_ready(self) -> None:
        for number in tuple(self._peers):
            self._send(number, (), 0.0)

    def send(self, outcomes: Sequence[Outcome], busy_s: float) -> None:
        """Answers, and the time that the worker was not idle since it last sent any. The first message: it is ready.

        Each HTTP process is told its share of that time, by its part of the texts.
        """
        if self._numbers == 1:
            self._send(0, outcomes, busy_s)
            return
        texts = sum(len(done.rows) for done in outcomes) or 1
        for number in range(self._numbers):
            own = [done for done in outcomes if done.uid % self._numbers == number]
            if own and number in self._peers:
                self._send(number, own, busy_s * sum(len(done.rows) for done in own) / texts)

    def sign(self, now_s: float) -> None:
        """Tell that it is alive: those who gave up a job, and once a second, between two engine calls, everyone."""
        if now_s - self._signed_s >= _SIGN_S:
            self._signed_s = now_s
            self._gave_up.update(self._peers)
        for number in self._gave_up & self._peers.keys():
            self._send(number, (), 0.0)
        self._gave_up.clear()

    def _send(self, number: int, outcomes: Sequence[Outcome], busy_s: float) -> None:
        try:
            self._peers[number][0].sendall(frame((busy_s, [_pack(done) for done in outcomes])))
        except OSError:
            self._close(number)


class _ApiEnd(asyncio.Protocol):
    """One worker as an HTTP process sees it."""

    def __init__(self, dispatcher: "Dispatcher", pid: int) -> None:
        self._dispatcher = dispatcher
        self.pid = pid
        self._loop = asyncio.get_running_loop()
        self._frames = FrameBuffer()
        self._transport: asyncio.WriteTransport | None = None
        self._jobs: dict[int, tuple[str, ...]] = {}  # not yet written
        self._cancelled: list[int] = []
        self._traces: dict[int, str] = {}
        self._flushing: asyncio.Handle | None = None
        self.ready = False
        self.outstanding: dict[int, int] = {}  # uid -> cost
        self.load = 0  # the sum of those costs, and of what was given up since the worker was last heard of
        self._given_up = 0
        self.taken = 0  # jobs, ever
        self.unheard_s: float | None = None  # since when it owes a sign of life: it does while it has something to do

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._dispatcher.connected(self)

    def data_received(self, data: bytes) -> None:
        self.load -= self._given_up
        self._given_up = 0
        self.unheard_s = None
        for busy_s, outcomes in self._frames.feed(data):
            if self.ready:
                self._dispatcher.answered(self, busy_s, [_unpack(*outcome) for outcome in outcomes])
            else:
                self._dispatcher.joined(self)
        if self.outstanding:
            self.unheard_s = self._loop.time()
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
        self.load += job.cost
        self.taken += 1
        self._jobs[job.uid] = job.texts
        if job.trace is not None:
            self._traces[job.uid] = job.trace
        if self._flushing is None:
            soon, later = self._loop.call_soon, self._loop.call_later
            self._flushing = soon(self._flush) if idle else later(_GATHER_S, self._flush)

    def finish(self, uid: int) -> int:
        """The cost of a job that is answered or given up; 0 where it was given up before."""
        cost = self.outstanding.pop(uid, 0)
        self.load -= cost
        return cost

    def cancel(self, uid: int) -> None:
        if uid not in self.outstanding:
            return
        cost = self.finish(uid)
        self._traces.pop(uid, None)
        if self._jobs.pop(uid, None) is None:
            self._given_up += cost  # a worker that hangs must not look idle, and be given all that comes
            self.load += cost
            self._cancelled.append(uid)
            if self._flushing is None:
                self._flushing = self._loop.call_later(_GATHER_S, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        assert self._transport is not None  # noqa: S101  (only a joined worker is sent anything)
        if self._jobs or self._cancelled:
            if self.unheard_s is None:
                self.unheard_s = self._loop.time()
            self._transport.write(frame((list(self._jobs.items()), self._cancelled, self._traces)))
            self._jobs, self._cancelled, self._traces = {}, [], {}


class Dispatcher:
    """An HTTP process's side: gives each job to the ready worker with the least to do, and hands back the outcomes.

    ``deliver`` gets each outcome, ``observe(busy_s, cost)`` how long a worker took for jobs of that cost together.
    """

    def __init__(
        self, deliver: Callable[[Outcome], None], observe: Callable[[float, int], None] = lambda _, __: None
    ) -> None:
        self._deliver = deliver
        self._observe = observe
        self._workers: list[_ApiEnd] = []
        self._waiting: deque[Job] = deque()

    @property
    def ready(self) -> bool:
        return any(worker.ready for worker in self._workers)

    @property
    def depth(self) -> int:
        """Jobs accepted and not yet answered."""
        return len(self._waiting) + sum(len(worker.outstanding) for worker in self._workers)

    async def add_worker(self, connection: socket.socket, pid: int) -> None:
        connection.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: _ApiEnd(self, pid), sock=connection)

    def submit(self, job: Job) -> None:
        ready = [worker for worker in self._workers if worker.ready]
        if ready:
            min(ready, key=lambda worker: (worker.load, worker.taken)).send(job)
        else:
            self._waiting.append(job)

    def cancel(self, uid: int) -> None:
        """Nobody waits for this job any more: it frees its place and, unless it runs already, is not computed."""
        self._waiting = deque(job for job in self._waiting if job.uid != uid)
        for worker in self._workers:
            worker.cancel(uid)

    def hung(self, before_s: float) -> list[int]:
        """The process ids of the workers that owe a sign of life since then (by the loop's clock), each told once."""
        silent = [worker for worker in self._workers if worker.unheard_s is not None and worker.unheard_s < before_s]
        for worker in silent:
            worker.unheard_s = None
        return [worker.pid for worker in silent]

    def connected(self, worker: _ApiEnd) -> None:
        self._workers.append(worker)

    def joined(self, worker: _ApiEnd) -> None:
        worker.ready = True
        while self._waiting:
            self.submit(self._waiting.popleft())

    def answered(self, worker: _ApiEnd, busy_s: float, outcomes: Sequence[Outcome]) -> None:
        cost = 0
        for outcome in outcomes:
            cost += worker.finish(outcome.uid)
            self._deliver(outcome)
        if outcomes:  # else a sign of life
            self._observe(busy_s, cost)

    def lost(self, worker: _ApiEnd) -> None:
        """A worker has gone: its requests are answered with an error, and none goes to it any more."""
        self._workers = [other for other in self._workers if other is not worker]
        failure = Failure()
        for uid in tuple(worker.outstanding):
            self._deliver(Outcome(uid, error="the inference worker ended while it had this request", failure=failure))
