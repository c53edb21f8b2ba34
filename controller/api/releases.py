"""Routes of people and pipelines: look at releases, start, abort, roll back, resume; freeze and unfreeze."""

import json
import uuid
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Final

from controller.api.bodies import FreezeBody, ReasonBody, ReleaseBody, parse
from controller.api.errors import ApiError
from controller.api.http import Call, Reply, limit_of, query_text
from controller.core.commands import ANY_MODEL, Ask, Command, Freeze
from controller.naming import model_named
from controller.ports.clock import Clock
from controller.ports.journal import Journal, ReleaseRecord, ReleaseSummary
from controller.ports.people import Freezes, Inbox

RELEASES_MAX: Final = 1_000


class ReleaseRoutes:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def list(self, call: Call) -> Reply:
        """Newest first, without their states. ``next`` asks for those before, as ``before``."""
        limit = limit_of(call, default=100, most=RELEASES_MAX)
        found = self._journal.summaries(model=call.query.get("model"), limit=limit, before=call.query.get("before"))
        more = found[-1].release_id if len(found) == limit else None
        return Reply({"releases": [_summary(record) for record in found], "next": more})

    def one(self, call: Call) -> Reply:
        record = self._found(call)
        return Reply({**_summary(record), "state": json.loads(record.state)})

    def _found(self, call: Call) -> ReleaseRecord:
        release_id = call.path["release_id"]
        record = self._journal.release(release_id)
        if record is None:
            raise ApiError(HTTPStatus.NOT_FOUND, "not_found", f"there is no release {release_id}")
        return record


class CommandRoutes:
    """Commands are put into the inbox and answered at once; what came of them stands in the journal."""

    def __init__(self, inbox: Inbox, models: Collection[str], clock: Clock, wake: Callable[[], None]) -> None:
        """``models`` are those that have a policy: of others no release ever starts."""
        self._inbox = inbox
        self._models = models
        self._clock = clock
        self._wake = wake

    def start(self, call: Call) -> Reply:
        body = parse(ReleaseBody, call.body)
        return self._put(call, Ask.START, body, body.model, body.version)

    def abort(self, call: Call) -> Reply:
        return self._put(call, Ask.ABORT, parse(ReasonBody, call.body), call.path["model"])

    def rollback(self, call: Call) -> Reply:
        return self._put(call, Ask.ROLLBACK, parse(ReasonBody, call.body), call.path["model"])

    def resume(self, call: Call) -> Reply:
        return self._put(call, Ask.RESUME, parse(ReasonBody, call.body), call.path["model"])

    def _put(self, call: Call, ask: Ask, body: ReasonBody, model: str, version: str | None = None) -> Reply:
        """Raises UsageError where no model can be called so, ApiError where the token is for another or none is."""
        call.caller.may_speak_of(model)
        model_named(model)
        _refuse_unknown(model, self._models)
        command = Command(
            id=body.id or uuid.uuid4().hex,
            ask=ask,
            model=model,
            version=version,
            reason=body.reason,
            by=call.caller.on_behalf_of(body.by),
            at_s=self._clock.now_s(),
        )
        new = self._inbox.put(command)
        self._wake()
        return Reply({"command": command.id, "new": new}, HTTPStatus.ACCEPTED)


class FreezeRoutes:
    def __init__(self, freezes: Freezes, models: Collection[str], clock: Clock, wake: Callable[[], None]) -> None:
        self._freezes = freezes
        self._models = models
        self._clock = clock
        self._wake = wake

    def list(self, _call: Call) -> Reply:
        return Reply({"freezes": [_freeze(freeze) for freeze in self._freezes.in_force()]})

    def freeze(self, call: Call) -> Reply:
        body = parse(FreezeBody, call.body)
        call.caller.may_speak_of(body.model)
        if body.model != ANY_MODEL:
            _refuse_unknown(body.model, self._models)
        freeze = Freeze(body.model, body.reason, call.caller.on_behalf_of(body.by), self._clock.now_s())
        self._freezes.freeze(freeze)
        self._wake()
        return Reply(_freeze(freeze), HTTPStatus.CREATED)

    def lift(self, call: Call) -> Reply:
        """Why, and on whose behalf, stand in the query: many clients send no body with DELETE."""
        model, reason = call.path["model"], query_text(call, "reason")
        call.caller.may_speak_of(model)
        by = call.caller.on_behalf_of(call.query.get("by", "").strip() or None)
        lifted = self._freezes.lift(model, reason=reason, by=by, at_s=self._clock.now_s())
        if not lifted and model != ANY_MODEL:  # what was frozen under an earlier rule can be lifted
            model_named(model)
        self._wake()
        return Reply({"model": model, "lifted": lifted})


def _refuse_unknown(model: str, models: Collection[str]) -> None:
    if model not in models:
        known = ", ".join(sorted(models)) or "none yet"
        message = f"there is no policy for model {model!r}; models here: {known}"
        raise ApiError(HTTPStatus.NOT_FOUND, "no_policy", message, field="model")


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
