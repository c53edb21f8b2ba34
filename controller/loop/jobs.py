"""Work that may take long, done beside the rounds. A round asks for it, waits a moment, and takes the result up in a
later round where it is not there yet: nothing that hangs keeps anything else from being seen to."""

import logging
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from threading import Lock, local
from typing import Any, Final, Protocol, TypeVar

from controller.ports.clock import Clock

log = logging.getLogger(__name__)

Result = TypeVar("Result")
PATIENCE_S: Final = 0.2
"""The time that all rounds together wait for one job, so that quick work is done in the round that asked for it."""
COMPUTING: Final = frozenset({"models", "glances"})
"""The pools whose work is mostly computing, with little waiting."""
COMPUTING_MAX: Final = 3
_QUICK_S: Final = 0.03  # what is waited for with a turn in hand
_TURN_WITHIN_S: Final = 0.75  # several times what one waits for in a fleet of hundreds


@dataclass(frozen=True, slots=True)
class Running:
    """The job has not ended. ``purpose``: what it was begun for."""

    since_s: float  # by the monotonic clock
    purpose: Hashable


class Jobs(Protocol):
    """One job a ``slot`` at a time. ``purpose`` says what it is for: a result that is for something else is dropped."""

    def ask(
        self,
        pool: str,
        slot: Hashable,
        purpose: Hashable,
        work: Callable[[], Result],
        *,
        patience_s: float = PATIENCE_S,
    ) -> Result | Running:
        """The result of the slot's job, begun now unless one runs. Raises what ``work`` raised.

        Jobs of one ``pool`` wait for each other's threads: what hangs in one keeps no other pool waiting.
        """


class InlineJobs:
    """Implements ``Jobs`` by doing the work at once."""

    def ask(
        self,
        pool: str,  # noqa: ARG002
        slot: Hashable,  # noqa: ARG002
        purpose: Hashable,  # noqa: ARG002
        work: Callable[[], Result],
        *,
        patience_s: float = PATIENCE_S,  # noqa: ARG002
    ) -> Result | Running:
        return work()


@dataclass(frozen=True, slots=True)
class _Job:
    purpose: Hashable
    future: "Future[Any]"
    since_s: float


class Turns:
    """Let few threads compute at a time. Python runs one of them at a time anyhow, and each further one that could run
    takes the interpreter from it in the middle. Whoever waits for long lets another one have its turn meanwhile: what
    hangs keeps nobody."""

    def __init__(self, turns: int) -> None:
        self._free = turns
        self._queue: deque[Lock] = deque()  # each is held until its turn has come
        self._lock = Lock()
        self._mine = local()

    @property
    def waiting(self) -> int:
        """Return how many threads wait for a turn."""
        return len(self._queue)

    def taken(self, work: Callable[[], Result]) -> Result:
        """Return what ``work`` does, done in a turn."""
        self._mine.has_one = self._take()
        try:
            return work()
        finally:
            if self._mine.has_one:
                self._give()
            self._mine.has_one = False

    @contextmanager
    def let_go(self) -> Iterator[None]:
        """Without a turn, where this thread has one."""
        if not getattr(self._mine, "has_one", False):
            yield
            return
        self._give()
        try:
            yield
        finally:
            self._mine.has_one = self._take()

    def _take(self) -> bool:
        """Return whether it is a turn: not for one who waited long, since who has them may hang at a disk or at a
        gateway. That one goes on without."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            mine = Lock()
            mine.acquire()
            self._queue.append(mine)
        if mine.acquire(timeout=_TURN_WITHIN_S):
            return True
        with self._lock:
            if mine in self._queue:
                self._queue.remove(mine)
                return False
        return True  # it was handed on at that moment

    def _give(self) -> None:
        """To whoever waited longest, and not to whoever is quicker: a thread that ends one turn would begin the next
        before another one wakes up."""
        with self._lock:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._free += 1


class _Pool:
    """Threads of one kind of work, and the jobs that have them or wait for one. What asks of one pool waits for no
    other's lock."""

    def __init__(self, name: str, workers: int) -> None:
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._jobs: dict[Hashable, _Job] = {}
        self._lock = Lock()
        self._closed = False

    def job(self, slot: Hashable, purpose: Hashable, work: Callable[[], Any], now_s: float) -> _Job | None:
        """The slot's job: the one that runs, or whose result is asked for, or a new one; None once closed."""
        with self._lock:
            known = self._jobs.get(slot)
            if known is not None and (known.purpose == purpose or not known.future.done()):
                return known
            if self._closed:
                return None
            job = self._jobs[slot] = _Job(purpose, self._executor.submit(work), now_s)
            return job

    def forget(self, slot: Hashable, job: _Job) -> None:
        with self._lock:
            if self._jobs.get(slot) is job:
                del self._jobs[slot]

    def busy(self) -> bool:
        with self._lock:
            return any(not job.future.done() for job in self._jobs.values())

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._executor.shutdown(wait=False, cancel_futures=True)


class ThreadedJobs:
    """Implements ``Jobs`` with ``workers`` threads a pool, made as they are needed. Calls may come from any thread."""

    def __init__(self, clock: Clock, *, workers: int = 8) -> None:
        self._clock = clock
        self._workers = workers
        self._pools: dict[str, _Pool] = {}
        self._turns = Turns(COMPUTING_MAX)
        self._lock = Lock()
        self._closed = False

    def ask(
        self,
        pool: str,
        slot: Hashable,
        purpose: Hashable,
        work: Callable[[], Result],
        *,
        patience_s: float = PATIENCE_S,
    ) -> Result | Running:
        threads = self._pools.get(pool) or self._made(pool)
        begun = partial(self._turns.taken, work) if pool in COMPUTING else work
        job = threads.job(slot, purpose, begun, self._clock.monotonic_s()) if threads is not None else None
        if threads is None or job is None:  # this process ends
            return Running(self._clock.monotonic_s(), purpose)
        if job.purpose != purpose:
            return Running(job.since_s, job.purpose)
        waited_s = self._clock.monotonic_s() - job.since_s
        if waited_s < patience_s:
            self._wait(job.future, patience_s - waited_s)
        if not job.future.done():  # asked once: it may end at any moment, and then has a result or an error of its own
            return Running(job.since_s, purpose)
        try:
            result: Result = job.future.result()
        except CancelledError:  # this process ends
            return Running(job.since_s, purpose)
        except BaseException:
            threads.forget(slot, job)
            raise
        threads.forget(slot, job)
        return result

    def _wait(self, future: "Future[Any]", within_s: float) -> None:
        wait_for(future, min(within_s, _QUICK_S))
        if within_s > _QUICK_S and not future.done():
            with self._turns.let_go():
                wait_for(future, within_s - _QUICK_S)

    def busy(self) -> bool:
        """Return whether any job has not ended."""
        return any(pool.busy() for pool in tuple(self._pools.values()))

    def close(self) -> None:
        """Begin nothing more. What is running ends by itself, or with the process."""
        with self._lock:
            self._closed = True
            for pool in self._pools.values():
                pool.close()

    def _made(self, pool: str) -> _Pool | None:
        with self._lock:
            if pool not in self._pools and not self._closed:
                self._pools[pool] = _Pool(pool, self._workers)
            return self._pools.get(pool)


def wait_for(future: "Future[Any]", within_s: float) -> None:
    """Until it has ended, for so long at most. `concurrent.futures.wait` takes twice as much of a processor, and rounds
    wait for several jobs a look."""
    with suppress(TimeoutError, CancelledError):
        future.exception(within_s)
