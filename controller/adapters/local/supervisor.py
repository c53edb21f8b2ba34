"""The processes of `serin up`: the data plane first up and last down, and all of them kept running.

Nothing is ended because something else failed: what cannot be started, read or written is told, and tried again.
"""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from controller.adapters.local.kept import SUPERVISOR, KeptRecord, leftovers, refuse_second
from controller.adapters.local.liveness import Liveness, Patience, answers, used_by
from controller.adapters.local.loopback import get
from controller.adapters.local.marks import environment_of, marked
from controller.adapters.local.ports import held_words, is_held_by
from controller.adapters.local.processes_os import ProcessIdentity, end_groups, identity_of, runs, start_process
from controller.errors import PermanentError, SerinError, Source, TransientError, UsageError

_POLL_S = 0.05
_PROBE_WITHIN_S = 1.0
_BACKOFF_FIRST_S = 0.5
_BACKOFF_MAX_S = 30.0
_STEADY_AFTER_S = 60.0  # who ran for so long starts again without backoff
_LOG_TAIL_BYTES = 1500
_KEEPS_ENDING = 6  # deaths in a row, beyond which no more are told: it is tried as often as ever


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One program to keep. ``ready``: a URL that answers 200, or a question of its own, once others may rely on it.
    ``ports``: those that it listens at, by the names of their settings; what answers there and is another's is not it.

    ``data_plane``: it answers users. It is started before all others and ended after them, outlives a supervisor that
    is killed, and is taken up by the next one where it runs by the same command and the same ``env``. All others get
    SIGTERM when the supervisor ends, however that ends, and are ended where they hang (`liveness`): who answers users
    may do so while nothing else is answered. ``prepare`` is called before each start.
    """

    name: str
    command: Sequence[str]
    ready: str | Callable[[], bool]
    log_file: Path
    env: Mapping[str, str] | None = None  # besides that of the supervisor
    cwd: Path | None = None
    data_plane: bool = False
    prepare: Callable[[], None] | None = None
    ready_within_s: float = 60.0
    ports: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Running:
    spec: ProcessSpec
    identity: ProcessIdentity | None = None  # None: it could not be started
    child: subprocess.Popen[bytes] | None = None  # None: an earlier supervisor started it
    started_s: float = 0.0
    deaths: int = 0  # in a row
    start_again_s: float | None = None  # set while it is down
    liveness: Liveness | None = None  # None: nobody ends it for not answering
    held: str = ""  # by whom its ports are held, while it waits for them


class Supervisor:
    """Starts processes, the data plane first, and ends them in reverse when its ``with`` block is left.

    Call it from one thread that lives as long as the processes do. ``stopping`` may be set from anywhere (a signal
    handler): every wait ends at once. ``progress`` gets one line for each thing a person would want to know. ``chores``
    are done at each look beside the processes; what they raise is told.

    Raises:
        UsageError: on entering, where another supervisor runs in this home, or somebody else has a port.
    """

    def __init__(
        self,
        home: Path,
        specs: Sequence[ProcessSpec],
        *,
        progress: Callable[[str], None],
        stopping: threading.Event,
        grace_s: float = 15.0,
        chores: Sequence[Callable[[], None]] = (),
        patience: Patience = Patience(),  # noqa: B008 - it cannot be changed
    ) -> None:
        self._home = home
        self._specs = sorted(specs, key=lambda spec: not spec.data_plane)
        self._progress = progress
        self._stopping = stopping
        self._grace_s = grace_s
        self._patience = patience
        self._record = KeptRecord(home)
        self._chores = (self._write_record, *chores)
        self._running: list[_Running] = []
        self._left: dict[str, ProcessIdentity] = {}
        self._troubles: dict[object, str] = {}

    def __enter__(self) -> Self:
        self._home.mkdir(parents=True, exist_ok=True)
        refuse_second(self._home)
        self._left = leftovers(self._home)
        planes = {spec.name: spec for spec in self._specs if spec.data_plane}
        for name, identity in tuple(self._left.items()):
            if name not in planes or not _is_of(planes[name], identity):
                end_groups([identity], grace_s=self._grace_s, reap=())
                del self._left[name]
                self._progress(f"ended {name}, left over from an earlier run")
        if words := held_words([spec.ports for spec in self._specs if spec.name not in self._left]):
            raise UsageError(f"{words}, or choose other ports: `serin up --free-ports`")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> bool:
        """Start everything, and wait until all is ready but what has ended meanwhile or is late: that is told, and
        tried again by ``run``. Nothing waits for anything but the data plane. False where ``stopping`` was set.

        Raises:
            PermanentError: the data plane cannot be started; the message has the end of its log.
        """
        for spec in self._specs:
            if spec.data_plane and not self._is_up(self._launch(spec)):
                return False
        waiting = [self._launch(spec) for spec in self._specs if not spec.data_plane]
        while waiting and not self._stopping.is_set():
            waiting = [running for running in waiting if self._is_waited_for(running)]
            self.look()
            self._stopping.wait(_POLL_S)
        return not self._stopping.is_set()

    @property
    def missing(self) -> tuple[str, ...]:
        """Return what is to run and is not ready."""
        return tuple(running.spec.name for running in self._running if not _is_ready(running))

    def run(self) -> None:
        """Keep everything running until ``stopping`` is set."""
        while not self._stopping.wait(_POLL_S):
            self.look()

    def look(self) -> None:
        """Start again what has died and is due; do the chores. What goes wrong with one is told once, and stops
        nothing."""
        for running in self._running:
            with self._told(running.spec.name):
                self._look_at(running)
        for chore in self._chores:
            with self._told(chore):
                chore()

    def stop_all_but_data_plane(self) -> None:
        """End them in reverse order, each with its group: SIGTERM, then SIGKILL after the grace period."""
        self._end([running for running in self._running if not running.spec.data_plane])

    def stop(self) -> None:
        """End everything, the data plane last."""
        self._end(self._running)
        self._record.remove()

    def _end(self, ending: Sequence[_Running]) -> None:
        for running in reversed(ending):
            self._tell(f"ending {running.spec.name}")
            if running.identity is not None:
                end_groups([running.identity], grace_s=self._grace_s, reap=[running.child] if running.child else [])
        self._running = [running for running in self._running if running not in ending]

    # --- starting -------------------------------------------------------------------------------------------------
    def _launch(self, spec: ProcessSpec) -> _Running:
        running = _Running(spec)
        self._running.append(running)
        if (identity := self._left.get(spec.name)) is not None:
            running.identity, running.started_s = identity, time.monotonic()
            self._tell(f"{spec.name} is still running, and is taken over")
        else:
            self._tell(f"starting {spec.name}")
            with self._told(spec.name):
                self._start(running)
        with self._told(self._write_record):
            self._write_record()
        return running

    def _start(self, running: _Running) -> None:
        spec = running.spec
        running.identity, running.child = None, None
        running.started_s, running.start_again_s = time.monotonic(), self._pause(running)
        if spec.prepare is not None:
            spec.prepare()
        env = marked(self._home, spec.name, {**os.environ, **(spec.env or {})})
        child = start_process(spec.command, spec.log_file, env=env, cwd=spec.cwd, ends_with_us=not spec.data_plane)
        running.child, running.start_again_s = child, None
        running.identity = identity_of(child.pid)
        if running.identity is not None and not spec.data_plane:
            running.liveness = Liveness(
                partial(answers, spec.ready), partial(used_by, running.identity), self._patience
            )

    def _is_up(self, running: _Running) -> bool:
        """Return whether the process is ready; False where ``stopping`` was set first.

        Raises:
            PermanentError: it has ended, or was not ready in time.
        """
        spec = running.spec
        while not _is_ready(running):
            if not _runs(running):
                raise PermanentError(f"{spec.name} {_end_of(running)}: {_log_tail(spec)}")
            if self._is_late(running):
                raise PermanentError(f"{spec.name} was not ready within {spec.ready_within_s:g} s: {_log_tail(spec)}")
            if self._stopping.wait(_POLL_S):
                return False
        self._tell_ready(running)
        return True

    def _is_waited_for(self, running: _Running) -> bool:
        spec = running.spec
        if _is_ready(running):
            self._tell_ready(running)
            return False
        if self._is_late(running):
            self._tell(f"{spec.name} was not ready within {spec.ready_within_s:g} s: {_log_tail(spec)}")
            return False
        return running.deaths == 0

    def _is_late(self, running: _Running) -> bool:
        return time.monotonic() > running.started_s + running.spec.ready_within_s

    def _tell_ready(self, running: _Running) -> None:
        self._tell(f"{running.spec.name} is ready after {time.monotonic() - running.started_s:.1f} s")

    # --- keeping --------------------------------------------------------------------------------------------------
    def _look_at(self, running: _Running) -> None:
        if running.start_again_s is not None:
            self._start_again(running)
            return
        if running.identity is None and running.child is not None:  # it could not be asked for at the start
            running.identity = identity_of(running.child.pid)
        if not _runs(running):
            self._note_death(running)
        elif running.deaths >= _KEEPS_ENDING and time.monotonic() - running.started_s > _STEADY_AFTER_S:
            running.deaths = 0
            self._tell(f"{running.spec.name} runs again")
        elif running.liveness is not None and running.liveness.hangs(time.monotonic()):
            self._tell(f"{running.spec.name} runs and has stopped answering: it is ended, to be started again")
            running.liveness = None
            if running.identity is not None:
                end_groups([running.identity], grace_s=0, reap=[])

    def _start_again(self, running: _Running) -> None:
        """Start it, if that is due and its ports are free.

        Raises:
            TransientError: somebody else has one: it waits for that.
        """
        if time.monotonic() >= (running.start_again_s or 0.0):
            running.held = _held(running.spec)
            if not running.held:
                self._start(running)
                if running.deaths < _KEEPS_ENDING:
                    self._tell(f"started {running.spec.name} again")
                return
            running.start_again_s = self._pause(running)
        if running.held:
            raise TransientError(Source.HOME, f"{running.spec.name} waits: {running.held}")

    def _note_death(self, running: _Running) -> None:
        spec, end = running.spec, _end_of(running)
        if running.identity is not None:  # what it may have left behind
            end_groups([running.identity], grace_s=0, reap=[running.child] if running.child else [])
        if time.monotonic() - running.started_s > _STEADY_AFTER_S:
            running.deaths = 0
        running.start_again_s = self._pause(running)
        running.deaths += 1
        pause_s = running.start_again_s - time.monotonic()
        again = f"starts again in {pause_s:.1f} s"
        if running.deaths == _KEEPS_ENDING:
            again = f"{running.deaths} times in a row: Serin keeps trying, and says when it is running"
        if running.deaths <= _KEEPS_ENDING:
            self._tell(f"{spec.name} {end}, {again}; {spec.log_file} ends: {_last_line(spec)}")

    def _pause(self, running: _Running) -> float:
        """Return when it is started again, should it not run."""
        return time.monotonic() + min(_BACKOFF_FIRST_S * 2.0 ** min(running.deaths, 16), _BACKOFF_MAX_S)

    def _write_record(self) -> None:
        running = {running.spec.name: running.identity for running in self._running}
        kept = {name: identity for name, identity in running.items() if identity is not None}
        self._record.write({SUPERVISOR: identity_of_self(), **kept})

    # --- telling --------------------------------------------------------------------------------------------------
    def _told(self, what: object) -> "_Told":
        return _Told(self._troubles, what, self._tell)

    def _tell(self, line: str) -> None:
        try:
            self._progress(line)
        except (OSError, SerinError):  # nobody can be told, as on a full disk: no reason to end anything
            return


@dataclass(frozen=True, slots=True)
class _Told:
    """Within, whatever goes wrong is told once, and once more when it is over."""

    troubles: dict[object, str]
    what: object
    tell: Callable[[str], None]

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        before = self.troubles.get(self.what)
        if error is None:
            if before is not None:
                del self.troubles[self.what]
                self.tell(f"over: {before}")
            return False
        if not isinstance(error, Exception):
            return False
        now = str(error) if isinstance(error, SerinError) else f"{type(error).__name__}: {error}"
        if now != before:
            self.troubles[self.what] = now
            self.tell(f"{now}; nothing is ended because of that, and it is tried again")
        return True


def identity_of_self() -> ProcessIdentity:
    """This very process.

    Raises:
        PermanentError: it cannot see itself.
    """
    identity = identity_of(os.getpid())
    if identity is None:
        raise PermanentError("this process cannot see itself: is /proc mounted?")
    return identity


def _is_of(spec: ProcessSpec, identity: ProcessIdentity) -> bool:
    """Return whether the process runs as it would be started now."""
    try:
        command, env = psutil.Process(identity.pid).cmdline(), environment_of(identity)
    except psutil.Error:
        return False
    wanted = spec.env or {}
    return command == list(spec.command) and all(env.get(name) == value for name, value in wanted.items())


def _runs(running: _Running) -> bool:
    if running.child is not None:
        return running.child.poll() is None
    return running.identity is not None and runs(running.identity)


def _end_of(running: _Running) -> str:
    code = running.child.returncode if running.child is not None else None
    return "ended" if code is None else f"ended with code {code}"


def _is_ready(running: _Running) -> bool:
    """Return whether it answers, and it is itself that does."""
    ready, identity = running.spec.ready, running.identity
    try:
        answers = ready() if not isinstance(ready, str) else get(ready, timeout_s=_PROBE_WITHIN_S)[0] == 200
    except (OSError, SerinError):
        return False
    return answers and all(identity is None or is_held_by(port, identity) for port in running.spec.ports.values())


def _held(spec: ProcessSpec) -> str:
    """Return who has ports that the program listens at; nothing where they are free."""
    return held_words([spec.ports])


def _last_line(spec: ProcessSpec) -> str:
    return _log_tail(spec).splitlines()[-1]


def _log_tail(spec: ProcessSpec) -> str:
    try:
        with spec.log_file.open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - _LOG_TAIL_BYTES))
            said = log.read().decode("utf-8", errors="replace").strip()
    except OSError as error:
        said = f"({error.strerror})"
    return said or "(it said nothing)"
