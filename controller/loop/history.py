"""The service of a model as its earlier releases found it, from the journal."""

import logging
from typing import Final

from controller.core.judging import learnt
from controller.core.release import Phase
from controller.errors import PermanentError
from controller.journal.codec import release_of
from controller.ports.journal import Journal
from gates.evidence import Earlier

log = logging.getLogger(__name__)


_READ: Final = 10  # releases, of which one may have been promoted by its gates


class History:
    """Answers from the snapshot that the newest release left that its gates have promoted. Of one that was rolled back,
    what was found may have been its candidate's doing. Each began with what the ones before it found."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def earlier(self, model: str) -> tuple[Earlier, ...]:
        """Return what the gates begin with; nothing where there is nothing that this version of Serin can read."""
        for summary in self._journal.summaries(model=model, active=False, limit=_READ):
            record = self._journal.release(summary.release_id) if summary.phase == Phase.PROMOTED else None
            try:
                release = release_of(record) if record is not None else None
            except PermanentError as error:
                log.warning("model %s: its next release begins without what earlier ones found: %s", model, error)
                return ()
            if release is not None and release.gate_state is not None:
                return learnt(release)
        return ()
