"""The record of what was decided, and of what people did: events in streams, in one order over all of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

Json = Mapping[str, object]

INSTALLATION: Final = "installation"  # the stream of what concerns every model


def release_stream(release_id: str) -> str:
    """The stream of what happens to a release: one writer, and the state stands beside it."""
    return f"release:{release_id}"


def summary_stream(release_id: str) -> str:
    """The stream of what stands for old looks of a release: beside its own, which has one writer."""
    return f"summaries:{release_id}"


def release_of_stream(stream: str) -> str:
    """The release whose stream it is."""
    return stream.removeprefix("release:")


def model_stream(model: str) -> str:
    """The stream of what happens to a model outside of its releases."""
    return f"model:{model}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as it is written: a kind, a time, a payload of JSON values, and the schema that the payload is in."""

    kind: str
    at_s: float
    payload: Json
    schema: int = 1


@dataclass(frozen=True, slots=True)
class RecordedEntry:
    """An entry as it is stored, with its place in the journal and in its stream's chain of hashes.

    ``text`` is the payload, canonical JSON, and None where it was thinned out; ``summary`` of the last of those is the
    entry that stands for them all (`controller.journal.notes.LooksThinned`). ``head`` is what ``hash`` is the SHA-256
    of.
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
    chain: int = 2  # how the hash is taken: `controller.journal.chain`
    summary: "RecordedEntry | None" = field(default=None, repr=False)

    @property
    def entry(self) -> Entry:
        """The event. Raises ValueError where its payload was thinned out."""
        if self.text is None:
            raise ValueError(f"{self.stream}: the payload of entry {self.sequence} was thinned out")
        return Entry(self.kind, self.at_s, json.loads(self.text), self.schema)


@dataclass(frozen=True, slots=True)
class Sighting:
    """The version as a release that it takes part in knows it."""

    number: str
    source_id: str
    fingerprint: str  # empty until it was verified
    served: bool  # all users got its answers
    released: bool  # the release is, or was, to promote it


@dataclass(frozen=True, slots=True)
class ReleaseSummary:
    """The release as lists show it."""

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
    """A release as stored: its state after ``sequence`` entries, and what it is found by."""

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
    sightings: tuple[Sighting, ...] = field(default=(), compare=False, repr=False)  # written, and not read with it


class ReleaseLists(Protocol):
    """The releases as lists and overviews show them. No state of a release is read, however many there are."""

    def summaries(
        self, *, model: str | None = None, active: bool | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[ReleaseSummary]:
        """As `Journal.releases`, without states."""

    def summary(self, release_id: str) -> ReleaseSummary | None: ...

    def current(self, *, model: str | None = None) -> Sequence[ReleaseSummary]:
        """Return of each model the release that began last, by model: the one in progress, if there is one."""

    def newest(self, model: str, phases: Sequence[str], *, version: str | None = None) -> ReleaseSummary | None:
        """The model's release, or of its releases of that version the one, that began last among those in one of the
        phases."""

    def count(self, model: str, version: str) -> int:
        """Return how many releases of that version there are."""


class Versions(Protocol):
    """The identities by which the journal knows versions. Kept up to date by what is appended; nothing is read
    through."""

    def known(self, model: str, number: str) -> tuple[str, str] | None:
        """Source and fingerprint of the version that served last under this number, or was seen last where none did."""

    def fingerprint(self, model: str, number: str, source_id: str) -> str:
        """The fingerprint of the version's first sight; empty where it was never verified."""

    def released(self, model: str, number: str, source_id: str) -> bool:
        """Return whether a release to promote it was ever begun."""


class Journal(ReleaseLists, Versions, Protocol):
    """Entries and the state they lead to are committed in one transaction."""

    def append(
        self, record: ReleaseRecord, entries: Sequence[Entry], *, taken_up: Sequence[str] = (), fence: int | None = None
    ) -> None:
        """Append ``entries`` to the release's stream and store ``record``; ``record.sequence`` counts them in.
        ``taken_up`` are ids of commands that these entries answer: they leave the inbox in the same transaction.
        ``fence`` is the token of the leader who writes.

        Raises:
            ConflictError: the stream does not stand at ``record.sequence - len(entries)``: another writer; or a later
                leader has written since.
        """

    def note(self, stream: str, entries: Sequence[Entry], *, fence: int | None = None) -> None:
        """Append to the stream of a model or of the installation, which many may write to.

        Raises:
            ConflictError: a later leader than ``fence`` has written since.
        """

    def release(self, release_id: str) -> ReleaseRecord | None: ...

    def releases(
        self, *, model: str | None = None, active: bool | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[ReleaseRecord]:
        """Newest first; with ``before``, the id of a release, those older than it: none where there is no such one."""

    def page(self, release_id: str, *, after: int, limit: int) -> Sequence[RecordedEntry]:
        """The entries of a release as `stream_page` gives them."""

    def stream_page(self, stream: str, *, after: int, limit: int) -> Sequence[RecordedEntry]:
        """The entries that follow sequence number ``after``, in order, at most ``limit``. Each is held against its hash
        and the entry before it, and the last of all against the stream.

        Raises:
            PermanentError: the chain is broken; the message names the sequence number.
        """

    def last(self, stream: str, kinds: Sequence[str]) -> RecordedEntry | None:
        """The stream's last entry of one of the kinds."""

    def of_kinds(self, stream: str, kinds: Sequence[str], *, since_s: float, limit: int) -> Sequence[RecordedEntry]:
        """The stream's latest entries of these kinds that were written since then, in order, at most ``limit``. The
        chain is not checked."""

    def written_at_s(self) -> float | None:
        """Return the time of the last entry of any stream; None where there is none."""

    def entries(self, release_id: str) -> Sequence[RecordedEntry]:
        """In order, with the chain checked.

        Raises:
            PermanentError: the chain is broken; the message names the sequence number.
        """


class Feed(Protocol):
    """The journal in the order of its positions, for those who follow it."""

    def feed(self, *, after: int, limit: int, kinds: Sequence[str] | None = None) -> "FeedPage":
        """At most ``limit`` entries that follow position ``after``; of these kinds only, where any are named."""

    def position_of(self, subscriber: str) -> int:
        """Return how far the subscriber has come; 0 where it never began."""

    def advance(self, subscriber: str, position: int) -> None:
        """Remember that the subscriber is done with everything up to ``position``. Never goes back."""


@dataclass(frozen=True, slots=True)
class FeedPage:
    """``reached`` is the position up to which nothing is left out: what to ask for next follows it."""

    entries: Sequence[RecordedEntry]
    reached: int
