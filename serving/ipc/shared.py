"""The things that the supervisor and the HTTP processes share: numbers in memory, and how to have a worker ended."""

import contextlib
import ctypes
import multiprocessing
import socket
import time
from dataclasses import dataclass
from typing import Any, Final

_fork: Final = multiprocessing.get_context("fork")
PID_BYTES: Final = 4


class WorkerCounts:
    """Made before the first fork; written by the supervisor alone."""

    def __init__(self) -> None:
        self._running: Any = _fork.RawValue(ctypes.c_int64, 0)
        self._restarts: Any = _fork.RawValue(ctypes.c_int64, 0)

    @property
    def running(self) -> int:
        """Inference workers that run, warm or not yet."""
        return int(self._running.value)

    @property
    def restarts(self) -> int:
        """Inference workers that were lost and replaced, ever."""
        return int(self._restarts.value)

    def started(self) -> None:
        self._running.value += 1

    def lost(self) -> None:
        self._running.value -= 1

    def replaced(self) -> None:
        self._restarts.value += 1


class HighWater:
    """The highest number that any of the processes has read, which never falls; made before the first fork.

    Each process writes a cell of its own before it answers, so that whoever is asked next knows of it: without a lock
    that a killed process could keep.
    """

    def __init__(self, processes: int) -> None:
        self._cells: Any = _fork.RawArray(ctypes.c_int64, processes)

    def raised(self, place: int, number: int) -> int:
        """The highest so far, ``number`` included, as the process at this place reports it."""
        highest = max(number, *map(int, self._cells))
        self._cells[place] = highest
        return highest


class Life:
    """The life of a replica as all its processes tell of it; made before the first fork."""

    def __init__(self, http_processes: int) -> None:
        self.started_at_s = time.time()  # of the replica, whichever worker was replaced since
        self.cpu_ticks = HighWater(http_processes)


@dataclass(frozen=True, slots=True)
class Place:
    """The place of an HTTP process among those of its replica."""

    number: int
    supervisor_pid: int
    workers: WorkerCounts
    life: Life
    control: socket.socket

    def end_worker(self, pid: int) -> None:
        """Ask the supervisor to end a worker that hangs: processes are its to end, and to replace."""
        with contextlib.suppress(OSError):  # it has gone, and every worker ends with it
            self.control.send(packed(pid))


def packed(pid: int) -> bytes:
    """A process id on a control socket, in either direction."""
    return pid.to_bytes(PID_BYTES)
