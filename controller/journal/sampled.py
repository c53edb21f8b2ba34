"""The journal's record of how much of a model's requests is sampled."""

from controller.journal.lasting import last_told
from controller.journal.notes import SamplingSet
from controller.ports.journal import Journal


def last_set(journal: Journal, model: str) -> SamplingSet | None:
    """Return what was told last. None and errors: as `last_told`."""
    return last_told(journal, model, SamplingSet)
