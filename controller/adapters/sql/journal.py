"""The journal: entries, the release's state and the commands they answer, committed together or not at all."""

from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, func, insert, select, tuple_, update

from controller.adapters.sql import schema, streams, subscribers, versions
from controller.adapters.sql.database import Database, Prepared, insert_if_new
from controller.errors import ConflictError, Source
from controller.journal.chain import canonical_json
from controller.ports.journal import (
    Entry,
    FeedPage,
    RecordedEntry,
    ReleaseRecord,
    ReleaseSummary,
    Sighting,
    release_stream,
)

_SOURCE: Final = Source.JOURNAL
_RELEASES: Final = schema.releases.c
_FIELDS: Final = tuple(field.name for field in fields(ReleaseSummary))
_SIGHTED: Final = attrgetter(*(field.name for field in fields(Sighting)))
_SUMMARY: Final = tuple(_RELEASES[name] for name in _FIELDS)
_RECORD: Final = (*_SUMMARY, _RELEASES.state)
# Statements of every append.
_TOLD: Final = Prepared(select(_RELEASES.sightings).where(_RELEASES.release_id == bindparam("id")))
_STORED: Final = (*(name for name in _FIELDS if name != "release_id"), "state", "sightings")
_STORE: Final = Prepared(
    update(schema.releases)
    .where(_RELEASES.release_id == bindparam("id"))
    .values({name: bindparam(f"new_{name}") for name in _STORED})
)


class SqlJournal:
    """``controller.ports.journal`` on SQL: every protocol of it. Any thread may use it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- writing -----------------------------------------------------------------------------------------------------
    def append(
        self, record: ReleaseRecord, entries: Sequence[Entry], *, taken_up: Sequence[str] = (), fence: int | None = None
    ) -> None:
        after = record.sequence - len(entries)
        stream = release_stream(record.release_id)
        sightings = canonical_json(list(map(_SIGHTED, record.sightings)))
        with self._database.write_durably(_SOURCE) as connection:
            position = streams.append(connection, stream, entries, expected=after, fence=fence)
            _store_state(connection, record, sightings, position)
            _take_up(connection, record.release_id, taken_up)

    def note(self, stream: str, entries: Sequence[Entry], *, fence: int | None = None) -> None:
        with self._database.write_durably(_SOURCE) as connection:
            streams.append(connection, stream, entries, fence=fence)

    # --- entries -----------------------------------------------------------------------------------------------------
    def page(self, release_id: str, *, after: int, limit: int) -> Sequence[RecordedEntry]:
        return self.stream_page(release_stream(release_id), after=after, limit=limit)

    def stream_page(self, stream: str, *, after: int, limit: int) -> Sequence[RecordedEntry]:
        with self._database.read(_SOURCE) as connection:
            return streams.page(connection, stream, after=after, limit=limit)

    def entries(self, release_id: str) -> Sequence[RecordedEntry]:
        with self._database.read(_SOURCE) as connection:
            return streams.page(connection, release_stream(release_id), after=0, limit=None)

    def last(self, stream: str, kinds: Sequence[str]) -> RecordedEntry | None:
        columns = schema.entries.c
        query = select(schema.entries).where(columns.stream == stream, columns.kind.in_(kinds))
        with self._database.read(_SOURCE) as connection:
            rows = connection.execute(query.order_by(columns.sequence.desc()).limit(1)).all()
        return next(iter(streams.recorded_of(rows)), None)

    def of_kinds(self, stream: str, kinds: Sequence[str], *, since_s: float, limit: int) -> Sequence[RecordedEntry]:
        columns = schema.entries.c
        query = select(schema.entries).where(columns.stream == stream, columns.kind.in_(kinds), columns.at_s >= since_s)
        with self._database.read(_SOURCE) as connection:
            rows = connection.execute(query.order_by(columns.sequence.desc()).limit(limit)).all()
        return streams.recorded_of(rows[::-1])

    def written_at_s(self) -> float | None:
        columns = schema.entries.c
        query = select(columns.at_s).order_by(columns.position.desc()).limit(1)
        with self._database.read(_SOURCE) as connection:
            return connection.execute(query).scalar_one_or_none()

    def feed(self, *, after: int, limit: int, kinds: Sequence[str] | None = None) -> FeedPage:
        columns = schema.entries.c
        query = select(schema.entries).where(columns.position > after).order_by(columns.position).limit(limit)
        if kinds is not None:
            query = query.where(columns.kind.in_(kinds))
        with self._database.read(_SOURCE) as connection:
            newest = connection.execute(select(schema.journal_head.c.position)).scalar_one()
            found = streams.recorded_of(connection.execute(query))
        return FeedPage(found, found[-1].position if len(found) == limit else max(newest, after))

    def position_of(self, subscriber: str) -> int:
        with self._database.read(_SOURCE) as connection:
            return subscribers.position_of(connection, subscriber)

    def advance(self, subscriber: str, position: int) -> None:
        with self._database.write(_SOURCE) as connection:
            subscribers.advance(connection, subscriber, position)

    # --- releases ----------------------------------------------------------------------------------------------------
    def release(self, release_id: str) -> ReleaseRecord | None:
        query = select(*_RECORD).where(_RELEASES.release_id == release_id)
        with self._database.read(_SOURCE) as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else ReleaseRecord(**row)

    def releases(
        self, *, model: str | None = None, active: bool | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[ReleaseRecord]:
        query = _newest_first(select(*_RECORD), model=model, active=active, limit=limit, before=before)
        with self._database.read(_SOURCE) as connection:
            return tuple(ReleaseRecord(**row) for row in connection.execute(query).mappings())

    def summaries(
        self, *, model: str | None = None, active: bool | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[ReleaseSummary]:
        query = _newest_first(select(*_SUMMARY), model=model, active=active, limit=limit, before=before)
        return self._summaries(query)

    def summary(self, release_id: str) -> ReleaseSummary | None:
        found = self._summaries(select(*_SUMMARY).where(_RELEASES.release_id == release_id))
        return found[0] if found else None

    def current(self, *, model: str | None = None) -> Sequence[ReleaseSummary]:
        columns = schema.models.c
        query = select(*_SUMMARY).join(schema.models, columns.release_id == _RELEASES.release_id)
        if model is not None:
            query = query.where(columns.model == model)
        return self._summaries(query.order_by(columns.model))

    def newest(self, model: str, phases: Sequence[str], *, version: str | None = None) -> ReleaseSummary | None:
        query = select(*_SUMMARY).where(_RELEASES.phase.in_(phases))
        if version is not None:
            query = query.where(_RELEASES.version == version)
        found = self._summaries(_newest_first(query, model=model, active=None, limit=1, before=None))
        return found[0] if found else None

    def count(self, model: str, version: str) -> int:
        query = select(func.count()).where(_RELEASES.model == model, _RELEASES.version == version)
        with self._database.read(_SOURCE) as connection:
            return connection.execute(query).scalar_one()

    def _summaries(self, query: Select[Any]) -> tuple[ReleaseSummary, ...]:
        with self._database.read(_SOURCE) as connection:
            return tuple(ReleaseSummary(*row) for row in connection.execute(query))

    # --- versions ----------------------------------------------------------------------------------------------------
    def known(self, model: str, number: str) -> tuple[str, str] | None:
        with self._database.read(_SOURCE) as connection:
            return versions.known(connection, model, number)

    def fingerprint(self, model: str, number: str, source_id: str) -> str:
        with self._database.read(_SOURCE) as connection:
            return versions.fingerprint(connection, model, number, source_id)

    def released(self, model: str, number: str, source_id: str) -> bool:
        with self._database.read(_SOURCE) as connection:
            return versions.released(connection, model, number, source_id)


def _newest_first(
    query: Select[Any], *, model: str | None, active: bool | None, limit: int, before: str | None
) -> Select[Any]:
    query = query.order_by(_RELEASES.started_at_s.desc(), _RELEASES.release_id.desc()).limit(limit)
    if model is not None:
        query = query.where(_RELEASES.model == model)
    if active is not None:
        query = query.where(_RELEASES.active if active else ~_RELEASES.active)
    if before is not None:
        newer = schema.releases.alias("newer").c
        place = select(newer.started_at_s, newer.release_id).where(newer.release_id == before).subquery()
        older = tuple_(_RELEASES.started_at_s, _RELEASES.release_id) < tuple_(place.c.started_at_s, place.c.release_id)
        query = query.join(place, older)
    return query


def _store_state(connection: Connection, record: ReleaseRecord, sightings: str, position: int) -> None:
    """Write the release's row, and what it is found by."""
    before = _TOLD.run(connection, {"id": record.release_id}).scalar_one_or_none()
    row = {name: getattr(record, name) for name in _FIELDS}
    row |= {"state": record.state, "sightings": sightings}
    if before is None:
        connection.execute(insert(schema.releases).values(row))
        newest = {"model": record.model, "release_id": record.release_id}
        if not insert_if_new(connection, schema.models, newest):
            connection.execute(update(schema.models).where(schema.models.c.model == record.model).values(newest))
    else:
        _STORE.run(connection, {"id": record.release_id} | {f"new_{name}": row[name] for name in _STORED})
    if sightings != before:
        versions.note(connection, record.model, record.sightings, position)


def _take_up(connection: Connection, release_id: str, command_ids: Sequence[str]) -> None:
    commands = schema.commands
    for command_id in dict.fromkeys(command_ids):
        taken = connection.execute(
            update(commands)
            .where(commands.c.command_id == command_id, commands.c.waiting.is_(True))
            .values(waiting=False, release_id=release_id)
        ).rowcount
        if not taken:
            said = f"command {command_id} is not waiting in the inbox: it was taken up already, or was never stored"
            raise ConflictError(Source.INBOX, said)
