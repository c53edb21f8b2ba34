"""The log of the policies that a model had: each change is recorded in the model's stream of the journal."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from controller.core.policy import ReleasePolicy
from controller.errors import SerinError, UnreadableError
from controller.journal.codec import entry_of, note_of
from controller.journal.notes import Note, PolicyGone, PolicyRead
from controller.ports.clock import Clock
from controller.ports.journal import Journal, model_stream

log = logging.getLogger(__name__)

Policies = Callable[[], Mapping[str, ReleasePolicy]]
_KINDS: Final = (PolicyRead.__name__, PolicyGone.__name__)


class PolicyLog:
    """The current policies, whose changes are recorded when they are read. If the journal cannot be written, the
    policies take effect all the same, and the next reading records them."""

    def __init__(
        self, policies: Policies, journal: Journal, clock: Clock, fence: Callable[[], int | None] = lambda: None
    ) -> None:
        """``fence``: returns the leader's fence; may raise as `Journal.note`."""
        self._fence = fence
        self._policies = policies
        self._journal = journal
        self._clock = clock
        self._told: dict[str, ReleasePolicy | None] = {}  # by model, as the journal has it; None: gone

    def __call__(self) -> Mapping[str, ReleasePolicy]:
        """Return the policies by model, and record what changed."""
        found = self._policies()
        for model in found.keys() | self._told.keys():
            try:
                self._tell(model, found.get(model))
            except SerinError as error:
                log.warning("model %s: its policy is not recorded yet: %s", model, error)
        return found

    def _tell(self, model: str, policy: ReleasePolicy | None) -> None:
        if model not in self._told:
            self._told[model] = self._recorded(model)
        if self._told[model] != policy:
            note: Note = PolicyRead(policy) if policy is not None else PolicyGone(model)
            self._journal.note(model_stream(model), [entry_of(note, self._clock.now_s())], fence=self._fence())
            self._told[model] = policy

    def _recorded(self, model: str) -> ReleasePolicy | None:
        last = self._journal.last(model_stream(model), _KINDS)
        try:
            note = note_of(last) if last is not None else None
        except UnreadableError:  # the current policy is recorded again
            return None
        return note.policy if isinstance(note, PolicyRead) else None
