"""From a request to a handler's plain arguments and back: body limits, content types, access, the thread pool."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from controller.api.access import ANYBODY, Access, Caller
from controller.api.errors import ApiError
from controller.ports.journal import Json
from controller.roles import Deed

BODY_BYTES_MAX: Final = 16 * 2**20
BODY_S: Final = 30.0  # how long a body may take to come
JSON_TYPE: Final = "application/json"
JSON_LINES_TYPE: Final = "application/x-ndjson"
ROUTE_KEY: Final = "serin.route"  # of a request's scope: the route's pattern, for the access log
CALLER_KEY: Final = "serin.caller"  # and who asked


@dataclass(frozen=True, slots=True)
class Call:
    """The request as a handler needs it. Header names are in lower case. ``caller`` has been let in."""

    caller: Caller
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    body: Json
    status: HTTPStatus = HTTPStatus.OK


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer that is written already."""

    body: bytes
    media_type: str = JSON_TYPE


@dataclass(frozen=True, slots=True)
class Chunks:
    """An answer of any length: JSON lines, many at a time, made while sent. Where that fails, it breaks off."""

    lines: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Page:
    """A page for browsers, which needs nothing else."""

    html: str


PAGE_HEADERS: Final = {
    "content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}

Handler = Callable[[Call], Reply | Raw | Chunks | Page]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route. A body is read only of the content types named, so that no web page's form can write here."""

    method: str
    path: str
    handler: Handler
    deed: Deed | None = None  # None: anybody may; the handler itself sees to who it is
    content_types: tuple[str, ...] = field(default=())
    body_bytes_max: int = BODY_BYTES_MAX

    def route(self, access: Access) -> Route:
        return Route(self.path, self._answer(access), methods=[self.method])

    def _answer(self, access: Access) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            headers = {name.lower(): value for name, value in request.headers.items()}
            request.scope[ROUTE_KEY] = self.path
            try:
                caller = ANYBODY if self.deed is None else access.admit(headers, self.deed)
            except ApiError as error:
                request.scope[CALLER_KEY] = error.by
                raise
            request.scope[CALLER_KEY] = caller.name
            content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
            body = b""
            if self.content_types:
                if content_type not in self.content_types:
                    raise ApiError(
                        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                        "content_type",
                        f"send the body as {' or '.join(self.content_types)}, not as {content_type or 'nothing named'}",
                    )
                body = await limited_body(request, self.body_bytes_max)
            call = Call(caller, request.path_params, dict(request.query_params), headers, content_type, body)
            reply = await run_in_threadpool(self.handler, call)
            if isinstance(reply, Chunks):
                return StreamingResponse(reply.lines, media_type=JSON_LINES_TYPE)
            if isinstance(reply, Page):
                return HTMLResponse(reply.html, headers=PAGE_HEADERS)
            if isinstance(reply, Raw):
                return Response(reply.body, media_type=reply.media_type)
            return JSONResponse(reply.body, status_code=reply.status)

        return answer


async def limited_body(request: Request, bytes_max: int) -> bytes:
    """The body, read no further than the limit and no longer than ``BODY_S``; a length announced beyond the limit is
    refused unread."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > bytes_max:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    parts = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                parts += part
                if len(parts) > bytes_max:
                    raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    except TimeoutError:
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, headers={"connection": "close"}) from None
    return bytes(parts)


def limit_of(call: Call, *, default: int, most: int) -> int:
    """The query's ``limit``.

    Raises:
        ApiError: it is no number from 1 to ``most``.
    """
    return number_of(call, "limit", default=default, least=1, most=most)


def number_of(call: Call, name: str, *, default: int, least: int, most: int) -> int:
    """A whole number of the query.

    Raises:
        ApiError: it is no number from ``least`` to ``most``.
    """
    given = call.query.get(name, str(default))
    if not (given.isascii() and given.isdecimal() and len(given) < 11 and least <= int(given) <= most):
        message = f"{name}: must be a number from {least} to {most}"
        raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", message, field=name)
    return int(given)


def query_text(call: Call, name: str) -> str:
    """A query parameter that must be there.

    Raises:
        ApiError: it is missing or blank.
    """
    value = call.query.get(name, "").strip()
    if not value:
        raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", f"{name}: missing in the query", field=name)
    return value
