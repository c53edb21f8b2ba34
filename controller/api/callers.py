"""Around every request: refuses what a web page sends or means for somebody else, and writes down who asked what."""

import json
import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.api.errors import error_response
from controller.api.http import CALLER_KEY, ROUTE_KEY
from controller.ports.clock import Clock
from serving.access.hosts import Hosts, Stranger
from serving.contract import HEALTH_ROUTE, PREDICTIONS_ROUTE

LOG_BYTES_MAX: Final = 16 * 2**20
LOG_FILES: Final = 4
READY_ROUTE: Final = "/ready"
PROBES: Final = frozenset({HEALTH_ROUTE, READY_ROUTE})
QUIET_ROUTES: Final = frozenset({*PROBES, PREDICTIONS_ROUTE})
NAMED_MAX: Final = 200  # characters of a model's or a release's name: anybody can write a longer one into a path
LET_IN_BY_NONE: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})
REFUSED_A_SECOND_MAX: Final = 20  # written down; a flood of guesses drowns nothing else

_REFUSALS: Final = {
    Stranger.HOST: (
        HTTPStatus.MISDIRECTED_REQUEST,
        "host",
        "the Host header names another server: ask 127.0.0.1 with its port, or add the name to api_hosts in settings",
    ),
    Stranger.ORIGIN: (
        HTTPStatus.FORBIDDEN,
        "origin",
        "a web page of another origin may not ask here, unless its host stands in api_hosts in settings",
    ),
}


@dataclass(slots=True)
class Refusals:
    """The requests that this process let nobody in with: without a token that is known and may, or beyond a limit."""

    count: int = 0
    since_s: float = field(default_factory=time.time)


class KnownHosts:
    """ASGI middleware: lets in only what means this server and comes from no foreign page. Probes may come under any
    name; they learn nothing."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stranger = None
        if scope["type"] == "http" and scope["path"] not in PROBES:
            server = scope.get("server") or ("", None)
            headers = scope["headers"]
            stranger = self._hosts.stranger(
                (value.decode("latin-1") for name, value in headers if name == b"host"),
                (value.decode("latin-1") for name, value in headers if name == b"origin"),
                port=server[1] or 80,
            )
        if stranger is None:
            await self._app(scope, receive, send)
        else:
            await error_response(*_REFUSALS[stranger])(scope, receive, send)


class AccessLog:
    """ASGI middleware: one JSON object a line for each request, with who asked, what, and what came of it; no token and
    no text. Health, and predictions that were taken, are left out: nothing is learnt from them. Refusals are counted,
    too, those of a flood with them."""

    def __init__(self, app: ASGIApp, lines: logging.Handler | None, clock: Clock, refusals: Refusals) -> None:
        """``lines`` takes them; without it nothing is written."""
        self._app = app
        self._clock = clock
        self._lines = lines
        self._refusals = refusals
        self._second = 0
        self._refused = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # what a request without a response gets from the server

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began_s = time.perf_counter()
        try:
            await self._app(scope, receive, watched)
        finally:
            self._refusals.count += status in LET_IN_BY_NONE
            if self._lines is not None:
                self._note(self._lines, scope, status, time.perf_counter() - began_s)

    def _note(self, lines: logging.Handler, scope: Scope, status: int, took_s: float) -> None:
        route = scope.get(ROUTE_KEY, "")  # of what no route takes nothing is kept: a client wrote it freely
        if route in PROBES or (route in QUIET_ROUTES and status < 400):
            return
        at_s = self._clock.now_s()
        if status >= 400 and scope.get(CALLER_KEY) is None and self._flooded(at_s):
            return
        document = {
            "at": datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "client": scope.get(CALLER_KEY),
            "address": (scope.get("client") or ("unknown",))[0],
            "method": scope["method"],
            "route": route,
            "status": status,
            "ms": round(took_s * 1000, 2),
        }
        document |= {name: str(value)[:NAMED_MAX] for name, value in scope.get("path_params", {}).items()}
        lines.handle(logging.LogRecord("api", logging.INFO, "", 0, json.dumps(document), None, None))

    def _flooded(self, at_s: float) -> bool:
        if int(at_s) != self._second:
            self._second, self._refused = int(at_s), 0
        self._refused += 1
        return self._refused > REFUSED_A_SECOND_MAX


def log_lines(file: Path) -> logging.Handler:
    """Return where lines go: a file that is turned over at 16 MiB; four are kept. To be closed.

    Raises:
        OSError: it cannot be written.
    """
    return RotatingFileHandler(file, maxBytes=LOG_BYTES_MAX, backupCount=LOG_FILES - 1, encoding="utf-8")
