"""From a browser's request to a visit: who it is, what a form sent, and what every answer forbids the browser."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from controller.api.access import ANYBODY, Access, Caller
from controller.api.errors import ApiError
from controller.api.http import CALLER_KEY, ROUTE_KEY, limited_body
from controller.errors import SerinError, TransientError, UsageError
from controller.roles import Deed
from controller.service import UnknownError
from controller.web import pages
from controller.web.pages import PREFIX
from controller.web.sessions import COOKIE, Sessions

FORM_TYPE: Final = "application/x-www-form-urlencoded"
FORM_BYTES_MAX: Final = 16 * 2**10
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}

Answer = Callable[["Visit"], Response]


@dataclass(frozen=True, slots=True)
class Visit:
    """A browser's request. ``caller`` has been let in; ``form`` has what was sent, each field once."""

    caller: Caller
    cookie: str | None
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    is_tls: bool


class Door:
    """Lets visits in: by the token that a session holds, and where reading is open by none."""

    def __init__(self, access: Access, sessions: Sessions) -> None:
        self._access = access
        self._sessions = sessions

    def get(self, path: str, answer: Answer, deed: Deed | None = Deed.READ) -> Route:
        """The route of a page. Without a deed anybody may see it."""
        return Route(path, self._answering(path, answer, deed), methods=["GET"])

    def post(self, path: str, answer: Answer, deed: Deed | None = Deed.READ) -> Route:
        """The route of a form of ours."""
        return Route(path, self._answering(path, answer, deed), methods=["POST"])

    def _answering(self, pattern: str, answer: Answer, deed: Deed | None) -> Callable[[Request], Awaitable[Response]]:
        async def answering(request: Request) -> Response:
            request.scope[ROUTE_KEY] = pattern
            caller = None
            try:
                caller = self.caller_of(request, deed)
                form = await self._sent(request) if request.method == "POST" else {}
                visit = Visit(
                    caller,
                    request.cookies.get(COOKIE),
                    request.path_params,
                    dict(request.query_params),
                    form,
                    request.url.scheme == "https",
                )
                return await run_in_threadpool(answer, visit)
            except (SerinError, HTTPException) as error:
                return self._refused(request, error, caller)

        return answering

    def caller_of(self, request: Request, deed: Deed | None) -> Caller:
        """Return who asks. Where no deed is asked for, whoever cannot be let in is anybody.

        Raises:
            ApiError: as `Access.admit`.
        """
        token = self._sessions.token_in(request.cookies.get(COOKIE))
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        try:
            caller = self._access.admit(headers, deed or Deed.READ)
        except ApiError as error:
            request.scope[CALLER_KEY] = error.by
            if deed is not None:
                raise
            caller = ANYBODY
        request.scope[CALLER_KEY] = caller.name
        return caller

    async def _sent(self, request: Request) -> Mapping[str, str]:
        """The fields of a form of ours. Raises ApiError for what is none."""
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != FORM_TYPE:
            raise ApiError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content_type", "only a form from this page is accepted here"
            )
        body = await limited_body(request, FORM_BYTES_MAX)
        try:
            found = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=16)
        except ValueError as error:
            raise ApiError(HTTPStatus.BAD_REQUEST, "form", "the form cannot be read") from error
        form = {name: values[-1] for name, values in found.items()}
        ours = self._sessions.is_ours(request.cookies.get(COOKIE), form.get("word", ""))
        if not (ours and _is_same_origin(request)):
            raise ApiError(HTTPStatus.FORBIDDEN, "form", "this form was not shown to you here: reload the page")
        return form

    def _refused(self, request: Request, error: Exception, caller: Caller | None) -> Response:
        status = _status_of(error)
        if status is HTTPStatus.UNAUTHORIZED and request.method == "GET":
            wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return see(f"{PREFIX}/session?wanted={quote(wanted, safe='')}")
        sentence = error.detail if isinstance(error, HTTPException) else str(error)
        return html(pages.error_page(status.phrase, sentence, caller), status)


def _status_of(error: Exception) -> HTTPStatus:
    match error:
        case HTTPException():
            return HTTPStatus(error.status_code)
        case ApiError():
            return error.status
        case UnknownError():
            return HTTPStatus.NOT_FOUND
        case UsageError():
            return HTTPStatus.UNPROCESSABLE_ENTITY
        case TransientError():
            return HTTPStatus.SERVICE_UNAVAILABLE
        case _:
            return HTTPStatus.INTERNAL_SERVER_ERROR


def _is_same_origin(request: Request) -> bool:
    """Return whether a page of this very server sent it. Browsers say so with every form that they post."""
    return urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host", "?")


def html(contents: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """A page."""
    return HTMLResponse(contents, status_code=status, headers=_HEADERS)


def see(path: str) -> Response:
    """An answer that leads to another page."""
    return RedirectResponse(path, status_code=HTTPStatus.SEE_OTHER, headers={"cache-control": "no-store"})
