"""A journal in memory, beside the inbox it takes commands out of."""

from collections.abc import Sequence
from dataclasses import fields

from controller.errors import ConflictError, Source
from controller.journal import chain
from controller.ports.journal import (
    Entry,
    FeedPage,
    RecordedEntry,
    ReleaseRecord,
    ReleaseSummary,
    Sighting,
    release_stream,
)
from tests.fakes.inbox import FakeInbox


class FakeJournal:
    def __init__(self, inbox: FakeInbox | None = None) -> None:
        self._inbox = inbox or FakeInbox()
        self._records: dict[str, ReleaseRecord] = {}  # in the order in which they began
        self._journal: list[RecordedEntry] = []
        self._streams: dict[str, list[RecordedEntry]] = {}
        self._fence = 0
        self._positions: dict[str, int] = {}
        self._sighted: list[tuple[str, Sighting]] = []  # with the model, as they came

    # --- writing -----------------------------------------------------------------------------------------------------
    def append(
        self, record: ReleaseRecord, entries: Sequence[Entry], *, taken_up: Sequence[str] = (), fence: int | None = None
    ) -> None:
        stream = release_stream(record.release_id)
        kept = self._streams.get(stream, [])
        if len(kept) != record.sequence - len(entries):
            said = f"journal of release {record.release_id} stands at {len(kept)}: another writer"
            raise ConflictError(Source.JOURNAL, said)
        recorded = self._extended(stream, entries, fence)
        self._inbox.take_up(taken_up)
        self._store(stream, recorded, fence)
        before = self._records.get(record.release_id)
        if before is None or before.sightings != record.sightings:
            self._sighted += [(record.model, sighting) for sighting in record.sightings]
        self._records[record.release_id] = record

    def rewrite(self, record: ReleaseRecord) -> None:
        """The snapshot as somebody else left it."""
        self._records[record.release_id] = record

    def note(self, stream: str, entries: Sequence[Entry], *, fence: int | None = None) -> None:
        self._store(stream, self._extended(stream, entries, fence), fence)

    def _extended(self, stream: str, entries: Sequence[Entry], fence: int | None) -> list[RecordedEntry]:
        if fence is not None and fence < self._fence:
            raise ConflictError(Source.JOURNAL, f"the journal is written by a later leader (fence {self._fence})")
        kept = self._streams.get(stream, [])
        head = kept[-1].hash if kept else chain.GENESIS_HASH
        return chain.extend(stream, position=len(self._journal), after=len(kept), head_hash=head, entries=entries)

    def _store(self, stream: str, recorded: list[RecordedEntry], fence: int | None) -> None:
        self._fence = max(self._fence, fence or 0)
        self._journal += recorded
        self._streams[stream] = [*self._streams.get(stream, []), *recorded]

    # --- entries -----------------------------------------------------------------------------------------------------
    def page(self, release_id: str, *, after: int, limit: int) -> Sequence[RecordedEntry]:
        return self.stream_page(release_stream(release_id), after=after, limit=limit)

    def stream_page(self, stream: str, *, after: int, limit: int) -> Sequence[RecordedEntry]:
        return tuple(self._streams.get(stream, ()))[after : after + limit]

    def entries(self, release_id: str) -> Sequence[RecordedEntry]:
        return tuple(self._streams.get(release_stream(release_id), ()))

    def last(self, stream: str, kinds: Sequence[str]) -> RecordedEntry | None:
        return next((one for one in reversed(self._streams.get(stream, [])) if one.kind in kinds), None)

    def of_kinds(self, stream: str, kinds: Sequence[str], *, since_s: float, limit: int) -> Sequence[RecordedEntry]:
        found = (one for one in self._streams.get(stream, ()) if one.kind in kinds and one.at_s >= since_s)
        return tuple(found)[-limit:]

    def written_at_s(self) -> float | None:
        return self._journal[-1].at_s if self._journal else None

    def feed(self, *, after: int, limit: int, kinds: Sequence[str] | None = None) -> FeedPage:
        found = [one for one in self._journal[after:] if kinds is None or one.kind in kinds][:limit]
        return FeedPage(found, found[-1].position if len(found) == limit else max(len(self._journal), after))

    def position_of(self, subscriber: str) -> int:
        return self._positions.get(subscriber, 0)

    def advance(self, subscriber: str, position: int) -> None:
        self._positions[subscriber] = max(position, self._positions.get(subscriber, 0))

    # --- releases ----------------------------------------------------------------------------------------------------
    def release(self, release_id: str) -> ReleaseRecord | None:
        return self._records.get(release_id)

    def releases(
        self, *, model: str | None = None, active: bool | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[ReleaseRecord]:
        newer = self._records.get(before) if before is not None else None
        if before is not None and newer is None:
            return []
        found = [
            record
            for record in self._records.values()
            if model in (None, record.model)
            and active in (None, record.active)
            and (newer is None or _place(record) < _place(newer))
        ]
        return sorted(found, key=_place, reverse=True)[:limit]

    def summaries(
        self, *, model: str | None = None, active: bool | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[ReleaseSummary]:
        return [_summary(one) for one in self.releases(model=model, active=active, limit=limit, before=before)]

    def summary(self, release_id: str) -> ReleaseSummary | None:
        record = self._records.get(release_id)
        return None if record is None else _summary(record)

    def current(self, *, model: str | None = None) -> Sequence[ReleaseSummary]:
        newest = {record.model: _summary(record) for record in self._records.values() if model in (None, record.model)}
        return [newest[name] for name in sorted(newest)]

    def newest(self, model: str, phases: Sequence[str], *, version: str | None = None) -> ReleaseSummary | None:
        every = self.summaries(model=model, limit=len(self._records))
        return next((one for one in every if one.phase in phases and version in (None, one.version)), None)

    def count(self, model: str, version: str) -> int:
        return sum((record.model, record.version) == (model, version) for record in self._records.values())

    # --- versions ----------------------------------------------------------------------------------------------------
    def known(self, model: str, number: str) -> tuple[str, str] | None:
        same = [one for whose, one in self._sighted if (whose, one.number) == (model, number) and one.fingerprint]
        last = ([one for one in same if one.served] or same)[-1:]
        return next(((one.source_id, self.fingerprint(model, number, one.source_id)) for one in last), None)

    def fingerprint(self, model: str, number: str, source_id: str) -> str:
        same = self._same(model, number, source_id)
        return next((one.fingerprint for one in same if one.fingerprint), "")

    def released(self, model: str, number: str, source_id: str) -> bool:
        return any(one.released for one in self._same(model, number, source_id))

    def _same(self, model: str, number: str, source_id: str) -> list[Sighting]:
        wanted = (model, number, source_id)
        return [one for whose, one in self._sighted if (whose, one.number, one.source_id) == wanted]


def _place(record: ReleaseRecord) -> tuple[float, str]:
    return record.started_at_s, record.release_id


def _summary(record: ReleaseRecord) -> ReleaseSummary:
    return ReleaseSummary(**{field.name: getattr(record, field.name) for field in fields(ReleaseSummary)})
