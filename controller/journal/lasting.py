"""The note of a model that was told last, of one kind: what holds until another is told."""

from typing import TypeVar

from controller.errors import UnreadableError
from controller.journal.codec import note_of
from controller.ports.journal import Journal, model_stream

NoteT = TypeVar("NoteT")


def last_told(journal: Journal, model: str, kind: type[NoteT]) -> NoteT | None:
    """Return it; None where nothing ever was that this version of Serin can read: it is found out and told anew.

    Raises:
        SerinError: the journal cannot be read.
    """
    last = journal.last(model_stream(model), (kind.__name__,))
    try:
        note = note_of(last) if last is not None else None
    except UnreadableError:
        return None
    return note if isinstance(note, kind) else None
