"""The record of what was decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of a release as the journal keeps it: a kind, a time, and a payload of JSON values."""

    kind: str
    at_s: float
    payload: Json


@dataclass(frozen=True, slots=True)
class RecordedEntry:
    """An entry with its place in the chain: ``hash`` covers the entry and ``previous_hash``."""

    sequence: int  # 1, 2, 3, ... within the release
    entry: Entry
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """A release as stored: its state after ``sequence`` entries, and what lists need to find it by."""

    release_id: str
    model: str
    version: str
    phase: str
    active: bool  # not yet in a terminal phase
    sequence: int
    started_at_s: float
    state: Json = field(repr=False)


class Journal(Protocol):
    """The record of what was decided. Entries and the state they lead to are committed in one transaction."""

    def append(self, record: ReleaseRecord, entries: Sequence[Entry], *, taken_up: Sequence[str] = ()) -> None:
        """Append ``entries`` and store ``record``; ``record.sequence`` counts them in. ``taken_up`` are ids of commands
        that these entries answer: they leave the inbox in the same transaction.

        Raises:
            ConflictError: the journal does not stand at ``record.sequence - len(entries)``: another writer.
        """

    def release(self, release_id: str) -> ReleaseRecord | None: ...

    def releases(
        self, *, model: str | None = None, active: bool | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[ReleaseRecord]:
        """Newest first; with ``before``, the id of a release, those older than it: none where there is no such one."""

    def page(self, release_id: str, *, after: int, limit: int) -> Sequence[RecordedEntry]:
        """The entries that follow sequence number ``after``, in order, at most ``limit``. Each is held against its hash
        and the entry before it, and the last of all against the release.

        Raises:
            PermanentError: the chain is broken; the message names the sequence number.
        """

    def entries(self, release_id: str) -> Sequence[RecordedEntry]:
        """In order, with the chain checked.

        Raises:
            PermanentError: the chain is broken; the message names the sequence number.
        """
