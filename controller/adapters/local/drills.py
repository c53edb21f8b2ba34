"""Failures that are injected into replicas of this machine, by signals to the processes in their records."""

import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final

import psutil

from controller.adapters.local.drill_guard import Guard
from controller.adapters.local.drill_news import News
from controller.adapters.local.loopback import get
from controller.adapters.local.processes_os import runs, signal_group
from controller.adapters.local.records import Record, Records
from controller.core.drills import Check
from controller.errors import UsageError
from gates.outcome import Outcome
from gates.wording import pct
from serving.contract import COLD_REQUESTS_METRIC, METRICS_ROUTE

STOPPED_MS_MAX: Final = 400.0  # health checks of half a second are still answered
_METRICS_WITHIN_S: Final = 5.0
_GO_SHARE: Final = 0.25  # of the time that they are stopped


@dataclass
class Slowed:
    """Replicas that are stopped and released in turns. The guard, which knows them, releases them if this process dies;
    without it nothing is stopped."""

    records: Sequence[Record]
    stopped_ms: float
    guard: Guard
    _thread: threading.Thread | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def targets(self) -> Sequence[str]:
        return [one.name for one in self.records]

    def begin(self) -> str:
        for one in self.records:
            if not runs(one.identity):
                raise UsageError(f"{one.name} is not running: see `serin doctor`")
            if psutil.Process(one.pid).status() == psutil.STATUS_STOPPED:
                raise UsageError(
                    f"{one.name}, process {one.pid}, is stopped already, and not by this drill: send it SIGCONT"
                )
        self._thread = threading.Thread(target=self._take_turns, name="drill")
        self._thread.start()
        share = 1 / (1 + _GO_SHARE)
        targets = ", ".join(self.targets)
        return f"{targets} stopped for {self.stopped_ms:.0f} ms at a time, {pct(share, 0)} of the time in all"

    def _take_turns(self) -> None:
        try:
            while self.guard.is_there():
                self._signal(signal.SIGSTOP)
                if self._over.wait(self.stopped_ms / 1_000):
                    return
                self._signal(signal.SIGCONT)
                if self._over.wait(_GO_SHARE * self.stopped_ms / 1_000):
                    return
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for one in self.records:
            signal_group(one.identity, number)

    def end(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def broken_off(self) -> str:
        gone = [one.name for one in self.records if not runs(one.identity)]
        if gone:
            return f"{', '.join(gone)} ended, and is left alone"
        return "" if self.guard.is_there() else "the guard was ended: nothing more is stopped"

    def told(self) -> Sequence[str]:
        return ()

    def checks(self) -> Sequence[Check]:
        return ()

    def is_over(self) -> bool:
        return self._over.is_set()


@dataclass
class Killed(News):
    """One process killed with SIGKILL: an inference worker of a replica, or the replica with all that it runs. Nothing
    has to be undone: whatever keeps it running restarts it."""

    directory: Path
    record: Record
    worker: bool
    token: str = ""  # by which a replica is asked for its metrics
    _url: str = ""  # of the replica that took its place
    _pid: int = 0
    _before: frozenset[int] = frozenset()
    _again: str = ""

    @property
    def targets(self) -> Sequence[str]:
        return [f"a worker of {self.record.name}" if self.worker else self.record.name]

    def begin(self) -> str:
        name = self.record.name
        if not runs(self.record.identity):
            raise UsageError(f"{name} is not running: see `serin doctor`")
        if not self.worker:
            self._pid = self.record.pid
            signal_group(self.record.identity, signal.SIGKILL)
            return f"{name}, process {self._pid}, was killed with SIGKILL"
        children = self._children()
        if not children:
            raise UsageError(f"{name} has no worker")
        self._pid, self._before = children[-1], frozenset(children)  # they are started after what speaks HTTP
        psutil.Process(self._pid).kill()
        return f"a worker of {name}, process {self._pid}, was killed with SIGKILL"

    def _children(self) -> list[int]:
        try:
            children = psutil.Process(self.record.pid).children(recursive=True)
            return [one.pid for one in sorted(children, key=lambda one: one.create_time())]
        except psutil.Error:
            return []

    def end(self) -> None: ...

    def look(self) -> None:
        if self._again:
            return
        if self.worker:
            if new := [pid for pid in self._children() if pid not in self._before]:
                self._again = f"another worker, process {new[0]}, took the place of {self._pid}"
        else:
            found = next((one for one in Records(self.directory).readable() if one.name == self.record.name), None)
            if found is not None and found.pid != self._pid and found.answered:
                self._url = found.url or ""
                self._again = f"{found.name} is running again as process {found.pid}, and answers"
        if self._again:
            self._told.append(self._again)

    def is_over(self) -> bool:
        self.look()
        return bool(self._again)

    def checks(self) -> Sequence[Check]:
        self.look()
        promise = f"A {'worker' if self.worker else 'replica'} that ended is started again"
        if not self._again:
            return (Check(promise, Outcome.FAIL, f"Nothing took the place of process {self._pid}."),)
        again = Check(promise, Outcome.PASS, f"{self._again[0].upper()}{self._again[1:]}.")
        return (again,) if self.worker else (again, self._warmth())

    def _warmth(self) -> Check:
        promise = "No request reaches a replica before it is warm"
        try:
            status, body = get(self._url + METRICS_ROUTE, timeout_s=_METRICS_WITHIN_S, token=self.token)
        except OSError as error:
            return Check(promise, Outcome.ERROR, f"It does not say: {error}.")
        if status != HTTPStatus.OK:
            return Check(promise, Outcome.ERROR, f"It does not say: it answers with status {status}.")
        cold = requests_that_were_cold(body.decode("utf-8", errors="replace"))
        return Check(promise, Outcome.FAIL if cold else Outcome.PASS, f"{cold:,} requests reached it cold.")


def requests_that_were_cold(metrics: str) -> int:
    """Return the number of requests that reached a replica cold, by its own metrics since its start."""
    lines = (line for line in metrics.splitlines() if line.startswith(COLD_REQUESTS_METRIC))
    return round(sum(float(line.rpartition(" ")[2]) for line in lines))
