"""An HTTP process's end of the connections to the workers: which worker gets what, and whether it still answers."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, cast

from serving.ipc.frames import FrameBuffer, frame, unpack
from serving.messages import Failure, Job, Outcome

_GATHER_S: Final = 0.001
"""How long jobs for a worker that is busy are gathered: every write to it is a system call, and one will do."""
_NO_JOB: Final = -1
"""Given up, it changes nothing but that the worker says that it heard."""


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
        self.unheard_s: float | None = (
            None  # since when it owes a sign of life: while it has something to do, or is asked
        )
        self.stuck = False  # it gives none, and does nothing: it is being ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._dispatcher.connected(self)

    def data_received(self, data: bytes) -> None:
        self.load -= self._given_up
        self._given_up = 0
        self.unheard_s = None
        for busy_s, outcomes in self._frames.feed(data):
            if self.ready:
                self._dispatcher.answered(self, busy_s, [unpack(*outcome) for outcome in outcomes])
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

    def ask(self) -> None:
        """Ask it for a sign of life, unless it owes one already."""
        if self.ready and self.unheard_s is None and self._transport is not None:
            self.unheard_s = self._loop.time()
            self._transport.write(frame(([], [_NO_JOB], {})))

    def finish(self, uid: int) -> int:
        """The cost of a job that is answered or given up; 0 if it was given up before."""
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
        """Return whether a worker is warm, and not known to hang."""
        return any(worker.ready and not worker.stuck for worker in self._workers)

    @property
    def depth(self) -> int:
        """Jobs accepted and not yet answered."""
        return len(self._waiting) + sum(len(worker.outstanding) for worker in self._workers)

    async def add_worker(self, connection: socket.socket, pid: int) -> None:
        connection.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: _ApiEnd(self, pid), sock=connection)

    def submit(self, job: Job) -> None:
        ready = [worker for worker in self._workers if worker.ready and not worker.stuck]
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

    def ask(self) -> None:
        """Ask every worker for a sign of life."""
        for worker in self._workers:
            worker.ask()

    @property
    def is_owed(self) -> bool:
        """Return whether a worker has yet to give a sign of life."""
        return any(worker.unheard_s is not None and not worker.stuck for worker in self._workers)

    def silent(self, before_s: float) -> list[int]:
        """The process ids of the workers that owe a sign of life since then (by the loop's clock)."""
        owing = [worker for worker in self._workers if worker.unheard_s is not None and not worker.stuck]
        return [worker.pid for worker in owing if (worker.unheard_s or 0.0) < before_s]

    def give_up(self, pid: int) -> None:
        """Send nothing more to the worker that is stuck; its requests are answered when it has ended."""
        for worker in self._workers:
            worker.stuck = worker.stuck or worker.pid == pid

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
        """A worker has ended: its requests are answered with an error, and it gets no more."""
        self._workers = [other for other in self._workers if other is not worker]
        failure = Failure()
        for uid in tuple(worker.outstanding):
            self._deliver(Outcome(uid, error="the inference worker ended while it had this request", failure=failure))
