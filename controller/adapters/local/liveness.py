"""The finding that a process of `serin up` hangs: it runs, has answered before, and answers nothing any more."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psutil

from controller.adapters.local.loopback import get
from controller.adapters.local.processes_os import ProcessIdentity
from controller.errors import SerinError

_WITHIN_S: Final = 1.0
_IDLE: Final = 0.01  # of a core: a process that stands still uses none, one that is only late to answer does


@dataclass(frozen=True, slots=True)
class Patience:
    """The time between two questions to a process, and the answers in a row that may be missing: of one that meanwhile
    used no processor, and of one that did. On a machine that is out of breath everything is late."""

    every_s: float = 10.0
    missed_idle: int = 6
    missed_busy: int = 30


class Liveness:
    """Asked for one process, from its start to its end. ``answers`` asks it, whatever the answer; ``used_s`` is the
    time of processors that it has used."""

    def __init__(self, answers: Callable[[], bool], used_s: Callable[[], float], patience: Patience) -> None:
        self._answers = answers
        self._used_s = used_s
        self._patience = patience
        self._due_s = 0.0
        self._has_answered = False
        self._missed = 0
        self._before = (0.0, 0.0)  # when the first answer was missing, and the time used until then

    def hangs(self, now_s: float) -> bool:
        """Ask it, where that is due, and return whether too many answers in a row are missing by now. Answers are
        counted, not time: while nobody asks, as in a suspended machine, nothing is missing."""
        if now_s < self._due_s:
            return False
        self._due_s = now_s + self._patience.every_s
        if self._answers():
            self._has_answered, self._missed = True, 0
            return False
        if not self._missed:
            self._before = (now_s, self._used_s())
        self._missed += 1
        if self._missed < self._patience.missed_idle:
            return False
        return self._missed >= self._allowed(now_s)

    def _allowed(self, now_s: float) -> float:
        since_s, used_s = self._before
        idle = self._used_s() - used_s <= _IDLE * (now_s - since_s)
        if self._has_answered:
            return self._patience.missed_idle if idle else self._patience.missed_busy
        return self._patience.missed_busy if idle else math.inf  # it starts: as long as it works at that


def answers(ready: str | Callable[[], bool]) -> bool:
    """Return whether anything answers, be it that it is not ready: at a URL, or as a question of its own finds."""
    try:
        if isinstance(ready, str):
            get(ready, timeout_s=_WITHIN_S)
        else:
            ready()
    except (OSError, SerinError):
        return False
    return True


def used_by(identity: ProcessIdentity) -> float:
    """Return the seconds of processors that the process and those of its session have used; of what has ended nothing.
    What it started in a session of its own, as a controller does replicas, works on while it hangs."""
    try:
        process = psutil.Process(identity.pid)
        family = [process, *(one for one in process.children(recursive=True) if _session(one) == identity.pid)]
    except psutil.Error:
        return 0.0
    return sum(map(_used, family))


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except OSError:
        return None


def _used(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
