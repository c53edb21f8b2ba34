"""The outermost layer of the HTTP process: names requests, lets clients in, marks responses, counts and logs."""

import json
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.access.guard import Guard
from serving.access.log import AccessLog, Visit
from serving.contract import (
    CLIENT_GONE_CODE,
    MODEL_VERSION_HEADER,
    PREDICT_ROUTE,
    QUESTION_HEADER,
    REQUEST_ID_HEADER,
    ROUTES,
    TAGS_HEADER,
    TRACE_RESPONSE_HEADER,
    USABLE_REQUEST_ID,
    USER_HEADER,
    Traffic,
    part_of_user,
)
from serving.http.calls import Answer, Caller, Headers
from serving.http.visitors import Visitors
from serving.messages import Failure
from serving.refusals import ApiError, Refusal, RefusedError

if TYPE_CHECKING:
    from serving.observe.tracing import Trace, Tracing

_log = logging.getLogger(__name__)

INTERNAL_ERROR: Final = json.dumps({"error": {"code": "internal_error", "message": "internal error"}}).encode()
_JSON: Final = (b"content-type", b"application/json")
_OwnHeaders = list[tuple[bytes, bytes]]

_REQUEST_ID: Final = REQUEST_ID_HEADER.encode()
_TRACE_RESPONSE: Final = TRACE_RESPONSE_HEADER.encode()
_TAGS: Final = TAGS_HEADER.encode()
_QUESTION: Final = QUESTION_HEADER.encode()
_USER: Final = USER_HEADER.encode()
_USABLE_ID: Final = re.compile(USABLE_REQUEST_ID.encode())


def caller_of(headers: Headers | Mapping[bytes, bytes], traffic: Traffic) -> Caller:
    """The request's id (the client's or the gateway's if it is usable, else a new one), kind of traffic, tags, and
    client."""
    values = headers if isinstance(headers, dict) else dict(headers)
    given = values.get(_REQUEST_ID, b"")
    request_id = given.decode() if _USABLE_ID.fullmatch(given) else str(uuid.uuid4())
    is_question = traffic is Traffic.SHADOW and _QUESTION in values
    user = values.get(_USER) if traffic is Traffic.LIVE else None
    part = part_of_user(user) if user else None
    return Caller(request_id, traffic, values.get(_TAGS, b""), is_question=is_question, part=part)


@dataclass(slots=True)
class _Stay:
    """The course of one request on its way."""

    caller: Caller
    own: _OwnHeaders
    client: str | None = None
    address: str = ""
    status: int = 500  # what a request without a response gets from the server
    texts: int = 0
    tokens: int = 0
    refusal: Refusal | None = None
    failure: Failure | None = None

    def trace(self, tracing: "Tracing", headers: Mapping[bytes, bytes]) -> "Trace | None":
        """Begin the request's trace, if it is to have one, and say so in its answer."""
        trace = tracing.begin(headers, self.caller.request_id, self.caller.traffic)
        if trace is not None:
            self.caller = self.caller._replace(trace=trace)
            self.own.append((_TRACE_RESPONSE, trace.traceparent.encode()))
        return trace


class Counts(Protocol):
    """The counter of requests. ``answered`` is called exactly once for each request to the prediction route."""

    def answered(self, traffic: Traffic, code: int, duration_s: float, trace_id: str | None) -> None: ...

    def of_user(self, part: int, code: int, duration_s: float) -> None:
        """For each live request of a user whom the gateway knows: beside ``answered``."""
        ...

    def failed(self, traffic: Traffic, failure: Failure | None) -> None:
        """For each server error. ``failure`` may have made others fail, too; without one, it is alone."""
        ...

    def refused(self, reason: Refusal) -> None: ...


class Middleware:
    """ASGI application around LitServe's, error pages included.

    Prediction requests do not reach LitServe's routes: matching them and resolving FastAPI's dependencies cost half of
    the HTTP process's time. ``predict`` answers them. Whom the ``guard`` does not let in reaches neither.
    """

    def __init__(
        self,
        app: ASGIApp,
        version: str,
        predict: Callable[[Caller, Headers, Receive], Awaitable[Answer | None]],
        counts: Counts,
        visitors: Visitors,
        guard: Guard | None = None,
        log: AccessLog | None = None,
        *,
        tracing: "Tracing | None" = None,
    ) -> None:
        """A request that ``visitors`` turn away never reaches the model: it is only counted as refused."""
        self._app = app
        self._visitors = visitors
        self._marks: tuple[tuple[bytes, bytes], ...] = ((MODEL_VERSION_HEADER.encode(), version.encode()),)
        self.draining = False
        self._predict = predict
        self._counts = counts
        self._guard = guard
        self._log = log
        self._tracing = tracing

    def drain(self) -> None:
        """Close each connection with its answer from now on, so that its client goes elsewhere with the next
        request."""
        self.draining = True
        self._marks += ((b"connection", b"close"),)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        headers = dict(scope["headers"])
        port = scope["server"][1]
        caller = caller_of(headers, self._visitors.traffic(port))
        stay = _Stay(caller, [(_REQUEST_ID, caller.request_id.encode()), *self._marks])
        if (refused := self._visitors.refusal(headers, scope["path"], port)) is not None:
            await self._turn_away(refused, stay, send)
            if self._log is not None:
                self._log.note(_visit(stay, scope, time.perf_counter() - started_s))
            return
        trace = None
        if self._tracing is not None and scope["path"] == PREDICT_ROUTE:
            trace = stay.trace(self._tracing, headers)
        try:
            if self._guard is None:
                await self._handle(stay, scope, receive, send)
            else:
                await self._let_in(self._guard, stay, headers, scope, receive, send)
        finally:
            duration_s = time.perf_counter() - started_s
            if scope["path"] == PREDICT_ROUTE:
                self._counts.answered(
                    caller.traffic, stay.status, duration_s, None if trace is None else trace.trace_id
                )
                if caller.part is not None:
                    self._counts.of_user(caller.part, stay.status, duration_s)
                if stay.status >= 500:
                    self._counts.failed(caller.traffic, stay.failure)
            if trace is not None:
                trace.end(stay.status)
            if self._log is not None:
                self._log.note(_visit(stay, scope, duration_s))

    async def _let_in(
        self, guard: Guard, stay: _Stay, headers: Mapping[bytes, bytes], scope: Scope, receive: Receive, send: Send
    ) -> None:
        route = scope["path"]
        stay.address = guard.address(headers, scope["client"])
        counted = False
        try:
            client = await guard.client(headers, stay.address, route)
            stay.client = client.name
            counted = guard.enter(client, route)
        except RefusedError as error:
            await self._turn_away(error, stay, send)
            return
        try:
            await self._handle(stay, scope, receive, send)
        finally:
            if counted:
                guard.leave(client)

    async def _turn_away(self, error: RefusedError, stay: _Stay, send: Send) -> None:
        stay.refusal = error.refusal
        self._counts.refused(error.refusal)
        await _refuse(error, stay, send)

    async def _handle(self, stay: _Stay, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == PREDICT_ROUTE and scope["method"] == "POST":
            await self._answer(stay, scope["headers"], receive, send)
        else:
            await self._pass_on(stay, scope, receive, send)

    async def _answer(self, stay: _Stay, headers: Headers, receive: Receive, send: Send) -> None:
        try:
            answer = await self._predict(stay.caller, headers, receive)
        except ApiError as error:
            stay.failure = error.failure
            await _refuse(error, stay, send)
        except Exception:  # noqa: BLE001  (logged and answered: nobody above could do more)
            _log.exception("a prediction request failed")
            await _respond(500, INTERNAL_ERROR, stay, send)
        else:
            if answer is None:
                stay.status = CLIENT_GONE_CODE
                return
            stay.texts, stay.tokens = answer.texts, answer.tokens
            await _respond(200, answer.body, stay, send)

    async def _pass_on(self, stay: _Stay, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                stay.status = message["status"]
                message["headers"] = [*message.get("headers", ()), *stay.own]
            await send(message)

        await self._app(scope, receive, send_marked)


async def _refuse(error: ApiError, stay: _Stay, send: Send) -> None:
    stay.own += [(name.encode(), value.encode()) for name, value in error.headers.items()]
    await _respond(error.status, json.dumps(error.document).encode(), stay, send)


async def _respond(status: int, body: bytes, stay: _Stay, send: Send) -> None:
    stay.status = status
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [_JSON, length, *stay.own]})
    await send({"type": "http.response.body", "body": body})


def _visit(stay: _Stay, scope: Scope, duration_s: float) -> Visit:
    """A line for the log. It shows only paths that the replica knows: anything else is the client's own words."""
    route = scope["path"]
    return Visit(
        at_s=time.time(),
        request_id=stay.caller.request_id,
        client=stay.client,
        address=stay.address,
        method=scope["method"],
        route=route if route in ROUTES else "other",
        status=stay.status,
        duration_s=duration_s,
        texts=stay.texts,
        tokens=stay.tokens,
        traffic=stay.caller.traffic,
        refusal=stay.refusal,
    )
