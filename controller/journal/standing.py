"""The summary that stands for an entry whose payload was thinned out."""

from dataclasses import dataclass, replace

from controller.core.events import Event
from controller.errors import PermanentError
from controller.journal import chain
from controller.journal.codec import event_of, note_of
from controller.journal.notes import LooksThinned
from controller.ports.journal import RecordedEntry, release_of_stream, summary_stream


def told_of(entry: RecordedEntry) -> Event | LooksThinned | None:
    """Return the event of a release's entry. For a thinned group of entries, return the summary at its last entry, and
    None at the others.

    Raises:
        PermanentError: this version of Serin cannot read the entry.
    """
    if entry.text is not None:
        return event_of(entry)
    note = note_of(entry.summary) if entry.summary is not None else None
    return note if isinstance(note, LooksThinned) else None


@dataclass(frozen=True, slots=True)
class Summary:
    """An entry that stands for other entries of a release; ``note`` says for which."""

    entry: RecordedEntry
    note: LooksThinned

    def covers(self, entry: RecordedEntry) -> bool:
        """Return whether the summary stands for the entry."""
        of_release = summary_stream(release_of_stream(entry.stream)) == self.entry.stream
        return of_release and self.note.first <= entry.sequence <= self.note.last


def summary_of(entry: RecordedEntry) -> Summary | None:
    """Return the entry as a summary; None if its hash is wrong, or if it is no summary.

    Raises:
        PermanentError: this version of Serin cannot read the entry.
    """
    if not chain.is_whole(entry) or entry.kind != LooksThinned.__name__:
        return None
    note = note_of(entry)
    return Summary(entry, note) if isinstance(note, LooksThinned) else None


def stood_for(entry: RecordedEntry, summary: Summary | None) -> RecordedEntry:
    """Return the thinned entry; the last one of its group with the summary.

    Raises:
        PermanentError: the summary does not stand for the entry, so its payload is missing.
    """
    if summary is None or not summary.covers(entry):
        raise PermanentError(
            f"journal of release {release_of_stream(entry.stream)}: the payload of entry {entry.sequence} is away, "
            "and nothing stands for it"
        )
    return replace(entry, summary=summary.entry) if entry.sequence == summary.note.last else entry
