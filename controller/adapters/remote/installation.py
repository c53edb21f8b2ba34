"""An installation on another machine: everything that commands ask is asked of its HTTP interface."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from controller.adapters.remote.wire import Reading, Wire
from controller.core.commands import ANY_MODEL, Ask, Command, Freeze
from controller.core.foresight import Consent, Foreseen
from controller.journal.chain import GENESIS_HASH, verify
from controller.naming import model_named, version_named
from controller.overview import Overview, overview_in, shown_in
from controller.ports.journal import RecordedEntry, ReleaseRecord, ReleaseSummary, release_stream
from controller.report.chronicle import Happening
from controller.service import Report, taken_up

_PAGE: Final = 100


class RemoteInstallation:
    """Implements ``controller.service.Installation``. Every method raises as `Wire.ask` does."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def start(self, model: str, version: str, *, reason: str, by: str) -> tuple[Command, bool]:
        model_named(model)
        version_named(version)
        body = {"model": model, "version": version, "reason": reason, "by": by}
        return self._kept(Ask.START, model, version, body, "/v1/releases")

    def replace(self, model: str, version: str, *, reason: str, by: str) -> tuple[Command, bool]:
        body = {"version": version_named(version), "reason": reason, "by": by}
        path = f"/v1/models/{quote(model_named(model), safe='')}/{Ask.REPLACE}"
        return self._kept(Ask.REPLACE, model, version, body, path)

    def again(self, model: str, *, reason: str, by: str) -> tuple[Command, str]:
        path = f"/v1/models/{quote(model_named(model), safe='')}/again"
        found = self._read("POST", path, {"reason": reason, "by": by})
        with Reading(self._wire):
            command = Command(found["command"], Ask.START, model, found["version"], reason, by, found["at_s"])
            return command, str(found["champion"])

    def abort(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]:
        return self._word(Ask.ABORT, model, reason, by, command_id)

    def rollback(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]:
        return self._word(Ask.ROLLBACK, model, reason, by, command_id)

    def resume(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]:
        return self._word(Ask.RESUME, model, reason, by, command_id)

    def pause(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]:
        return self._word(Ask.PAUSE, model, reason, by, command_id)

    def promote(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]:
        return self._word(Ask.PROMOTE, model, reason, by, command_id)

    def is_taken_up(self, command: Command) -> bool:
        found = self._read("GET", f"/v1/commands/{quote(command.id, safe='')}")
        with Reading(self._wire):
            waits, outcome = bool(found["waits"]), found["outcome"]
        return taken_up(command, waits=waits, outcome=outcome)

    def foresee(self, ask: Ask, model: str, version: str | None = None) -> Foreseen:
        path = f"/v1/models/{quote(model_named(model), safe='')}/foreseen"
        found = self._read("GET", path, ask=ask.value, version=None if version is None else version_named(version))
        with Reading(self._wire):
            consents = tuple((Consent(one["consent"]), str(one["why"])) for one in found["consents"])
            return Foreseen(str(found["sentence"]), bool(found["acts"]), consents)

    def freeze(self, model: str, *, reason: str, by: str, silent: bool = False, for_s: float | None = None) -> Freeze:
        if model != ANY_MODEL:
            model_named(model)
        body = {"model": model, "reason": reason, "by": by, **({"silent": True} if silent else {})}
        body |= {} if for_s is None else {"for_s": for_s}
        found = self._read("POST", "/v1/freezes", body)
        with Reading(self._wire):
            return Freeze(found["model"], found["reason"], found["by"], found["at_s"], silent, found.get("ends_at_s"))

    def unfreeze(self, model: str, *, reason: str, by: str) -> bool:
        found = self._read("DELETE", f"/v1/freezes/{quote(model, safe='')}", reason=reason, by=by)
        with Reading(self._wire):
            return bool(found["lifted"])

    def releases(
        self, model: str | None = None, *, limit: int = 100, before: str | None = None
    ) -> Sequence[ReleaseSummary]:
        found = self._read("GET", "/v1/releases", model=model, limit=limit, before=before)
        with Reading(self._wire):
            shown = tuple(map(shown_in, found["releases"]))
            return tuple(one for one in shown if isinstance(one, ReleaseSummary))

    def release(self, release_id: str) -> ReleaseRecord:
        found = self._read("GET", f"/v1/releases/{quote(release_id, safe='')}")
        with Reading(self._wire):
            record = shown_in(found)
            if not isinstance(record, ReleaseRecord):
                raise KeyError("state")
            return record

    def overview(self, model: str | None = None) -> Overview:
        found = self._read("GET", "/v1/status", model=None if model is None else model_named(model))
        with Reading(self._wire):
            return overview_in(found)

    def report(self, release_id: str) -> Report:
        path = f"/v1/releases/{quote(release_id, safe='')}/report"
        html, as_json = (self._wire.ask("GET", path, format=wanted) for wanted in ("html", "json"))
        return Report(html.body.decode("utf-8"), as_json.body.decode("utf-8"))

    def entries(self, release_id: str) -> Iterator[RecordedEntry]:
        path, after, previous = f"/v1/releases/{quote(release_id, safe='')}/entries", 0, GENESIS_HASH
        following: int | None = 0
        while following is not None:
            found = self._read("GET", path, after=after, limit=_PAGE, payload="text")
            with Reading(self._wire):
                page, length, following = tuple(map(_entry, found["entries"])), int(found["length"]), found["next"]
            last = page[-1].hash if page else previous
            stream = release_stream(release_id)
            verify(stream, page, length=length, head_hash=last, after=after, previous_hash=previous, limit=_PAGE)
            yield from page
            after, previous = after + len(page), last

    def history(self, model: str | None = None, *, since_s: float, limit: int = 1_000) -> Sequence[Happening]:
        wanted = None if model is None else model_named(model)
        found = self._read("GET", "/v1/history", model=wanted, since_s=int(since_s), limit=limit)
        with Reading(self._wire):
            return tuple(Happening(**one) for one in found["happenings"])

    def _word(self, ask: Ask, model: str, reason: str, by: str, command_id: str) -> tuple[Command, bool]:
        path = f"/v1/models/{quote(model_named(model), safe='')}/{ask}"
        return self._kept(ask, model, None, {"reason": reason, "by": by, "id": command_id or None}, path)

    def _kept(
        self, ask: Ask, model: str, version: str | None, body: Mapping[str, Any], path: str
    ) -> tuple[Command, bool]:
        found = self._read("POST", path, body)
        with Reading(self._wire):
            command = Command(found["command"], ask, model, version, body["reason"], body["by"], found["at_s"])
            return command, bool(found["new"])

    def _read(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: object) -> Any:
        return self._wire.document(method, path, body, **query)


def _entry(document: Mapping[str, Any]) -> RecordedEntry:
    summary = document.get("summary")
    return RecordedEntry(
        position=document["position"],
        stream=document["stream"],
        sequence=document["sequence"],
        kind=document["kind"],
        at_s=document["at_s"],
        schema=document["schema"],
        text=document["payload"],
        head=document["head"],
        previous_hash=document["previous_hash"],
        hash=document["hash"],
        chain=document["chain"],
        summary=None if summary is None else _entry(summary),
    )
