"""Routes of people and pipelines: look at releases, start, abort, roll back, resume; freeze and unfreeze."""

from dataclasses import asdict
from http import HTTPStatus
from threading import Lock
from typing import Final

from controller.api.bodies import FreezeBody, ReasonBody, ReleaseBody, parse
from controller.api.errors import ApiError
from controller.api.http import Call, Page, Raw, Reply, limit_of, query_text
from controller.core.commands import Command, Freeze
from controller.errors import Source, TransientError
from controller.naming import model_named
from controller.overview import as_document, release_document
from controller.service import Service

RELEASES_MAX: Final = 1_000
_REPORT_WITHIN_S: Final = 20.0


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

    def abort(self, call: Call) -> Reply:
        model = call.path["model"]
        reason, by, command_id = _word(call, parse(ReasonBody, call.body), model)
        return _kept(self._service.abort(model, reason=reason, by=by, command_id=command_id))

    def rollback(self, call: Call) -> Reply:
        model = call.path["model"]
        reason, by, command_id = _word(call, parse(ReasonBody, call.body), model)
        return _kept(self._service.rollback(model, reason=reason, by=by, command_id=command_id))

    def resume(self, call: Call) -> Reply:
        model = call.path["model"]
        reason, by, command_id = _word(call, parse(ReasonBody, call.body), model)
        return _kept(self._service.resume(model, reason=reason, by=by, command_id=command_id))


class FreezeRoutes:
    def __init__(self, service: Service) -> None:
        self._service = service

    def list(self, _call: Call) -> Reply:
        return Reply({"freezes": [_freeze(freeze) for freeze in self._service.frozen()]})

    def freeze(self, call: Call) -> Reply:
        body = parse(FreezeBody, call.body)
        call.caller.may_speak_of(body.model)
        by = call.caller.on_behalf_of(body.by)
        freeze = self._service.freeze(body.model, reason=body.reason, by=by, silent=body.silent)
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


def _kept(asked: tuple[Command, bool]) -> Reply:
    command, new = asked
    return Reply({"command": command.id, "new": new, "at_s": command.at_s}, HTTPStatus.ACCEPTED)


def _freeze(freeze: Freeze) -> dict[str, object]:
    return asdict(freeze)
