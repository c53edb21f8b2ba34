"""The journal's record of refused candidates: one note when a candidate is refused, one when it no longer is."""

import logging
from collections.abc import Callable

from controller.errors import SerinError
from controller.journal.codec import entry_of
from controller.journal.lasting import last_told
from controller.journal.notes import CandidateRefused
from controller.ports.clock import Clock
from controller.ports.journal import Journal, model_stream

log = logging.getLogger(__name__)


def refused_now(journal: Journal, model: str) -> CandidateRefused | None:
    """Return the last refusal of the version that the model's alias ``candidate`` points at; None if there is none.

    Raises:
        SerinError: the journal cannot be read.
    """
    note = last_told(journal, model, CandidateRefused)
    return note if note is not None and note.reason else None


class Refusals:
    """The refusals of one model, each written once. If the journal cannot be written, the next round tries again."""

    def __init__(
        self, model: str, journal: Journal, clock: Clock, fence: Callable[[], int | None] = lambda: None
    ) -> None:
        """``fence``: returns the leader's fence; may raise as `Journal.note`."""
        self._model = model
        self._journal = journal
        self._clock = clock
        self._fence = fence
        self._told: CandidateRefused | None = None
        self._is_known = False

    def refused(self, version: str, reason: str) -> None:
        """Record that the alias points at the version and that the version is refused, unless that is recorded."""
        found = CandidateRefused(self._model, version, reason)
        if self._last() != found:
            log.warning("model %s: the candidate, version %s, is refused: %s", self._model, version, reason)
            self._write(found)

    def stands(self, number: str | None, *, accepted: bool) -> None:
        """Take back the recorded refusal if the alias now points at another ``number`` ("": at none; None: not known),
        or if the version that it points at is ``accepted``."""
        told = self._last()
        if told is not None and (accepted or number not in (None, told.version)):
            self._write(CandidateRefused(self._model, told.version, ""))

    def _last(self) -> CandidateRefused | None:
        if not self._is_known:
            try:
                self._told, self._is_known = refused_now(self._journal, self._model), True
            except SerinError as error:
                log.debug("model %s: what was refused is not known: %s", self._model, error)
        return self._told

    def _write(self, found: CandidateRefused) -> None:
        try:
            stream = model_stream(self._model)
            self._journal.note(stream, [entry_of(found, self._clock.now_s())], fence=self._fence())
        except SerinError as error:
            log.warning("model %s: a refusal is not recorded yet: %s", self._model, error)
        else:
            self._told = found if found.reason else None
