"""The journal's record of the share of a model's requests that is sampled."""

from controller.journal.lasting import last_told
from controller.journal.notes import SamplingSet
from controller.ports.journal import Journal


def last_set(journal: Journal, model: str) -> SamplingSet | None:
    """Return the last note of the share. None and errors: as `last_told`."""
    return last_told(journal, model, SamplingSet)
