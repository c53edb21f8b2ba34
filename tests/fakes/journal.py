"""A journal in memory, beside the inbox it takes commands out of."""

import json
from collections.abc import Sequence
from dataclasses import replace

from controller.errors import ConflictError
from controller.journal import chain
from controller.ports.journal import Entry, RecordedEntry, ReleaseRecord
from tests.fakes.inbox import FakeInbox


class FakeJournal:
    def __init__(self, inbox: FakeInbox | None = None) -> None:
        self._inbox = inbox or FakeInbox()
        self._records: dict[str, ReleaseRecord] = {}
        self._entries: dict[str, list[RecordedEntry]] = {}

    def append(self, record: ReleaseRecord, entries: Sequence[Entry], *, taken_up: Sequence[str] = ()) -> None:
        kept = self._entries.get(record.release_id, [])
        after = record.sequence - len(entries)
        if len(kept) != after:
            raise ConflictError(f"journal of release {record.release_id} stands at {len(kept)}, not at {after}")
        head = kept[-1].hash if kept else chain.GENESIS_HASH
        recorded = chain.extend(record.release_id, after, head, entries)
        # As a database would give it back: keys sorted, nothing shared with the caller.
        record = replace(record, state=json.loads(chain.canonical_json(record.state)))
        self._inbox.take_up(taken_up)
        self._entries[record.release_id] = [*kept, *recorded]
        self._records[record.release_id] = record

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

    def page(self, release_id: str, *, after: int, limit: int) -> Sequence[RecordedEntry]:
        return tuple(self._entries.get(release_id, ()))[after : after + limit]

    def entries(self, release_id: str) -> Sequence[RecordedEntry]:
        return tuple(self._entries.get(release_id, ()))


def _place(record: ReleaseRecord) -> tuple[float, str]:
    return record.started_at_s, record.release_id
