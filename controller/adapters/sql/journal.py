"""The journal: entries, the release's state and the commands they answer, committed together or not at all."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select, tuple_, update

from controller.adapters.sql import schema
from controller.adapters.sql.database import Database, insert_if_new
from controller.errors import ConflictError
from controller.journal import chain
from controller.ports.journal import Entry, RecordedEntry, ReleaseRecord

_SOURCE = "journal"


class SqlJournal:
    """``controller.ports.Journal`` on SQL. One writer a release at a time, by its sequence number."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, record: ReleaseRecord, entries: Sequence[Entry], *, taken_up: Sequence[str] = ()) -> None:
        after = record.sequence - len(entries)
        with self._database.write_durably(_SOURCE) as connection:
            head_hash = _head_hash(connection, record.release_id, after)
            recorded = chain.extend(record.release_id, after, head_hash, entries)
            _store_state(connection, record, after, recorded[-1].hash if recorded else head_hash)
            if recorded:
                connection.execute(insert(schema.entries), [_entry_row(record.release_id, one) for one in recorded])
            _take_up(connection, record.release_id, taken_up)

    def release(self, release_id: str) -> ReleaseRecord | None:
        with self._database.read(_SOURCE) as connection:
            row = connection.execute(
                select(schema.releases).where(schema.releases.c.release_id == release_id)
            ).one_or_none()
        return None if row is None else _record(row)

    def releases(
        self, *, model: str | None = None, active: bool | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[ReleaseRecord]:
        columns = schema.releases.c
        query = select(schema.releases).order_by(columns.started_at_s.desc(), columns.release_id.desc()).limit(limit)
        if model is not None:
            query = query.where(columns.model == model)
        if active is not None:
            query = query.where(columns.active.is_(active))
        if before is not None:
            newer = schema.releases.alias("newer").c
            place = select(newer.started_at_s, newer.release_id).where(newer.release_id == before).subquery()
            query = query.join(
                place,
                tuple_(columns.started_at_s, columns.release_id) < tuple_(place.c.started_at_s, place.c.release_id),
            )
        with self._database.read(_SOURCE) as connection:
            return tuple(_record(row) for row in connection.execute(query))

    def page(self, release_id: str, *, after: int, limit: int) -> Sequence[RecordedEntry]:
        entries = schema.entries.c
        # The one before is read with them: its hash is what the first of the page follows.
        wanted = (entries.release_id == release_id, entries.sequence >= after, entries.sequence <= after + limit)
        with self._database.read(_SOURCE) as connection:
            length, head_hash = _head(connection, release_id)
            rows = connection.execute(select(schema.entries).where(*wanted).order_by(entries.sequence)).all()
        recorded = tuple(_recorded(row) for row in rows if row.sequence > after)
        previous = next((row.hash for row in rows if row.sequence == after), chain.GENESIS_HASH)
        chain.verify(
            release_id,
            recorded,
            length=length,
            head_hash=head_hash,
            after=after,
            previous_hash=previous,
            limit=limit,
        )
        return recorded

    def entries(self, release_id: str) -> Sequence[RecordedEntry]:
        entries = schema.entries.c
        with self._database.read(_SOURCE) as connection:
            length, head_hash = _head(connection, release_id)
            rows = connection.execute(
                select(schema.entries).where(entries.release_id == release_id).order_by(entries.sequence)
            ).all()
        recorded = tuple(_recorded(row) for row in rows)
        chain.verify(release_id, recorded, length=length, head_hash=head_hash)
        return recorded


def _head(connection: Connection, release_id: str) -> tuple[int, str]:
    """How many entries the release has, and the hash of the last one."""
    columns = schema.releases.c
    row = connection.execute(
        select(columns.sequence, columns.head_hash).where(columns.release_id == release_id)
    ).one_or_none()
    return (row.sequence, str(row.head_hash)) if row else (0, chain.GENESIS_HASH)


def _head_hash(connection: Connection, release_id: str, after: int) -> str:
    stands_at, head_hash = _head(connection, release_id)
    if stands_at != after:
        raise ConflictError(f"journal of release {release_id} stands at {stands_at}, not at {after}: another writer")
    return head_hash


def _store_state(connection: Connection, record: ReleaseRecord, after: int, head_hash: str) -> None:
    """Write the release's row, on condition that nobody wrote since it was read (PostgreSQL lets others in between)."""
    row = {
        "release_id": record.release_id,
        "model": record.model,
        "version": record.version,
        "phase": record.phase,
        "active": record.active,
        "sequence": record.sequence,
        "started_at_s": record.started_at_s,
        "state": chain.canonical_json(record.state),
        "head_hash": head_hash,
    }
    releases = schema.releases
    as_read = (releases.c.release_id == record.release_id, releases.c.sequence == after)
    stored = connection.execute(update(releases).where(*as_read).values(row)).rowcount == 1
    if not stored and not (after == 0 and insert_if_new(connection, releases, row)):
        raise ConflictError(f"journal of release {record.release_id} no longer stands at {after}: another writer")


def _take_up(connection: Connection, release_id: str, command_ids: Sequence[str]) -> None:
    commands = schema.commands
    for command_id in dict.fromkeys(command_ids):
        taken = connection.execute(
            update(commands)
            .where(commands.c.command_id == command_id, commands.c.waiting.is_(True))
            .values(waiting=False, release_id=release_id)
        ).rowcount
        if not taken:
            raise ConflictError(f"command {command_id} does not wait in the inbox: it was taken up or never put in")


def _entry_row(release_id: str, recorded: RecordedEntry) -> dict[str, object]:
    return {
        "release_id": release_id,
        "sequence": recorded.sequence,
        "kind": recorded.entry.kind,
        "at_s": recorded.entry.at_s,
        "payload": chain.canonical_json(recorded.entry.payload),
        "previous_hash": recorded.previous_hash,
        "hash": recorded.hash,
    }


def _recorded(row: Row[Any]) -> RecordedEntry:
    entry = Entry(row.kind, row.at_s, json.loads(row.payload))
    return RecordedEntry(row.sequence, entry, previous_hash=row.previous_hash, hash=row.hash)


def _record(row: Row[Any]) -> ReleaseRecord:
    return ReleaseRecord(
        release_id=row.release_id,
        model=row.model,
        version=row.version,
        phase=row.phase,
        active=row.active,
        sequence=row.sequence,
        started_at_s=row.started_at_s,
        state=json.loads(row.state),
    )
