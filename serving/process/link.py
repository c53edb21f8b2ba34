"""The way between the HTTP processes and the inference workers: one socket pair for each two of them, no polling.

LitServe's own way is a queue in a manager process: four round trips a request, and loops that poll it while idle. Here
an idle replica sleeps; a worker takes all that has arrived in one read; and because each worker has sockets of its
own, its end is seen at once, together with which requests were lost with it.

A job's id says whose it is: HTTP process k of n numbers its jobs k, k + n, k + 2n, and so on.

Messages are marshalled: both ends are forks of one process, so the interpreter is the same and nobody else can write.
It costs a third of JSON here, and the HTTP process is what small models wait for.
"""

import marshal
import select
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

_LENGTH: Final = struct.Struct("!I")
_READ_BYTES: Final = 1 << 18
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


def unpack(
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
