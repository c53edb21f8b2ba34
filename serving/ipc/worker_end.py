"""A worker's end of the connections to the HTTP processes: one socket pair for each two of them, no polling.

LitServe's own way is a queue in a manager process: four round trips a request, and loops that poll it while idle. Here
an idle replica sleeps; a worker takes all that has arrived in one read; and because each worker has sockets of its
own, its end is seen at once, together with which requests were lost with it.

A job's id says whose it is: HTTP process k of n numbers its jobs k, k + n, k + 2n, and so on.
"""

import select
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from serving.ipc.frames import FrameBuffer, frame, pack
from serving.messages import Job, Outcome

_READ_BYTES: Final = 1 << 18
_SIGN_S: Final = 1.0
"""How often a worker that works says so. One that says nothing for as long as a request may take is hung."""


class DisconnectedError(Exception):
    """The other end has gone; of a worker's, all of them."""


@dataclass(frozen=True, slots=True)
class Inbox:
    """The arrivals at a worker: new jobs, the ids of those that nobody waits for any more, and which are traced."""

    jobs: list[Job] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    traces: dict[int, str] = field(default_factory=dict)  # by id, the traceparent


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
            DisconnectedError: every HTTP process has gone; there is nobody left to work for.
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
            raise DisconnectedError

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
            self._peers[number][0].sendall(frame((busy_s, [pack(done) for done in outcomes])))
        except OSError:
            self._close(number)
