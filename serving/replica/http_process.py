"""An HTTP process of a replica: its parts are made in it, it serves until it is told to end, and drains."""

import asyncio
import contextlib
import functools
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, cast

import uvicorn

from serving.access.log import AccessLog
from serving.http.connections import GuardedProtocol, close_late
from serving.http.front import Front
from serving.http.listener import Listeners, begin_no_more
from serving.ipc.shared import PID_BYTES, Place
from serving.messages import Identity
from serving.observe.capture import Capture
from serving.observe.metrics import ApiMetrics
from serving.observe.mirror import Mirror
from serving.replica.app import ReplicaServer, build
from serving.settings import Settings, TracingSettings

if TYPE_CHECKING:
    from serving.observe.tracing import Tracing

FLUSH_S: Final = 3.0
_MIRROR_STOP_S: Final = 0.5
_QUIET_LOOK_S: Final = 0.02
_LAST_CONNECTIONS_S: Final = 0.1  # for those that are half made, and their requests
_KEEP_ALIVE_S: Final = 3700  # longer than a gateway's idle hour, so that it is never we who close under a new request


class _Http(uvicorn.Server):
    """Told to end by ``should_exit`` alone: signals are the supervisor's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve_http(server: ReplicaServer, listeners: Listeners, place: Place, metrics: ApiMetrics) -> None:
    """An HTTP process: serves until the control socket's other end is closed, then drains."""
    settings, identity = server.settings, server.identity
    capture = Capture(settings.capture, metrics)
    mirror = None if settings.mirror_file is None else Mirror(settings.mirror_file, settings.version, metrics)
    log = _access_log(settings, metrics)
    tracing = _tracing(settings.tracing, identity)
    front, middleware = build(server, capture, metrics, place, log, tracing, listeners.shadow_port, mirror=mirror)
    protocol = functools.partial(GuardedProtocol, header_bytes_max=settings.limits.header_bytes_max)
    config = uvicorn.Config(
        middleware,
        http=cast("type[asyncio.Protocol]", protocol),
        ws="none",
        access_log=False,
        log_config=None,
        log_level="error",  # a line for every broken request would be anybody's way to fill the disk
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.drain_s),
    )
    http = _Http(config)

    async def live() -> None:
        try:
            await _follow(place.control, front)
            middleware.drain()
            await _until_quiet(http, settings.quiet_s)
            for listener in listeners.sockets:
                begin_no_more(listener)
            await asyncio.sleep(_LAST_CONNECTIONS_S)
        finally:
            http.should_exit = True

    async def main() -> None:
        life = asyncio.create_task(live())
        late = asyncio.create_task(close_late(http.server_state.connections, settings.limits))
        capture.start()
        if mirror is not None:
            mirror.start()
        if log is not None:
            log.start()
        await http.serve(sockets=listeners.sockets)
        late.cancel()
        if mirror is not None:
            await asyncio.to_thread(mirror.stop, _MIRROR_STOP_S)
        ending = None if tracing is None else tracing.stop()
        await asyncio.to_thread(capture.stop, FLUSH_S)
        if ending is not None:
            await asyncio.to_thread(ending.join, FLUSH_S)
        if log is not None:
            log.stop(FLUSH_S)
        await life

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(main())


def _access_log(settings: Settings, metrics: ApiMetrics) -> AccessLog | None:
    path = settings.access.log
    return None if path is None else AccessLog(path, settings.model, settings.version, metrics.unlogged)


def _tracing(settings: TracingSettings, identity: Identity) -> "Tracing | None":
    """Only who traces pays for the library."""
    if settings.url is None:
        return None
    from serving.observe.tracing import Tracing

    return Tracing(settings, identity.model, identity.version)


async def _until_quiet(http: uvicorn.Server, quiet_s: float) -> None:
    """Until nobody is connected, or for so long: whoever sends a request has his connection closed with its answer."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + quiet_s
    while http.server_state.connections and loop.time() < deadline_s:
        await asyncio.sleep(_QUIET_LOOK_S)


async def _follow(control: socket.socket, front: Front) -> None:
    """Take in each new worker's socket, until the supervisor closes the control socket or dies."""
    control.settimeout(0)
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(control, readable.set)
    try:
        while True:
            await readable.wait()
            readable.clear()
            try:
                message, descriptors, _, _ = socket.recv_fds(control, PID_BYTES, 1)
            except BlockingIOError:
                continue  # the loop tells of one message twice when it was not read at once
            if not message:
                return
            await front.dispatcher.add_worker(socket.socket(fileno=descriptors[0]), int.from_bytes(message))
    finally:
        loop.remove_reader(control)
