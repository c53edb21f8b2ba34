"""The interface's server, in a thread of the controller's process."""

import asyncio
import functools
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, cast

import uvicorn
from starlette.types import ASGIApp

from controller.api.patience import GuardedProtocol, Patience

STOP_TIMEOUT_S: Final = 5.0  # for requests under way; then connections are cut
_BACKLOG: Final = 128


@contextmanager
def serve(app: ASGIApp, host: str = "127.0.0.1", port: int = 0, *, patience: Patience | None = None) -> Iterator[str]:
    """Serve the application within the block and yield its URL; port 0 takes a free one. ``patience`` bounds what a
    connection may cost.

    Connections are accepted from the first moment on. At the end requests under way are finished.

    Raises:
        OSError: the address cannot be bound.
    """
    listener = _listen(host, port)
    config = uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", functools.partial(GuardedProtocol, patience=patience or Patience())),
        ws="none",
        log_config=None,
        log_level="error",  # a line for every broken request would be anybody's way to fill the disk
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,  # anybody can write an address there
        timeout_graceful_shutdown=int(STOP_TIMEOUT_S),
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="api", daemon=True)
    thread.start()
    try:
        yield _url(listener)
    finally:
        server.should_exit = True
        thread.join(2 * STOP_TIMEOUT_S)
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
