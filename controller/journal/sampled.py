"""The journal's record of how much of a model's requests is sampled."""

from controller.journal.codec import note_of
from controller.journal.notes import SamplingSet
from controller.ports.journal import Journal, model_stream


def last_set(journal: Journal, model: str) -> SamplingSet | None:
    """Return what was told last; None: nothing ever was.

    Raises:
        SerinError: the journal cannot be read.
    """
    last = journal.last(model_stream(model), (SamplingSet.__name__,))
    note = note_of(last) if last is not None else None
    return note if isinstance(note, SamplingSet) else None
