"""Routes of people and pipelines: look at releases, start, abort, roll back, resume; freeze and unfreeze."""

from dataclasses import asdict
from http import HTTPStatus
from threading import Lock
from typing import Final, Protocol

from controller.api.bodies import FreezeBody, ReasonBody, ReleaseBody, ReplaceBody, parse
from controller.api.errors import ApiError
from controller.api.http import Call, Page, Raw, Reply, limit_of, number_of, query_text
from controller.core.commands import Ask, Command, Freeze
from controller.core.foresight import Foreseen
from controller.errors import SerinError, Source, TransientError
from controller.naming import model_named
from controller.overview import HISTORY_SCHEMA, as_document, release_document
from controller.service import Service

RELEASES_MAX: Final = 1_000
_REPORT_WITHIN_S: Final = 20.0


class _Say(Protocol):
    def __call__(self, model: str, *, reason: str, by: str, command_id: str) -> tuple[Command, bool]: ...


class ReleaseRoutes:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._reporting = Lock()  # a report takes seconds of the processor that releases are judged by

    def status(self, call: Call) -> Reply:
        """Where everything stands, or one model: what `serin status` shows."""
        model = call.query.get("model")
        return Reply(as_document(self._service.overview(model_named(model) if model is not None else None)))

    def report(self, call: Call) -> Raw | Page:
        """The release's report, as it is made here; ``format`` says whether as a page or as JSON."""
        wanted = call.query.get("format", "json")
        if wanted not in ("json", "html"):
            message = "format: must be json or html"
            raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", message, field="format")
        if not self._reporting.acquire(timeout=_REPORT_WITHIN_S):
            raise TransientError(Source.JOURNAL, "another report is being made: ask again")
        try:
            made = self._service.report(call.path["release_id"])
        finally:
            self._reporting.release()
        return Raw(made.json.encode()) if wanted == "json" else Page(made.html)

    def history(self, call: Call) -> Reply:
        """Tell what happened, oldest first: ``since_s`` in unix time, ``model``, at most ``limit``."""
        since_s = number_of(call, "since_s", default=0, least=0, most=2**31)
        limit = limit_of(call, default=RELEASES_MAX, most=RELEASES_MAX)
        found = self._service.history(call.query.get("model"), since_s=since_s, limit=limit)
        return Reply({"schema": HISTORY_SCHEMA, "happenings": [asdict(one) for one in found]})

    def list(self, call: Call) -> Reply:
        """Newest first, without their states. ``next`` asks for those before, as ``before``."""
        limit = limit_of(call, default=100, most=RELEASES_MAX)
        found = self._service.releases(call.query.get("model"), limit=limit, before=call.query.get("before"))
        more = found[-1].release_id if len(found) == limit else None
        return Reply({"releases": [release_document(record) for record in found], "next": more})

    def one(self, call: Call) -> Reply:
        return Reply(release_document(self._service.release(call.path["release_id"])))


class CommandRoutes:
    """Commands are kept and answered at once; what came of them stands in the journal."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def start(self, call: Call) -> Reply:
        body = parse(ReleaseBody, call.body)
        reason, by, command_id = _word(call, body, body.model)
        return _kept(self._service.start(body.model, body.version, reason=reason, by=by, command_id=command_id))

    def replace(self, call: Call) -> Reply:
        """The version in place of stable, which is down."""
        body, model = parse(ReplaceBody, call.body), call.path["model"]
        reason, by, command_id = _word(call, body, model)
        return _kept(self._service.replace(model, body.version, reason=reason, by=by, command_id=command_id))

    def again(self, call: Call) -> Reply:
        """The version that serves, under the next number."""
        model = call.path["model"]
        reason, by, command_id = _word(call, parse(ReasonBody, call.body), model)
        command, champion = self._service.again(model, reason=reason, by=by, command_id=command_id)
        return Reply(
            {"command": command.id, "at_s": command.at_s, "version": command.version, "champion": champion},
            HTTPStatus.ACCEPTED,
        )

    def one(self, call: Call) -> Reply:
        """Say whether it waits still, and why no release answers it, where none does."""
        waits, outcome = self._service.standing_of(call.path["command_id"])
        return Reply({"command": call.path["command_id"], "waits": waits, "outcome": outcome})

    def foresee(self, call: Call) -> Reply:
        """Say what the word named by ``ask`` would do now, and what a person has to agree to first."""
        asked = call.query.get("ask", "")
        if asked not in tuple(Ask):
            message = f"ask: must be one of {', '.join(Ask)}"
            raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", message, field="ask")
        found = self._service.foresee(Ask(asked), call.path["model"], call.query.get("version"))
        consents = [{"consent": consent, "why": why} for consent, why in found.consents]
        return Reply({"sentence": found.sentence, "acts": found.acts, "consents": consents})

    def abort(self, call: Call) -> Reply:
        return self._said(Ask.ABORT, self._service.abort, call)

    def rollback(self, call: Call) -> Reply:
        return self._said(Ask.ROLLBACK, self._service.rollback, call)

    def resume(self, call: Call) -> Reply:
        return self._said(Ask.RESUME, self._service.resume, call)

    def pause(self, call: Call) -> Reply:
        return self._said(Ask.PAUSE, self._service.pause, call)

    def promote(self, call: Call) -> Reply:
        return self._said(Ask.PROMOTE, self._service.promote, call)

    def _said(self, ask: Ask, say: _Say, call: Call) -> Reply:
        model = call.path["model"]
        reason, by, command_id = _word(call, parse(ReasonBody, call.body), model)
        foreseen = self._foreseen(ask, model)
        return _kept(say(model, reason=reason, by=by, command_id=command_id), foreseen)

    def _foreseen(self, ask: Ask, model: str) -> Foreseen | None:
        """Return what it will do; None where that cannot be told, which keeps nobody from asking for it."""
        try:
            return self._service.foresee(ask, model)
        except (SerinError, OSError):
            return None


class FreezeRoutes:
    def __init__(self, service: Service) -> None:
        self._service = service

    def list(self, _call: Call) -> Reply:
        return Reply({"freezes": [_freeze(freeze) for freeze in self._service.frozen()]})

    def freeze(self, call: Call) -> Reply:
        body = parse(FreezeBody, call.body)
        call.caller.may_speak_of(body.model)
        by = call.caller.on_behalf_of(body.by)
        freeze = self._service.freeze(body.model, reason=body.reason, by=by, silent=body.silent, for_s=body.for_s)
        return Reply(_freeze(freeze), HTTPStatus.CREATED)

    def lift(self, call: Call) -> Reply:
        """Lift a freeze. Why, and on whose behalf, stand in the query: many clients send no body with DELETE."""
        model, reason = call.path["model"], query_text(call, "reason")
        call.caller.may_speak_of(model)
        by = call.caller.on_behalf_of(call.query.get("by", "").strip() or None)
        return Reply({"model": model, "lifted": self._service.unfreeze(model, reason=reason, by=by)})


def _word(call: Call, body: ReasonBody, model: str) -> tuple[str, str, str]:
    """Return why, on whose behalf and by which id. Raises ApiError where the token is for another model."""
    call.caller.may_speak_of(model)
    return body.reason, call.caller.on_behalf_of(body.by), body.id or ""


def _kept(asked: tuple[Command, bool], foreseen: Foreseen | None = None) -> Reply:
    command, new = asked
    told = {"command": command.id, "new": new, "at_s": command.at_s}
    return Reply(told | ({} if foreseen is None else {"foreseen": foreseen.sentence}), HTTPStatus.ACCEPTED)


def _freeze(freeze: Freeze) -> dict[str, object]:
    return asdict(freeze)
