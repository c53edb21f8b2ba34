"""The routes of the page: who may see what, and what a form does.

Reading needs no token on loopback, as the interface's own reading does not. Whoever signs in does so with a token of
the interface, and may what its roles may. A form counts only if this session was shown it, by this very server.
"""

import uuid
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from controller.api.access import ANYBODY, Access
from controller.api.errors import ApiError
from controller.api.http import PAGE_HEADERS, ROUTE_KEY
from controller.core.foresight import Standing
from controller.core.traffic import Override
from controller.errors import SerinError, UsageError
from controller.naming import model_named
from controller.roles import Deed
from controller.service import Service, UnknownError
from controller.web import pages
from controller.web.artist import PAGES_MAX, is_topic
from controller.web.board import Board
from controller.web.deeds import BY_NAME, Act, Wish, mark_of, offered
from controller.web.pages import PREFIX
from controller.web.sessions import COOKIE, LASTS_S, Sessions
from controller.web.stream import Stream
from controller.web.visits import Door, Visit, html, see

REASON_CHARS_MAX: Final = 2_000
KEY_CHARS_MAX: Final = 64
_A_YEAR: Final = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Web:
    """The page of one installation. ``access`` lets in as the interface on the same address does."""

    board: Board
    stream: Stream
    sessions: Sessions
    access: Access

    @property
    def door(self) -> Door:
        """The way in."""
        return Door(self.access, self.sessions)

    def routes(self) -> list[BaseRoute]:
        """Every route, to be served beside those of the interface."""
        door = self.door
        return [
            Route("/", _to_the_page, methods=["GET"]),
            Route("/favicon.ico", _no_icon, methods=["GET"]),
            Route(f"{PREFIX}/assets/{{name}}", _asset, methods=["GET"]),
            door.get(f"{PREFIX}/", self.overview),
            door.get(f"{PREFIX}/releases", self.releases),
            door.get(f"{PREFIX}/releases/{{release_id}}", self.release),
            door.get(f"{PREFIX}/releases/{{release_id}}/report", self.report),
            door.get(f"{PREFIX}/releases/{{release_id}}/report.json", self.report_json),
            door.get(f"{PREFIX}/models/{{model}}/{{deed}}", self.preview),
            door.get(f"{PREFIX}/asked/{{command_id}}", self.asked),
            door.get(f"{PREFIX}/session", self.session, deed=None),
            door.post(f"{PREFIX}/models/{{model}}/{{deed}}", self.act),
            door.post(f"{PREFIX}/session", self.sign_in, deed=None),
            door.post(f"{PREFIX}/session/end", self.sign_out, deed=None),
            Route(f"{PREFIX}/events", self._events, methods=["GET"]),
        ]

    # --- reading -----------------------------------------------------------------------------------------------------
    def overview(self, visit: Visit) -> Response:
        """The services and the newest releases."""
        page = visit.query.get("page", "1")
        number = int(page) if page.isascii() and page.isdecimal() and len(page) < 6 else 1
        return html(pages.overview_page(self.board.overview(min(max(number, 1), PAGES_MAX)), visit.caller))

    def releases(self, visit: Visit) -> Response:
        """Older releases, of one model or of all."""
        model = visit.query.get("model") or None
        found = self.board.releases(model_named(model) if model else None, visit.query.get("before") or None)
        return html(pages.releases_page(found, visit.caller))

    def release(self, visit: Visit) -> Response:
        """One release, with what its caller may do about it."""
        seen = self.board.release(visit.path["release_id"])
        course, broken = self.board.course(seen.record, at_once=True) if seen.release is not None else (None, "")
        now = self._standing(seen.record.model)
        mine = offered(now, visit.caller) if self._concerns(seen.record.release_id, now) else ()
        return html(pages.release_page(seen, course, broken, visit.caller, mine))

    def report(self, visit: Visit) -> Response:
        """The report, which needs nothing else."""
        made = self.board.report(visit.path["release_id"])
        return HTMLResponse(made.html, headers=PAGE_HEADERS)

    def report_json(self, visit: Visit) -> Response:
        """The report as JSON."""
        made = self.board.report(visit.path["release_id"])
        return Response(made.json, media_type="application/json", headers={"x-content-type-options": "nosniff"})

    # --- doing -------------------------------------------------------------------------------------------------------
    def preview(self, visit: Visit) -> Response:
        """The preview of a deed: nothing is done yet."""
        act, model = self._act_of(visit)
        return self._form(visit, act, self._standing(model))

    def act(self, visit: Visit) -> Response:
        """Do it, if the form was read as things still stand; a way back also where that is not known."""
        act, model = self._act_of(visit)
        now = self._standing(model)
        fault = _fault_of(visit, act, now)
        if fault or act.preview(now).nothing:
            return self._form(visit, act, now, fault=fault)
        key, for_s = visit.form.get("key", "")[:KEY_CHARS_MAX] or uuid.uuid4().hex, visit.form.get("for_s", "")
        wish = Wish(visit.form["reason"].strip(), visit.caller.name, key, float(for_s) if for_s else None)
        service, retreated = _noting(self.board.service)
        command = act.do(service, model, wish)
        if retreated:
            return html(pages.at_once_page(model, visit.caller))
        if command is None:
            return see(f"{PREFIX}/")
        return see(f"{PREFIX}/asked/{quote(command.id, safe='')}")

    def asked(self, visit: Visit) -> Response:
        """The outcome of a command."""
        command_id = visit.path["command_id"]
        waits, outcome = self.board.service.standing_of(command_id)
        return html(pages.asked_page(command_id, waits=waits, outcome=outcome, caller=visit.caller))

    def _act_of(self, visit: Visit) -> tuple[Act, str]:
        act, model = BY_NAME.get(visit.path["deed"]), model_named(visit.path["model"])
        if act is None:
            raise UnknownError("deed", f"there is no action called {visit.path['deed']!r} to do")
        if not act.allowed(visit.caller, model):
            who = visit.caller.name if visit.caller.roles else "who has not signed in"
            raise ApiError(HTTPStatus.FORBIDDEN, "forbidden", f"{act.deed} of {model} is not allowed for {who}")
        return act, model

    def _standing(self, model: str) -> Standing:
        try:
            return self.board.standing(model)
        except UsageError:
            raise
        except (SerinError, OSError) as error:  # which must keep nobody from the way back
            return Standing(model, None, None, unreadable=str(error))

    @staticmethod
    def _concerns(release_id: str, now: Standing) -> bool:
        """Return whether what is done to the model is done to this release: of an old one nothing is offered."""
        return now.release is None or now.release.id == release_id

    def _form(self, visit: Visit, act: Act, now: Standing, *, fault: str = "") -> Response:
        form = pages.Form(
            mark=mark_of(now),
            word=self.sessions.form_word(visit.cookie),
            key=visit.form.get("key", "") or uuid.uuid4().hex,
            fault=fault,
            reason=visit.form.get("reason", ""),
            for_s=visit.form.get("for_s", ""),
        )
        page = pages.deed_page(act, now, act.preview(now), visit.caller, form)
        return html(page, HTTPStatus.CONFLICT if fault else HTTPStatus.OK)

    # --- who one is --------------------------------------------------------------------------------------------------
    def session(self, visit: Visit) -> Response:
        """The name that one goes by, and the form to sign in with."""
        answer = self._session(visit)
        if visit.cookie and visit.caller is ANYBODY:  # it lets nobody in any more
            _forget(answer, visit)
        return answer

    def sign_in(self, visit: Visit) -> Response:
        """Seal the token that was given into a cookie, if it lets anybody in."""
        token = visit.form.get("token", "").strip()
        try:
            self.access.admit({"authorization": f"Bearer {token}"}, Deed.READ)
            sealed = self.sessions.sealed(token)
        except (ApiError, ValueError):
            return self._session(visit, fault="This token is not valid here, or no longer.")
        answer = see(_own_path(visit.form.get("wanted", "")))
        answer.set_cookie(
            COOKIE, sealed, max_age=LASTS_S, path=PREFIX, secure=visit.is_tls, httponly=True, samesite="strict"
        )
        return answer

    def sign_out(self, visit: Visit) -> Response:
        """Forget the cookie."""
        answer = see(f"{PREFIX}/session")
        _forget(answer, visit)
        return answer

    def _session(self, visit: Visit, *, fault: str = "") -> Response:
        wanted = _own_path(visit.form.get("wanted", "") or visit.query.get("wanted", ""))
        word = self.sessions.form_word(visit.cookie)
        page = pages.session_page(visit.caller, word=word, fault=fault, wanted=wanted)
        return html(page, HTTPStatus.UNAUTHORIZED if fault else HTTPStatus.OK)

    async def _events(self, request: Request) -> Response:
        """The stream of a topic's changes, as they come."""
        request.scope[ROUTE_KEY] = f"{PREFIX}/events"
        self.door.caller_of(request, Deed.READ)
        topic = request.query_params.get("topic", "")
        if not is_topic(topic):
            raise UnknownError("topic", "there is no such topic")
        if self.stream.is_full:
            raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "full", "the maximum number of viewers is reached")
        headers = {"cache-control": "no-store", "x-accel-buffering": "no", "x-content-type-options": "nosniff"}
        return StreamingResponse(self.stream.follow(topic), media_type="text/event-stream", headers=headers)


def _fault_of(visit: Visit, act: Act, now: Standing) -> str:
    """Return why the form cannot be taken as it is; empty: it can."""
    reason, for_s = visit.form.get("reason", "").strip(), visit.form.get("for_s", "")
    if not reason or len(reason) > REASON_CHARS_MAX or "\x00" in reason:
        return "Say why, in up to 2,000 characters: it is recorded."
    if visit.form.get("mark") != mark_of(now) and not (act.is_way_back and now.unreadable):
        return "Something has changed since you looked: read again what will happen."
    if for_s and for_s not in act.lengths:
        return "Choose for how long among what is offered."
    return ""


def _noting(service: Service) -> tuple[Service, list[str]]:
    """The service, and the models that it has sent back at once, for want of a record."""
    retreat, retreated = service.retreat, list[str]()
    if retreat is None:
        return service, retreated

    def noted(model: str, to: str | None, override: Override) -> None:
        retreat(model, to, override)
        retreated.append(model)

    return replace(service, retreat=noted), retreated


def _forget(answer: Response, visit: Visit) -> None:
    answer.delete_cookie(COOKIE, path=PREFIX, secure=visit.is_tls, httponly=True, samesite="strict")


def _own_path(wanted: str) -> str:
    """The path, if it is one of the page's; else its beginning."""
    found = urlsplit(wanted)
    ours = found.path.startswith(f"{PREFIX}/") and not (found.scheme or found.netloc) and "\\" not in wanted
    return wanted if ours else f"{PREFIX}/"


async def _to_the_page(request: Request) -> Response:
    request.scope[ROUTE_KEY] = "/"
    return see(f"{PREFIX}/")


async def _no_icon(request: Request) -> Response:
    request.scope[ROUTE_KEY] = "/favicon.ico"
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def _asset(request: Request) -> Response:
    request.scope[ROUTE_KEY] = f"{PREFIX}/assets/{{name}}"
    found = pages.assets().get(request.path_params["name"])
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return Response(found.body, headers={**_A_YEAR, "content-type": found.media_type})
