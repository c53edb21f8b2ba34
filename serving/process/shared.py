"""What the supervisor lets the HTTP processes know without telling: numbers in memory that all of them share."""

import ctypes
import multiprocessing
from dataclasses import dataclass
from typing import Any, Final

_fork: Final = multiprocessing.get_context("fork")


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


@dataclass(frozen=True, slots=True)
class Place:
    """Which of a replica's HTTP processes one is, and whose."""

    number: int
    supervisor_pid: int
    workers: WorkerCounts
