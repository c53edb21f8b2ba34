"""The outermost layer of the HTTP process: names requests, marks responses, counts each prediction request once."""

import re
import time
import uuid
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.calls import Caller
from serving.contract import (
    MODEL_VERSION_HEADER,
    PREDICT_ROUTE,
    REQUEST_ID_HEADER,
    SHADOW_HOST_SUFFIX,
    TRAFFIC_HEADER,
    Traffic,
)

_REQUEST_ID: Final = REQUEST_ID_HEADER.encode()
_TRAFFIC: Final = TRAFFIC_HEADER.encode()
_SHADOW_HOST: Final = re.compile(re.escape(SHADOW_HOST_SUFFIX).encode() + rb"(:\d+)?$")
_USABLE_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")


def caller_of(headers: list[tuple[bytes, bytes]]) -> Caller:
    """Request id (the client's or the gateway's if it is usable, else a new one) and kind of traffic."""
    values = dict(headers)
    given = values.get(_REQUEST_ID, b"")
    request_id = given.decode() if _USABLE_ID.fullmatch(given) else str(uuid.uuid4())
    shadow = values.get(_TRAFFIC) == Traffic.SHADOW.encode() or _SHADOW_HOST.search(values.get(b"host", b""))
    return Caller(request_id, Traffic.SHADOW if shadow else Traffic.LIVE)


class Edge:
    """ASGI middleware around the whole application, error pages included.

    ``answered(traffic, code, seconds)`` is called exactly once for each request to the prediction route.
    """

    def __init__(self, app: ASGIApp, version: str, answered: Callable[[Traffic, int, float], None]) -> None:
        self._app = app
        self._version = version.encode()
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        caller = caller_of(scope["headers"])
        scope.setdefault("state", {})["caller"] = caller
        status = 500  # what a request without a response gets from the server

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (_REQUEST_ID, caller.request_id.encode()),
                    (MODEL_VERSION_HEADER.encode(), self._version),
                ]
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        finally:
            if scope["path"] == PREDICT_ROUTE:
                self._answered(caller.traffic, status, time.perf_counter() - started_s)
