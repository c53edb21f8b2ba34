"""The processes of `serin up`: started in order, kept running, and ended together."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from controller.adapters.files import replace_file
from controller.adapters.local.loopback import get
from controller.adapters.local.processes_os import (
    ProcessIdentity,
    end_groups,
    group_runs,
    identity_of,
    runs,
    start_process,
)
from controller.errors import PermanentError, UsageError

PROCESSES_FILE = "processes.json"
_SUPERVISOR = "serin up"
_POLL_S = 0.05
_PROBE_WITHIN_S = 1.0
_BACKOFF_FIRST_S = 0.5
_BACKOFF_MAX_S = 30.0
_STEADY_AFTER_S = 60.0  # who ran for so long starts again without backoff
_LOG_TAIL_BYTES = 1500


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One program to keep. ``ready``: a URL that answers 200, or a question of its own, once others may rely on it.

    ``ends_with_us``: SIGTERM reaches it even when the supervisor is killed. Not for what answers users meanwhile.
    """

    name: str
    command: Sequence[str]
    ready: str | Callable[[], bool]
    log_file: Path
    env: Mapping[str, str] | None = None  # None: that of the supervisor
    cwd: Path | None = None
    restart: bool = True
    ends_with_us: bool = True
    ready_within_s: float = 60.0


@dataclass(slots=True)
class _Running:
    spec: ProcessSpec
    child: subprocess.Popen[bytes]
    identity: ProcessIdentity
    started_s: float
    deaths: int = 0  # in a row
    start_again_s: float | None = None  # set while it is down


class Supervisor:
    """Starts processes in the order given, and ends them in reverse when its ``with`` block is left.

    Call it from one thread that lives as long as the processes do. ``stopping`` may be set from anywhere (a signal
    handler): every wait ends at once. ``progress`` gets one line for each thing a person would want to know.

    Raises:
        UsageError: on entering, where another supervisor runs in this home.
    """

    def __init__(
        self,
        home: Path,
        specs: Sequence[ProcessSpec],
        *,
        progress: Callable[[str], None],
        stopping: threading.Event,
        grace_s: float = 15.0,
    ) -> None:
        self._home = home
        self._specs = specs
        self._progress = progress
        self._stopping = stopping
        self._grace_s = grace_s
        self._running: list[_Running] = []

    def __enter__(self) -> Self:
        self._home.mkdir(parents=True, exist_ok=True)
        refuse_second(self._home)
        for name in end_leftovers(self._home, grace_s=self._grace_s):
            self._progress(f"ended {name}, left over from an earlier run")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> bool:
        """Start each process and wait until it is ready before the next. False where ``stopping`` was set meanwhile.

        Raises:
            PermanentError: one ended or was not ready in time; the message has the end of its log.
        """
        for spec in self._specs:
            if self._stopping.is_set():
                return False
            self._progress(f"starting {spec.name}")
            running = self._started(spec)
            self._running.append(running)
            self._record()
            if not self._await_ready(running):
                return False
            self._progress(f"{spec.name} is ready after {time.monotonic() - running.started_s:.1f} s")
        return True

    def run(self) -> None:
        """Keep everything running until ``stopping`` is set.

        Raises:
            PermanentError: a process that is not to be started again has ended.
        """
        while not self._stopping.wait(_POLL_S):
            self.look()

    def look(self) -> None:
        """Start again what has died and is due; see ``run``."""
        for running in self._running:
            if running.start_again_s is not None:
                if time.monotonic() >= running.start_again_s:
                    self._start_again(running)
            elif running.child.poll() is not None:
                self._note_death(running)

    def stop(self) -> None:
        """End everything in reverse order, each with its group: SIGTERM, then SIGKILL after the grace period."""
        for running in reversed(self._running):
            self._progress(f"ending {running.spec.name}")
            end_groups([running.identity], grace_s=self._grace_s, reap=[running.child])
        self._running.clear()
        (self._home / PROCESSES_FILE).unlink(missing_ok=True)

    def _started(self, spec: ProcessSpec) -> _Running:
        child = start_process(spec.command, spec.log_file, env=spec.env, cwd=spec.cwd, ends_with_us=spec.ends_with_us)
        identity = identity_of(child.pid)  # our child until it is reaped, so it is there
        if identity is None:
            raise PermanentError(f"{spec.name} was started, but no process {child.pid} is to be found")
        return _Running(spec, child, identity, started_s=time.monotonic())

    def _await_ready(self, running: _Running) -> bool:
        spec = running.spec
        deadline_s = running.started_s + spec.ready_within_s
        while not _is_ready(spec):
            if running.child.poll() is not None:
                raise PermanentError(f"{spec.name} ended with code {running.child.returncode}: {_log_tail(spec)}")
            if time.monotonic() > deadline_s:
                raise PermanentError(f"{spec.name} was not ready within {spec.ready_within_s:g} s: {_log_tail(spec)}")
            if self._stopping.wait(_POLL_S):
                return False
        return True

    def _note_death(self, running: _Running) -> None:
        spec, code = running.spec, running.child.returncode
        end_groups([running.identity], grace_s=0, reap=[running.child])  # what it may have left behind
        if not spec.restart:
            raise PermanentError(f"{spec.name} ended with code {code}: {_log_tail(spec)}")
        if time.monotonic() - running.started_s > _STEADY_AFTER_S:
            running.deaths = 0
        pause_s = min(_BACKOFF_FIRST_S * 2.0**running.deaths, _BACKOFF_MAX_S)
        running.deaths += 1
        running.start_again_s = time.monotonic() + pause_s
        self._progress(f"{spec.name} ended with code {code}, starts again in {pause_s:g} s; its log: {spec.log_file}")

    def _start_again(self, running: _Running) -> None:
        again = self._started(running.spec)
        running.child, running.identity, running.started_s = again.child, again.identity, again.started_s
        running.start_again_s = None
        self._record()
        self._progress(f"started {running.spec.name} again")

    def _record(self) -> None:
        us = identity_of_self()
        entries = {_SUPERVISOR: asdict(us)} | {running.spec.name: asdict(running.identity) for running in self._running}
        replace_file(self._home / PROCESSES_FILE, json.dumps(entries, indent=1))


def identity_of_self() -> ProcessIdentity:
    """This very process."""
    identity = identity_of(os.getpid())
    if identity is None:
        raise PermanentError("this process cannot see itself: is /proc mounted?")
    return identity


def running_supervisor(home: Path) -> ProcessIdentity | None:
    """The supervisor that holds this home up, if one does. SIGTERM to it ends everything in order."""
    supervisor = _recorded(home).get(_SUPERVISOR)
    return supervisor if supervisor is not None and runs(supervisor) else None


def refuse_second(home: Path) -> None:
    """Raise UsageError where a supervisor holds this home up."""
    if (other := running_supervisor(home)) is not None:
        raise UsageError(f"already up in {home}, as process {other.pid}: `serin down` ends it")


def end_leftovers(home: Path, *, grace_s: float = 15.0) -> list[str]:
    """End what a supervisor that was itself killed has left running here, and return the names.

    Nothing is ended while that supervisor runs.
    """
    if running_supervisor(home) is not None:
        return []
    recorded = _recorded(home)
    recorded.pop(_SUPERVISOR, None)
    left = {name: identity for name, identity in recorded.items() if group_runs(identity)}
    end_groups(list(left.values()), grace_s=grace_s, reap=())
    (home / PROCESSES_FILE).unlink(missing_ok=True)
    return list(left)


def _recorded(home: Path) -> dict[str, ProcessIdentity]:
    path = home / PROCESSES_FILE
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {name: ProcessIdentity(**identity) for name, identity in entries.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise PermanentError(f"{path} is damaged ({error}): end Serin's processes by hand, then remove it") from error


def _is_ready(spec: ProcessSpec) -> bool:
    if not isinstance(spec.ready, str):
        return spec.ready()
    try:
        return get(spec.ready, timeout_s=_PROBE_WITHIN_S)[0] == 200
    except OSError:
        return False


def _log_tail(spec: ProcessSpec) -> str:
    with spec.log_file.open("rb") as log:
        log.seek(max(0, log.seek(0, 2) - _LOG_TAIL_BYTES))
        return log.read().decode("utf-8", errors="replace").strip() or "(it said nothing)"
