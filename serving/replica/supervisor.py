"""The life of a replica: a supervisor that starts the HTTP processes and the workers, waits, and ends them all.

No process polls another and none can outlive the replica, on any system: the supervisor holds one end of a socket to
each HTTP process, which holds one end of a socket to each worker. Whoever ends, however it ends, closes his ends; the
HTTP processes then drain and end, and a worker ends when nobody can send it anything any more. So a stop, a crash and
a kill -9 all take the same road.

A worker that is lost is replaced; with an HTTP process the replica ends, the other ones drained: whoever started the
replica starts it anew, and a gateway sees it go.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Final

from litserve.callbacks import CallbackRunner
from litserve.loops import inference_worker

from serving.contract import EXIT_REFUSED, EXIT_SHORTAGE
from serving.http.listener import Listeners
from serving.ipc.shared import PID_BYTES, Life, Place, WorkerCounts, packed
from serving.ipc.worker_end import WorkerEnd
from serving.observe.metrics import ApiMetrics, WorkerMetrics, shared_counters
from serving.package.artifact import ArtifactError, Manifest, read_manifest, verify
from serving.replica.app import ReplicaServer
from serving.replica.http_process import FLUSH_S, serve_http
from serving.resources.cgroups import memory_kills
from serving.settings import Settings

_log = logging.getLogger(__name__)

_fork = multiprocessing.get_context("fork")  # before any thread or engine exists: quick, and pages are shared
_WORKER_DEATHS_MAX: Final = 3
_WORKER_DEATHS_WINDOW_S: Final = 60.0
_WORKER_END_S: Final = 5.0


class Supervisor:
    """Single-threaded on purpose: it forks, also later when it replaces a worker."""

    def __init__(
        self,
        server: ReplicaServer,
        listeners: Listeners,
        memory_kills: Callable[[], int | None] = memory_kills,
    ) -> None:
        """``memory_kills``: as `serving.resources.cgroups.memory_kills`."""
        self._server = server
        self._memory_kills = memory_kills
        self._kills_before = memory_kills()
        self._hung: set[int | None] = set()  # workers that were ended by us
        self._listeners = listeners
        self._deaths_s: deque[float] = deque(maxlen=_WORKER_DEATHS_MAX)
        self._stop_read, self._stop_write = os.pipe()
        self._controls: list[socket.socket] = []  # one for each HTTP process
        self._counts = WorkerCounts()
        settings = server.settings
        self._life = Life(settings.api_processes)
        processes = settings.api_processes + settings.workers
        self._counters = shared_counters(settings.model, settings.version, settings.objectives_ms, processes)

    def run(self) -> int:
        """Serve until told to stop (0), until a part is lost for good (1), or it is known why none can serve."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os.write(self._stop_write, b"s"))
        settings = self._server.settings
        apis = [self._start_api(number) for number in range(settings.api_processes)]
        self._listeners.close()
        workers = [self._start_worker(number) for number in range(settings.workers)]
        try:
            return self._watch(apis, workers)
        finally:
            self._end(apis, workers)

    def _start_api(self, number: int) -> BaseProcess:
        control, control_api = socket.socketpair()
        self._controls.append(control)
        process = _fork.Process(target=self._api_main, args=(number, control_api), name=f"http-{number}")
        process.start()
        control_api.close()
        return process

    def _start_worker(self, number: int, *, again: bool = False) -> BaseProcess:
        pairs = [socket.socketpair() for _ in self._controls]
        process = _fork.Process(target=self._worker_main, args=(number, pairs, again), name=f"worker-{number}")
        process.start()
        self._counts.started()
        for control, (api_end, worker_end) in zip(self._controls, pairs, strict=True):
            worker_end.close()
            with contextlib.suppress(BrokenPipeError):  # that HTTP process has just ended, which _watch sees next
                socket.send_fds(control, [packed(process.pid or 0)], [api_end.fileno()])
            api_end.close()
        return process

    def _watch(self, apis: Sequence[BaseProcess], workers: list[BaseProcess]) -> int:
        while True:
            sentinels = [process.sentinel for process in (*apis, *workers)]
            ended = wait([self._stop_read, *self._controls, *sentinels])
            if self._stop_read in ended:
                return 0
            for control in self._controls:
                if control in ended:
                    self._end_hung(control, workers)
            for api in apis:
                if api.sentinel in ended:
                    api.join()
                    _log.error("%s ended with %s", api.name, api.exitcode)
                    return 1
            for number, worker in enumerate(workers):
                if worker.sentinel not in ended:
                    continue
                worker.join()
                self._counts.lost()
                if worker.exitcode in (EXIT_REFUSED, EXIT_SHORTAGE):  # it has said why; another would say the same
                    return worker.exitcode
                if not self._may_replace():
                    _log.error("%s ended with %s; not replaced again", worker.name, worker.exitcode)
                    return self._why_lost(worker)
                _log.error("%s ended with %s; replaced", worker.name, worker.exitcode)
                self._counts.replaced()
                workers[number] = self._start_worker(number, again=True)

    def _why_lost(self, worker: BaseProcess) -> int:
        """The exit status: of this machine, where its kernel has ended processes for want of memory since the start,
        and so perhaps this one; else of the version."""
        by_kernel = worker.exitcode == -signal.SIGKILL and worker.pid not in self._hung
        if by_kernel and self._kills_before is not None and (self._memory_kills() or 0) > self._kills_before:
            _log.error("this machine has no memory left: its kernel has ended processes")
            return EXIT_SHORTAGE
        return 1

    def _end_hung(self, control: socket.socket, workers: Sequence[BaseProcess]) -> None:
        """End the worker that an HTTP process names; it may have ended since. Its sentinel tells the rest."""
        try:
            said = control.recv(PID_BYTES)
        except ConnectionResetError:  # that HTTP process ended before it read everything
            return
        for worker in workers:
            if said == packed(worker.pid or 0):
                _log.error("%s hangs: it has given no sign of life; ended", worker.name)
                self._hung.add(worker.pid)
                worker.kill()

    def _may_replace(self) -> bool:
        now_s = time.monotonic()
        self._deaths_s.append(now_s)
        many = len(self._deaths_s) == _WORKER_DEATHS_MAX
        return not (many and now_s - self._deaths_s[0] < _WORKER_DEATHS_WINDOW_S)

    def _end(self, apis: Sequence[BaseProcess], workers: Sequence[BaseProcess]) -> None:
        settings = self._server.settings
        for control in self._controls:
            control.close()
        deadline_s = time.monotonic() + settings.quiet_s + settings.drain_s + 3 * FLUSH_S + 2
        for api in apis:
            _end_until(api, deadline_s)
        deadline_s = time.monotonic() + _WORKER_END_S
        for worker in workers:
            _end_until(worker, deadline_s)

    def _api_main(self, number: int, control: socket.socket) -> None:
        for other in self._controls:
            other.close()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signal_number, signal.SIG_IGN)  # the supervisor decides; its end of the socket tells
        place = Place(number, os.getppid(), self._counts, self._life, control)
        serve_http(self._server, self._listeners, place, ApiMetrics(self._counters, number))

    def _worker_main(self, number: int, pairs: Sequence[tuple[socket.socket, socket.socket]], again: bool) -> None:  # noqa: FBT001 - of a fork
        for open_end in (*self._controls, *(api_end for api_end, _ in pairs)):
            open_end.close()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signal_number, signal.SIG_IGN)  # drained requests still need a worker
        if again:
            _check_unchanged(self._server)
        end = WorkerEnd([worker_end for _, worker_end in pairs])
        classifier = self._server.classifier
        classifier.metrics = WorkerMetrics(self._counters, self._server.settings.api_processes + number)
        inference_worker(classifier, "cpu", number, end, None, {}, CallbackRunner(), False)  # noqa: FBT003


def _check_unchanged(server: ReplicaServer) -> None:
    """The files may be others by now than those that were verified at the start: a worker that replaces another reads
    them anew. Ends this process where they are, or where they cannot be read."""
    try:
        verify(server.settings.artifact)
        unchanged = read_manifest(server.settings.artifact)[1] == server.fingerprint
    except ArtifactError as error:
        _log.error("artifact refused: it has changed since this replica was started: %s", error)
        raise SystemExit(EXIT_REFUSED) from error
    except OSError as error:
        _log.error("this machine cannot serve it: %s", error)
        raise SystemExit(EXIT_SHORTAGE) from error
    if not unchanged:
        _log.error("artifact refused: it is not the one that this replica was started with")
        raise SystemExit(EXIT_REFUSED)


def _end_until(process: BaseProcess, deadline_s: float) -> None:
    process.join(max(0.0, deadline_s - time.monotonic()))
    if process.is_alive():
        _log.error("%s did not end in time and is killed", process.name)
        process.kill()
        process.join()


def run(settings: Settings, manifest: Manifest, fingerprint: str, listeners: Listeners) -> int:
    """Serve one verified version; returns the exit status."""
    library = logging.getLogger("litserve")  # writes to standard output by a handler of its own unless told not to
    library.handlers.clear()
    library.propagate = True
    library.setLevel(logging.WARNING)
    return Supervisor(ReplicaServer(settings, manifest, fingerprint), listeners).run()
