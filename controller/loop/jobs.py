"""Jobs: work that may take long, done alongside the rounds. A round asks for a job and waits a moment; if the result is
not there, a later round takes it up. Work that hangs delays nothing else."""

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
"""The seconds that all rounds together wait for one job, so that quick work is done in the round that asked for it."""
COMPUTING: Final = frozenset({"models", "glances"})
"""The pools whose work is mostly computing, with little waiting."""
COMPUTING_MAX: Final = 3
_QUICK_S: Final = 0.03  # a thread keeps its turn while it waits for this long, and then gives it up
_TURN_WITHIN_S: Final = 0.75  # the longest wait for a turn; several times the usual wait with hundreds of models


@dataclass(frozen=True, slots=True)
class Running:
    """A job that has not ended. ``purpose``: the purpose for which it was begun."""

    since_s: float  # by the monotonic clock
    purpose: Hashable


class Jobs(Protocol):
    """The jobs, at most one for each ``slot`` at a time. A result for another ``purpose`` than the one that is asked
    for is dropped."""

    def ask(
        self,
        pool: str,
        slot: Hashable,
        purpose: Hashable,
        work: Callable[[], Result],
        *,
        patience_s: float = PATIENCE_S,
    ) -> Result | Running:
        """Return the result of the slot's job, which begins now unless one runs; `Running` if it has not ended within
        ``patience_s`` of its beginning. Raises what ``work`` raised.

        Each ``pool`` has threads of its own, so jobs that hang in one pool do not delay another.
        """


class InlineJobs:
    """Implements ``Jobs`` by doing the work at once, in the calling thread."""

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
    """A limit on the threads that compute at the same time. Python runs only one of them at a time anyway, and each
    further one interrupts it. A thread that waits for long gives up its turn meanwhile, so a thread that hangs keeps
    nobody from computing."""

    def __init__(self, turns: int) -> None:
        self._free = turns
        self._queue: deque[Lock] = deque()  # a lock for each waiting thread, released when its turn comes
        self._lock = Lock()
        self._mine = local()

    @property
    def waiting(self) -> int:
        """Return the number of threads that wait for a turn."""
        return len(self._queue)

    def taken(self, work: Callable[[], Result]) -> Result:
        """Return the result of ``work``, done in a turn."""
        self._mine.has_one = self._take()
        try:
            return work()
        finally:
            if self._mine.has_one:
                self._give()
            self._mine.has_one = False

    @contextmanager
    def let_go(self) -> Iterator[None]:
        """Give up this thread's turn, if it has one, while the block lasts."""
        if not getattr(self._mine, "has_one", False):
            yield
            return
        self._give()
        try:
            yield
        finally:
            self._mine.has_one = self._take()

    def _take(self) -> bool:
        """Wait for a turn, and return whether there was one. After ``_TURN_WITHIN_S`` the thread goes on without one,
        because the threads that have the turns may hang at a disk or a gateway."""
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
        return True  # the turn came at the last moment

    def _give(self) -> None:
        """Give the turn to the thread that has waited longest. Without a queue, the thread that ends a turn would take
        the next one before another thread wakes up."""
        with self._lock:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._free += 1


class _Pool:
    """The threads for one kind of work, and the jobs that run or wait in them. Each pool has a lock of its own."""

    def __init__(self, name: str, workers: int) -> None:
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._jobs: dict[Hashable, _Job] = {}
        self._lock = Lock()
        self._closed = False

    def job(self, slot: Hashable, purpose: Hashable, work: Callable[[], Any], now_s: float) -> _Job | None:
        """Return the slot's job: the one that runs or has the result for this purpose, or else a new one; None once the
        pool is closed."""
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
    """Implements ``Jobs`` with up to ``workers`` threads for each pool. Any thread may call."""

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
        if threads is None or job is None:  # this process is ending
            return Running(self._clock.monotonic_s(), purpose)
        if job.purpose != purpose:
            return Running(job.since_s, job.purpose)
        waited_s = self._clock.monotonic_s() - job.since_s
        if waited_s < patience_s:
            self._wait(job.future, patience_s - waited_s)
        if not job.future.done():  # checked only once: the job may end at any moment, with a result or an error
            return Running(job.since_s, purpose)
        try:
            result: Result = job.future.result()
        except CancelledError:  # this process is ending
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
        """Begin no more jobs. Jobs that run end by themselves, or with the process."""
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
    """Wait until the future has ended, at most ``within_s`` seconds. `concurrent.futures.wait` takes twice the
    processor time, and rounds wait for several jobs in each look."""
    with suppress(TimeoutError, CancelledError):
        future.exception(within_s)
