"""What the scripts that record tools share: a receiver of webhooks and processes, on loopback.

The scripts run in environments of the tools, which have no Serin: this needs httpx and the standard library only.
"""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

DEADLINE_S = 120.0


@contextmanager
def received(path: str, headers: Sequence[str]) -> Iterator[tuple[list[dict[str, Any]], str]]:
    """What is posted to the address, as it came, and the address."""
    deliveries: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            deliveries.append({"headers": {name: self.headers[name] for name in headers}, "body": body})
            self.send_response(200)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield deliveries, f"http://127.0.0.1:{server.server_port}{path}"
        server.shutdown()


@contextmanager
def running(command: Sequence[str], environment: dict[str, str]) -> Iterator[None]:
    """The command runs, with these variables beside those of this process, and is ended."""
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def awaited(what: Callable[[], object]) -> None:
    until = time.monotonic() + DEADLINE_S
    while True:
        try:
            if what():
                return
        except httpx.TransportError:
            pass  # it does not answer yet
        if time.monotonic() > until:
            raise TimeoutError("the tool did not answer, or did not deliver")
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
