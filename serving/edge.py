"""The outermost layer of the HTTP process: names requests, marks responses, counts each prediction request once."""

import json
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.calls import Caller, Headers
from serving.contract import (
    CLIENT_GONE_CODE,
    MODEL_VERSION_HEADER,
    PREDICT_ROUTE,
    REQUEST_ID_HEADER,
    SHADOW_HOST_SUFFIX,
    TAGS_HEADER,
    TRAFFIC_HEADER,
    Traffic,
)
from serving.schema import ApiError

_log = logging.getLogger(__name__)

INTERNAL_ERROR: Final = json.dumps({"error": {"code": "internal_error", "message": "internal error"}}).encode()
_JSON: Final = (b"content-type", b"application/json")
_OwnHeaders = list[tuple[bytes, bytes]]

_REQUEST_ID: Final = REQUEST_ID_HEADER.encode()
_TRAFFIC: Final = TRAFFIC_HEADER.encode()
_TAGS: Final = TAGS_HEADER.encode()
_SHADOW_HOST: Final = re.compile(re.escape(SHADOW_HOST_SUFFIX).encode() + rb"(:\d+)?$")
_USABLE_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")


def caller_of(headers: Headers) -> Caller:
    """Request id (the client's or the gateway's if it is usable, else a new one) and kind of traffic."""
    values = dict(headers)
    given = values.get(_REQUEST_ID, b"")
    request_id = given.decode() if _USABLE_ID.fullmatch(given) else str(uuid.uuid4())
    shadow = values.get(_TRAFFIC) == Traffic.SHADOW.encode() or _SHADOW_HOST.search(values.get(b"host", b""))
    return Caller(request_id, Traffic.SHADOW if shadow else Traffic.LIVE, values.get(_TAGS, b""))


class Edge:
    """ASGI application around LitServe's, error pages included.

    Prediction requests do not reach LitServe's routes: matching them and resolving FastAPI's dependencies cost half of
    the HTTP process's time. ``predict`` answers them; ``answered(traffic, code, seconds)`` is called exactly once for
    each request to the prediction route.
    """

    def __init__(
        self,
        app: ASGIApp,
        version: str,
        predict: Callable[[Caller, Headers, Receive], Awaitable[bytes | None]],
        answered: Callable[[Traffic, int, float], None],
    ) -> None:
        self._app = app
        self._marks: tuple[tuple[bytes, bytes], ...] = ((MODEL_VERSION_HEADER.encode(), version.encode()),)
        self.draining = False
        self._predict = predict
        self._answered = answered

    def drain(self) -> None:
        """From now on each answer closes its connection, so that its client goes elsewhere with the next request."""
        self.draining = True
        self._marks += ((b"connection", b"close"),)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        caller = caller_of(scope["headers"])
        own = [(_REQUEST_ID, caller.request_id.encode()), *self._marks]
        if scope["path"] != PREDICT_ROUTE:
            await self._pass_on(scope, receive, send, own)
            return
        status = 500  # what a request without a response gets from the server
        try:
            if scope["method"] == "POST":
                status = await self._answer(caller, scope["headers"], receive, send, own)
            else:
                status = await self._pass_on(scope, receive, send, own)
        finally:
            self._answered(caller.traffic, status, time.perf_counter() - started_s)

    async def _answer(self, caller: Caller, headers: Headers, receive: Receive, send: Send, own: _OwnHeaders) -> int:
        status = 200
        try:
            body = await self._predict(caller, headers, receive)
            if body is None:
                return CLIENT_GONE_CODE
        except ApiError as error:
            status, body = error.status, json.dumps(error.document).encode()
            own += [(name.encode(), value.encode()) for name, value in error.headers.items()]
        except Exception:  # noqa: BLE001  (logged and answered: nobody above could do more)
            _log.exception("a prediction request failed")
            status, body = 500, INTERNAL_ERROR
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": status, "headers": [_JSON, length, *own]})
        await send({"type": "http.response.body", "body": body})
        return status

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, own: _OwnHeaders) -> int:
        status = 500

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *own]
            await send(message)

        await self._app(scope, receive, send_marked)
        return status
