"""Routes of people and pipelines: look at releases, start, abort, roll back, resume; freeze and unfreeze."""

import json
from http import HTTPStatus
from typing import Final

from controller.api.bodies import FreezeBody, ReasonBody, ReleaseBody, parse
from controller.api.http import Call, Reply, limit_of, query_text
from controller.core.commands import Command, Freeze
from controller.ports.journal import ReleaseRecord, ReleaseSummary
from controller.service import Service

RELEASES_MAX: Final = 1_000


class ReleaseRoutes:
    def __init__(self, service: Service) -> None:
        self._service = service

    def list(self, call: Call) -> Reply:
        """Newest first, without their states. ``next`` asks for those before, as ``before``."""
        limit = limit_of(call, default=100, most=RELEASES_MAX)
        found = self._service.releases(call.query.get("model"), limit=limit, before=call.query.get("before"))
        more = found[-1].release_id if len(found) == limit else None
        return Reply({"releases": [_summary(record) for record in found], "next": more})

    def one(self, call: Call) -> Reply:
        record = self._service.release(call.path["release_id"])
        return Reply({**_summary(record), "state": json.loads(record.state)})


class CommandRoutes:
    """Commands are kept and answered at once; what came of them stands in the journal."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def start(self, call: Call) -> Reply:
        body = parse(ReleaseBody, call.body)
        reason, by, command_id = _word(call, body, body.model)
        return _kept(self._service.start(body.model, body.version, reason=reason, by=by, command_id=command_id))

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
        return Reply(_freeze(self._service.freeze(body.model, reason=body.reason, by=by)), HTTPStatus.CREATED)

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
    return Reply({"command": command.id, "new": new}, HTTPStatus.ACCEPTED)


def _summary(record: ReleaseSummary | ReleaseRecord) -> dict[str, object]:
    return {
        "release_id": record.release_id,
        "model": record.model,
        "version": record.version,
        "phase": record.phase,
        "active": record.active,
        "sequence": record.sequence,
        "started_at_s": record.started_at_s,
        "phase_since_s": record.phase_since_s,
        "reason": record.reason,
    }


def _freeze(freeze: Freeze) -> dict[str, object]:
    return {"model": freeze.model, "reason": freeze.reason, "by": freeze.by, "at_s": freeze.at_s}
