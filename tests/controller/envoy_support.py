"""A real Envoy, and small servers behind it that tell what reached them."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import httpx

from controller.adapters.envoy.bootstrap import envoy_command, is_ready, write_bootstrap
from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.adapters.local.loopback import free_ports
from serving.contract import HEALTH_ROUTE
from tests.patience import PATIENCE_S, eventually

ASIDE: Final = {"x-aside": "1"}
"""Of a request that stand-ins answer and do not remember, as of who waits for Envoy: its copy comes when it may."""


def set_endpoint(traffic: EnvoyTraffic, model: str, version: str, url: str, shadow_url: str | None = None) -> None:
    """Tell Envoy of a version of one replica."""
    traffic.set_endpoints(model, version, [(url, shadow_url)])


@dataclass
class Upstream:
    """A replica's stand-in: answers with its version, and remembers the headers and paths of its requests, and as
    ``:traffic`` the port that each came in by."""

    version: str
    url: str = ""
    shadow_url: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)
    hold: threading.Event | None = None  # answers wait for it
    status: int = 200
    is_well: bool = True  # what it answers when it is asked for its health
    open_sockets: set[socket.socket] = field(default_factory=set)

    @property
    def connections(self) -> int:
        """Open ones."""
        return len(self.open_sockets)

    def hang_up(self) -> None:
        """Close them all, as the end of a process does."""
        for connection in tuple(self.open_sockets):
            with suppress(OSError):  # it was closed just now
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def ids(self) -> list[str]:
        return [request["x-request-id"] for request in self.requests]

    def got(self, traffic: str) -> list[dict[str, str]]:
        """Its ``live`` requests, or the ``shadow`` ones."""
        return [request for request in self.requests if request[":traffic"] == traffic]

    def announce(self, traffic: EnvoyTraffic, version: str | None = None, model: str = "intent") -> None:
        """Tell the gateway where it is, both of its ports."""
        set_endpoint(traffic, model, version or self.version, self.url, self.shadow_url)


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """An Envoy that is ended resets its connections: that is no news. Anything else is."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def upstream(version: str) -> Iterator[Upstream]:
    """A stand-in that listens on two free ports."""
    state = Upstream(version)
    with _serving(state, "live") as state.url, _serving(state, "shadow") as state.shadow_url:
        yield state


@contextmanager
def _serving(state: Upstream, traffic: str) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one segment per answer: two would wait for each other's acknowledgement (40 ms)

        def setup(self) -> None:
            super().setup()
            state.open_sockets.add(self.connection)

        def finish(self) -> None:
            state.open_sockets.discard(self.connection)
            super().finish()

        def do_GET(self) -> None:
            """The gateway's question for its health; no request of anybody's."""
            self.send_response(200 if self.path == HEALTH_ROUTE and state.is_well else 503)
            self.send_header("content-length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {key.lower(): value for key, value in self.headers.items()}
            if not ASIDE.keys() <= headers.keys():
                state.requests.append({":path": self.path, ":traffic": traffic, **headers})
            if state.hold is not None:
                state.hold.wait(10)
            body = json.dumps({"version": state.version}).encode()
            self.send_response(state.status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = _QuietServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@dataclass(frozen=True)
class RunningEnvoy:
    directory: Path
    url: str
    admin_url: str  # what others may read of its admin interface
    process: subprocess.Popen[bytes]
    client: httpx.Client

    def post(self, model: str = "intent", *, headers: dict[str, str] | None = None) -> httpx.Response:
        return self.client.post(f"{self.url}/models/{model}/predict", json={"text": "hi"}, headers=headers)

    def ask(self, count: int, *, headers: dict[str, str] | None = None) -> list[str]:
        """The versions that answered so many requests; every one of them must be answered."""
        answers = [self.post(headers=headers) for _ in range(count)]
        assert {answer.status_code for answer in answers} <= {200}
        return [answer.json()["version"] for answer in answers]

    def end(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)


@contextmanager
def running_envoy(
    directory: Path, *, names: Sequence[str] = (), files_max: int | None = None
) -> Iterator[RunningEnvoy]:
    listen_port, admin_port = free_ports(2)
    write_bootstrap(directory, listen_port, admin_port, names=names, files_max=files_max)
    with (directory / "envoy.log").open("wb") as log:
        process = subprocess.Popen(envoy_command(directory), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    with httpx.Client(trust_env=False, timeout=PATIENCE_S) as client:
        envoy = RunningEnvoy(
            directory, f"http://127.0.0.1:{listen_port}", f"http://127.0.0.1:{admin_port}", process, client
        )
        try:
            eventually(lambda: _is_ready(directory, process), within_s=PATIENCE_S, what=f"Envoy in {directory}")
            yield envoy
        finally:
            envoy.end()


def _is_ready(directory: Path, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, (directory / "envoy.log").read_text()
    return is_ready(directory)
