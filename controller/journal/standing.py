"""The summary that stands for an entry whose payload was thinned out."""

from dataclasses import dataclass, replace

from controller.core.events import Event
from controller.errors import PermanentError
from controller.journal import chain
from controller.journal.codec import event_of, note_of
from controller.journal.notes import LooksThinned
from controller.ports.journal import RecordedEntry, release_of_stream, summary_stream


def told_of(entry: RecordedEntry) -> Event | LooksThinned | None:
    """Return what an entry of a release tells: its event; what stands for it and others, once at the last of them; or
    nothing, where that is told at a later one.

    Raises:
        PermanentError: this version of Serin cannot read it.
    """
    if entry.text is not None:
        return event_of(entry)
    note = note_of(entry.summary) if entry.summary is not None else None
    return note if isinstance(note, LooksThinned) else None


@dataclass(frozen=True, slots=True)
class Summary:
    """An entry that stands for others, and for which of its release."""

    entry: RecordedEntry
    note: LooksThinned

    def covers(self, entry: RecordedEntry) -> bool:
        """Return whether it stands for the entry."""
        of_release = summary_stream(release_of_stream(entry.stream)) == self.entry.stream
        return of_release and self.note.first <= entry.sequence <= self.note.last


def summary_of(entry: RecordedEntry) -> Summary | None:
    """Return what the entry stands for; None where it is not what its hash says, or stands for nothing."""
    if not chain.is_whole(entry) or entry.kind != LooksThinned.__name__:
        return None
    note = note_of(entry)
    return Summary(entry, note) if isinstance(note, LooksThinned) else None


def stood_for(entry: RecordedEntry, summary: Summary | None) -> RecordedEntry:
    """The entry, and if it is the last that ``summary`` stands for, that with it.

    Raises:
        PermanentError: it does not stand for the entry: the payload was taken away.
    """
    if summary is None or not summary.covers(entry):
        raise PermanentError(
            f"journal of release {release_of_stream(entry.stream)}: the payload of entry {entry.sequence} is away, "
            "and nothing stands for it"
        )
    return replace(entry, summary=summary.entry) if entry.sequence == summary.note.last else entry
