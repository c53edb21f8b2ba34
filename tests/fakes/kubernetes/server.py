"""The API server over HTTP on loopback."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

from tests.certificates import Pair
from tests.fakes.kubernetes.discovery import discover
from tests.fakes.kubernetes.errors import ApiError, bad_request
from tests.fakes.kubernetes.faults import Faults
from tests.fakes.kubernetes.handling import handle
from tests.fakes.kubernetes.requests import Request, read
from tests.fakes.kubernetes.rights import Rights
from tests.fakes.kubernetes.store import Store
from tests.fakes.kubernetes.watching import watch

_WATCH_S_MAX = 300.0


class ApiServer:
    """Serves a store while it is open."""

    def __init__(self, store: Store, rights: Rights, faults: Faults, tls: Pair | None = None) -> None:
        self._parts = (store, rights, faults, tls)
        self._server = _Server(0, *self._parts)
        self.port = int(self._server.server_address[1])
        self.url = f"{'https' if tls is not None else 'http'}://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._server.end()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Refuse connections, and cut those that are open, while the block lasts."""
        self._server.end()
        try:
            yield
        finally:
            self._server = _Server(self.port, *self._parts)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False

    def __init__(self, port: int, store: Store, rights: Rights, faults: Faults, tls: Pair | None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.certificate, tls.key)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.store, self.rights, self.faults = store, rights, faults
        self.over = threading.Event()
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="kubernetes", daemon=True)
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        self._open.discard(request)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or was cut off, is no defect of the test."""

    def end(self) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()
        self._thread.join()
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def _answer(self) -> None:
        try:
            body = self._body()
            if (said := discover(self.server.store, self.path.partition("?")[0])) is not None:
                self._send(200, said)
                return
            request = read(self.server.store, self.command, self.path, self.headers, body)
            access = request.access
            self.server.rights.check(self.headers.get("Authorization"), access)
            self.server.faults.meet(access)
            if request.is_watch:
                self._watch(request)
            else:
                self._send(*handle(self.server.store, request))
        except ApiError as error:
            self._send(error.code, error.status(), retry_after_s=error.retry_after_s)

    def _body(self) -> Any:
        """The body; YAML for an apply, which is a superset of JSON."""
        length = int(self.headers.get("Content-Length") or 0)
        if not length:
            return None
        sent = self.rfile.read(length)
        try:
            if "yaml" in self.headers.get("Content-Type", ""):
                return yaml.load(sent, yaml.CSafeLoader)
            return json.loads(sent)
        except (ValueError, yaml.YAMLError) as error:
            raise bad_request(f"the body cannot be read: {error}") from None

    def _send(self, code: int, body: dict[str, Any], *, retry_after_s: int | None = None) -> None:
        sent = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        if retry_after_s is not None:
            self.send_header("Retry-After", str(retry_after_s))
        self.end_headers()
        self.wfile.write(sent)

    def _watch(self, request: Request) -> None:
        lasts_s = float(request.query.get("timeoutSeconds", _WATCH_S_MAX))
        end_s = time.monotonic() + lasts_s
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

        def over() -> bool:
            return self.server.over.is_set() or time.monotonic() >= end_s

        for event in watch(self.server.store, request, over):
            if event is not None:
                self._chunk(json.dumps(event).encode() + b"\n")
        if self.server.over.is_set():
            self.close_connection = True
            return
        self._chunk(b"")

    def _chunk(self, sent: bytes) -> None:
        self.wfile.write(f"{len(sent):x}\r\n".encode() + sent + b"\r\n")
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server gives it
        """Nothing: tests read no log of it."""
