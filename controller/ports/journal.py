"""The record of decisions and of people's actions: events in streams, in one order over all streams."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

Json = Mapping[str, object]

INSTALLATION: Final = "installation"  # the stream of what concerns every model


def release_stream(release_id: str) -> str:
    """Return the name of a release's stream, which has one writer and is stored with the release's state."""
    return f"release:{release_id}"


def summary_stream(release_id: str) -> str:
    """Return the name of the stream with the summaries of a release's old looks. It is separate, because the release's
    own stream has one writer."""
    return f"summaries:{release_id}"


def release_of_stream(stream: str) -> str:
    """Return the id of the release that the stream belongs to."""
    return stream.removeprefix("release:")


def model_stream(model: str) -> str:
    """Return the name of the stream of a model, for events outside its releases."""
    return f"model:{model}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event to be written: its kind, its unix time, a payload of JSON values, and the schema of the payload."""

    kind: str
    at_s: float
    payload: Json
    schema: int = 1


@dataclass(frozen=True, slots=True)
class RecordedEntry:
    """An entry as stored, with its place in the journal and in its stream's chain of hashes.

    ``text`` is the payload as canonical JSON; None if it was thinned out. The last entry of a thinned group has
    ``summary``, the entry that stands for the whole group (`controller.journal.notes.LooksThinned`). ``hash`` is the
    SHA-256 of ``head``.
    """

    position: int  # 1, 2, 3, ... over all streams: the order in which they were committed
    stream: str
    sequence: int  # 1, 2, 3, ... within the stream
    kind: str
    at_s: float
    schema: int
    text: str | None = field(repr=False)
    head: str = field(repr=False)
    previous_hash: str
    hash: str
    chain: int = 2  # the kind of hash: `controller.journal.chain`
    summary: "RecordedEntry | None" = field(default=None, repr=False)

    @property
    def entry(self) -> Entry:
        """The event with its payload parsed. Raises ValueError if the payload was thinned out."""
        if self.text is None:
            raise ValueError(f"{self.stream}: the payload of entry {self.sequence} was thinned out")
        return Entry(self.kind, self.at_s, json.loads(self.text), self.schema)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A version as one of the releases that it takes part in knows it."""

    number: str
    source_id: str
    fingerprint: str  # empty until it was verified
    served: bool  # it answered all users
    released: bool  # the purpose of the release is to promote it


@dataclass(frozen=True, slots=True)
class ReleaseSummary:
    """A release as shown in lists."""

    release_id: str
    model: str
    version: str
    phase: str
    active: bool  # not yet in a terminal phase
    sequence: int
    started_at_s: float
    phase_since_s: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """A release as stored: its state after ``sequence`` entries, and the fields by which it is found."""

    release_id: str
    model: str
    version: str
    phase: str
    active: bool
    sequence: int
    started_at_s: float
    state: str = field(repr=False)  # JSON
    phase_since_s: float = 0.0
    reason: str = ""
    sightings: tuple[Sighting, ...] = field(default=(), compare=False, repr=False)  # written only, never read back


class ReleaseLists(Protocol):
    """The releases as shown in lists and overviews, read without their states."""

    def summaries(
        self, *, model: str | None = None, active: bool | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[ReleaseSummary]:
        """Return the releases as `Journal.releases` does, without their states."""

    def summary(self, release_id: str) -> ReleaseSummary | None: ...

    def current(self, *, model: str | None = None) -> Sequence[ReleaseSummary]:
        """Return for each model the release that began last (the one in progress, if there is one), sorted by model."""

    def newest(self, model: str, phases: Sequence[str], *, version: str | None = None) -> ReleaseSummary | None:
        """Return the release of the model, and of the version if one is given, that began last among those in one of
        the phases; None if there is none."""

    def count(self, model: str, version: str) -> int:
        """Return the number of releases of the version."""


class Versions(Protocol):
    """The identities by which the journal knows versions. Each append updates them, so a look-up reads no entries."""

    def known(self, model: str, number: str) -> tuple[str, str] | None:
        """Return the source and the fingerprint of the version that served last under this number, or else was seen
        last; None if there is none."""

    def fingerprint(self, model: str, number: str, source_id: str) -> str:
        """Return the version's fingerprint at its first sight; empty if it was never verified."""

    def released(self, model: str, number: str, source_id: str) -> bool:
        """Return whether a release to promote the version was ever begun."""


class Journal(ReleaseLists, Versions, Protocol):
    """The journal. Entries and the state that follows from them are committed in one transaction."""

    def append(
        self, record: ReleaseRecord, entries: Sequence[Entry], *, taken_up: Sequence[str] = (), fence: int | None = None
    ) -> None:
        """Append ``entries`` to the release's stream and store ``record``, whose ``sequence`` includes them.
        ``taken_up``: the ids of the commands that these entries answer; they leave the inbox in the same transaction.
        ``fence``: the fence of the leader who writes.

        Raises:
            ConflictError: the stream does not have ``record.sequence - len(entries)`` entries, because somebody else
                wrote, or a later leader has written since.
        """

    def note(self, stream: str, entries: Sequence[Entry], *, fence: int | None = None) -> None:
        """Append entries to the stream of a model or of the installation, which several writers share.

        Raises:
            ConflictError: a later leader than ``fence`` has written since.
        """

    def release(self, release_id: str) -> ReleaseRecord | None: ...

    def releases(
        self, *, model: str | None = None, active: bool | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[ReleaseRecord]:
        """Return the releases, newest first, ``limit`` at most; with ``before``, the id of a release, only those older
        than that one (none if there is no such release)."""

    def page(self, release_id: str, *, after: int, limit: int) -> Sequence[RecordedEntry]:
        """Return the entries of a release, as `stream_page`."""

    def stream_page(self, stream: str, *, after: int, limit: int) -> Sequence[RecordedEntry]:
        """Return the entries that follow sequence number ``after``, in order, at most ``limit``. Each is checked
        against its hash and the entry before it, and the stream's last entry against the stream.

        Raises:
            PermanentError: the chain is broken; the message names the sequence number.
        """

    def last(self, stream: str, kinds: Sequence[str]) -> RecordedEntry | None:
        """Return the stream's last entry of these kinds; None if there is none."""

    def of_kinds(self, stream: str, kinds: Sequence[str], *, since_s: float, limit: int) -> Sequence[RecordedEntry]:
        """Return the stream's latest entries of these kinds since ``since_s`` (unix time), in order, at most ``limit``.
        The chain is not checked."""

    def written_at_s(self) -> float | None:
        """Return the unix time of the last entry of any stream; None if there is none."""

    def entries(self, release_id: str) -> Sequence[RecordedEntry]:
        """Return all entries of the release in order, with the chain checked.

        Raises:
            PermanentError: the chain is broken; the message names the sequence number.
        """


class Feed(Protocol):
    """The journal in the order of its positions, for followers."""

    def feed(self, *, after: int, limit: int, kinds: Sequence[str] | None = None) -> "FeedPage":
        """Return at most ``limit`` entries after position ``after``; only those of ``kinds``, if given."""

    def position_of(self, subscriber: str) -> int:
        """Return the position up to which the subscriber has read; 0 if it never began."""

    def advance(self, subscriber: str, position: int) -> None:
        """Store that the subscriber has read everything up to ``position``. A stored position never goes back."""


@dataclass(frozen=True, slots=True)
class FeedPage:
    """One page of the feed. ``reached``: the position up to which nothing is left out; the next page begins after
    it."""

    entries: Sequence[RecordedEntry]
    reached: int
