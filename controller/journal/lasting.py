"""The last note of one kind in a model's stream: it is in force until the next one."""

from typing import TypeVar

from controller.errors import UnreadableError
from controller.journal.codec import note_of
from controller.ports.journal import Journal, model_stream

NoteT = TypeVar("NoteT")


def last_told(journal: Journal, model: str, kind: type[NoteT]) -> NoteT | None:
    """Return the model's last note of the kind; None if there is none that this version of Serin can read. The caller
    then finds out the facts and writes the note again.

    Raises:
        SerinError: the journal cannot be read.
    """
    last = journal.last(model_stream(model), (kind.__name__,))
    try:
        note = note_of(last) if last is not None else None
    except UnreadableError:
        return None
    return note if isinstance(note, kind) else None
