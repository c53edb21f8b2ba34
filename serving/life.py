"""The life of a replica: a supervisor that starts the HTTP process and the workers, waits, and ends them all.

No process polls another and none can outlive the replica, on any system: the supervisor holds one end of a socket to
the HTTP process, which holds one end of a socket to each worker. Whoever ends, however it ends, closes his ends; the
HTTP process then drains and ends, and a worker ends when nobody can send it anything any more. So a stop, a crash and
a kill -9 all take the same road.
"""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import time
from collections import deque
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import uvicorn
from litserve.callbacks import CallbackRunner
from litserve.loops import inference_worker

from serving.app import ReplicaServer, build
from serving.artifact import Manifest
from serving.capture import Capture
from serving.front import Front
from serving.link import WorkerEnd
from serving.metrics import ApiMetrics
from serving.settings import Settings

_log = logging.getLogger(__name__)

_fork = multiprocessing.get_context("fork")  # before any thread or engine exists: quick, and pages are shared
_WORKER_DEATHS_MAX: Final = 3
_WORKER_DEATHS_WINDOW_S: Final = 60.0
_WORKER_END_S: Final = 5.0
_CAPTURE_FLUSH_S: Final = 3.0
_KEEP_ALIVE_S: Final = 3700  # longer than a gateway's idle hour, so that it is never we who close under a new request


class Supervisor:
    """Single-threaded on purpose: it forks, also later when it replaces a worker."""

    def __init__(self, server: ReplicaServer, listener: socket.socket, metrics_directory: Path) -> None:
        self._server = server
        self._listener = listener
        self._metrics_directory = metrics_directory
        self._deaths_s: deque[float] = deque(maxlen=_WORKER_DEATHS_MAX)
        self._stop_read, self._stop_write = os.pipe()
        self._control, self._control_api = socket.socketpair()

    def run(self) -> int:
        """Serve until told to stop (0) or until a part is lost for good (1)."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os.write(self._stop_write, b"s"))
        api = self._start_api()
        workers = [self._start_worker(0)]
        try:
            return self._watch(api, workers)
        finally:
            self._end(api, workers)

    def _start_api(self) -> BaseProcess:
        process = _fork.Process(target=self._api_main, name="http")
        process.start()
        self._control_api.close()
        self._listener.close()
        return process

    def _start_worker(self, number: int) -> BaseProcess:
        api_end, worker_end = socket.socketpair()
        process = _fork.Process(target=self._worker_main, args=(number, worker_end, api_end), name=f"worker-{number}")
        process.start()
        worker_end.close()
        with contextlib.suppress(BrokenPipeError):  # the HTTP process has just ended, which _watch sees next
            socket.send_fds(self._control, [b"w"], [api_end.fileno()])
        api_end.close()
        return process

    def _watch(self, api: BaseProcess, workers: list[BaseProcess]) -> int:
        while True:
            ended = wait([self._stop_read, api.sentinel, *(worker.sentinel for worker in workers)])
            if self._stop_read in ended:
                return 0
            if api.sentinel in ended:
                _log.error("the HTTP process ended with %s", api.exitcode)
                return 1
            for number, worker in enumerate(workers):
                if worker.sentinel not in ended:
                    continue
                worker.join()
                if not self._may_replace():
                    _log.error("worker %d ended with %s; not replaced again", number, worker.exitcode)
                    return 1
                _log.error("worker %d ended with %s; replaced", number, worker.exitcode)
                workers[number] = self._start_worker(number)

    def _may_replace(self) -> bool:
        now_s = time.monotonic()
        self._deaths_s.append(now_s)
        many = len(self._deaths_s) == _WORKER_DEATHS_MAX
        return not (many and now_s - self._deaths_s[0] < _WORKER_DEATHS_WINDOW_S)

    def _end(self, api: BaseProcess, workers: list[BaseProcess]) -> None:
        self._control.close()
        _end_within(api, self._server.settings.drain_s + _CAPTURE_FLUSH_S + 1)
        for worker in workers:
            _end_within(worker, _WORKER_END_S)

    def _api_main(self) -> None:
        supervisor_pid = os.getppid()
        self._control.close()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # the supervisor decides; its end of the control socket tells
        serve_http(self._server, self._listener, self._control_api, supervisor_pid)
        if os.getppid() != supervisor_pid:  # orphaned: nobody else is left to clean up
            shutil.rmtree(self._metrics_directory, ignore_errors=True)

    def _worker_main(self, number: int, worker_end: socket.socket, api_end: socket.socket) -> None:
        for open_end in (api_end, self._control):
            open_end.close()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signal_number, signal.SIG_IGN)  # drained requests still need a worker
        classifier = self._server.classifier
        inference_worker(classifier, "cpu", number, WorkerEnd(worker_end), None, {}, CallbackRunner(), False)  # noqa: FBT003


def _end_within(process: BaseProcess, timeout_s: float) -> None:
    process.join(timeout_s)
    if process.is_alive():
        _log.error("%s did not end within %g s and is killed", process.name, timeout_s)
        process.kill()
        process.join()


def serve_http(server: ReplicaServer, listener: socket.socket, control: socket.socket, supervisor_pid: int) -> None:
    """The HTTP process: serves until the control socket's other end is closed, then drains."""
    settings, identity = server.settings, server.identity
    metrics = ApiMetrics(identity.model, identity.version, settings.objectives_ms)
    capture = Capture(settings.capture, metrics)
    front, app = build(server, capture, metrics, supervisor_pid)
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.drain_s),
    )
    http = uvicorn.Server(config)

    async def main() -> None:
        follower = asyncio.create_task(_follow(control, front, http))
        capture.start()
        await http.serve(sockets=[listener])
        follower.cancel()
        await asyncio.to_thread(capture.stop, _CAPTURE_FLUSH_S)

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(main())


async def _follow(control: socket.socket, front: Front, http: uvicorn.Server) -> None:
    """Take in each new worker's socket; when the supervisor closes the control socket, or dies, stop."""
    control.settimeout(0)
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(control, readable.set)
    try:
        while True:
            await readable.wait()
            readable.clear()
            message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not message:
                return
            await front.dispatcher.add_worker(socket.socket(fileno=descriptors[0]))
    finally:
        loop.remove_reader(control)
        http.should_exit = True


def run(settings: Settings, manifest: Manifest, fingerprint: str, listener: socket.socket, metrics: Path) -> int:
    """Serve one verified version on a listening socket; returns the exit status."""
    library = logging.getLogger("litserve")  # writes to standard output by a handler of its own unless told not to
    library.handlers.clear()
    library.propagate = True
    library.setLevel(logging.WARNING)
    return Supervisor(ReplicaServer(settings, manifest, fingerprint), listener, metrics).run()
