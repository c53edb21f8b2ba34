"""The findings of a model's earlier releases about its service, from the journal."""

import logging
from typing import Final

from controller.core.judging import learnt
from controller.core.release import Phase
from controller.errors import PermanentError
from controller.journal.codec import release_of
from controller.ports.journal import Journal
from gates.evidence import Earlier

log = logging.getLogger(__name__)


_READ: Final = 10  # the newest releases that are searched for one that its gates promoted


class History:
    """The findings from the snapshot of the newest release that its gates promoted. Findings of a release that was
    rolled back may be its candidate's doing, and are not used. Each release began with the findings of earlier ones,
    so the newest is enough."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def earlier(self, model: str) -> tuple[Earlier, ...]:
        """Return the findings that the gates of the next release begin with; empty if there are none that this version
        of Serin can read."""
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
