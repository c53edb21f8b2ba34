"""The interface's server, in a thread of the controller's process."""

import asyncio
import functools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, cast

import uvicorn
from starlette.types import ASGIApp

from controller.api.patience import GuardedProtocol, Patience
from controller.api.tls import LOOK_EVERY_S, Certificate
from controller.skew import RELEASE_HEADER, own_release

STOP_TIMEOUT_S: Final = 5.0  # for requests under way; then connections are cut
_BACKLOG: Final = 128


@contextmanager
def serve(
    app: ASGIApp,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    patience: Patience | None = None,
    certificate: Certificate | None = None,
) -> Iterator[str]:
    """Serve the application within the block and yield its URL; port 0 takes a free one. ``patience`` bounds what a
    connection may cost. With a ``certificate`` by TLS, with that which its files hold.

    Connections are accepted from the first moment on. At the end requests under way are finished.

    Raises:
        OSError: the address cannot be bound.
    """
    listener = _listen(host, port)
    patience = patience or Patience()
    config = uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", functools.partial(GuardedProtocol, patience=patience)),
        ws="none",
        log_config=None,
        log_level="error",  # a line for every broken request would be anybody's way to fill the disk
        access_log=False,
        lifespan="off",
        server_header=False,
        headers=[(RELEASE_HEADER, own_release())],
        proxy_headers=False,  # anybody can write an address there
        timeout_graceful_shutdown=int(STOP_TIMEOUT_S),
    )
    server = uvicorn.Server(config) if certificate is None else _TlsServer(config, certificate, patience.handshake_s)
    thread = threading.Thread(target=server.run, args=([listener],), name="api", daemon=True)
    thread.start()
    try:
        yield _url(listener, "http" if certificate is None else "https")
    finally:
        server.should_exit = True
        thread.join(2 * STOP_TIMEOUT_S)
        listener.close()


class _TlsServer(uvicorn.Server):
    """uvicorn's, which looks at the certificate's files and bounds what a handshake may take."""

    def __init__(self, config: uvicorn.Config, certificate: Certificate, handshake_s: float) -> None:
        super().__init__(config)
        self._certificate = certificate
        self._handshake_s = handshake_s
        self._look_at_s = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        kind = cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class)
        protocol = functools.partial(
            kind,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        self.servers = [
            await loop.create_server(
                protocol,
                sock=listener,
                ssl=self._certificate.context,
                ssl_handshake_timeout=self._handshake_s,
                backlog=_BACKLOG,
            )
            for listener in sockets or ()
        ]
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_EVERY_S
            self._certificate.look()
        return await super().on_tick(counter)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def _url(listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
