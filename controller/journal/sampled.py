"""The journal's record of how much of a model's requests is sampled."""

from controller.errors import UnreadableError
from controller.journal.codec import note_of
from controller.journal.notes import SamplingSet
from controller.ports.journal import Journal, model_stream


def last_set(journal: Journal, model: str) -> SamplingSet | None:
    """Return what was told last; None: nothing ever was that this version of Serin can read.

    Raises:
        SerinError: the journal cannot be read.
    """
    last = journal.last(model_stream(model), (SamplingSet.__name__,))
    try:
        note = note_of(last) if last is not None else None
    except UnreadableError:  # it is found out and told anew
        return None
    return note if isinstance(note, SamplingSet) else None
