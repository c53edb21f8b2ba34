"""What stands for an entry whose payload was thinned out."""

from dataclasses import replace

from controller.core.events import Event
from controller.errors import PermanentError
from controller.journal import chain
from controller.journal.codec import event_of, note_of
from controller.journal.notes import LooksThinned
from controller.ports.journal import RecordedEntry, release_of_stream, summary_stream


def told_of(entry: RecordedEntry) -> Event | LooksThinned | None:
    """What an entry of a release tells: its event; what stands for it and others, once at the last of them; or nothing,
    where that is told at a later one.

    Raises:
        PermanentError: this version of Serin cannot read it.
    """
    if entry.text is not None:
        return event_of(entry)
    note = note_of(entry.summary) if entry.summary is not None else None
    return note if isinstance(note, LooksThinned) else None


def stood_for(entry: RecordedEntry, summary: RecordedEntry | None) -> RecordedEntry:
    """The entry, and if it is the last that ``summary`` stands for, that with it.

    Raises:
        PermanentError: it does not stand for the entry, or is not what its hash says: the payload was taken away.
    """
    release_id = release_of_stream(entry.stream)
    if summary is not None and summary.stream == summary_stream(release_id) and chain.is_whole(summary):
        note = note_of(summary)
        if isinstance(note, LooksThinned) and note.first <= entry.sequence <= note.last:
            return replace(entry, summary=summary) if entry.sequence == note.last else entry
    raise PermanentError(
        f"journal of release {release_id}: the payload of entry {entry.sequence} is away, and nothing stands for it"
    )
