"""The registry is told how releases ended, and which candidates are refused: tags for people to read, and the candidate
alias of what was promoted."""

from typing import Final

from controller.core.events import PhaseEntered
from controller.core.release import TERMINAL, Phase
from controller.journal.codec import event_of, note_of
from controller.journal.notes import CandidateRefused
from controller.ports.journal import RecordedEntry, ReleaseLists, release_of_stream
from controller.ports.registry import CANDIDATE, Registry

REASON_CHARS_MAX: Final = 500
REFUSED: Final = "refused"


class RegistryTags:
    """Follows the ends of releases, and refusals (`controller.subscribers.feed.Subscriber`)."""

    name: Final = "registry tags"
    kinds: Final = (PhaseEntered.__name__, CandidateRefused.__name__)

    def __init__(self, registry: Registry, releases: ReleaseLists) -> None:
        self._registry = registry
        self._releases = releases

    def take(self, entry: RecordedEntry) -> None:
        if entry.kind == CandidateRefused.__name__:
            self._refused(entry)
            return
        event = event_of(entry)
        if not isinstance(event, PhaseEntered) or event.phase not in TERMINAL:
            return
        release = self._releases.summary(release_of_stream(entry.stream))
        if release is None:
            return
        reason = release.reason[:REASON_CHARS_MAX]
        tags = {"serin.outcome": release.phase, "serin.release": release.release_id, "serin.reason": reason}
        self._registry.tag(release.model, release.version, tags)
        if event.phase is Phase.PROMOTED:
            self._registry.drop_alias(release.model, CANDIDATE, expected=release.version)

    def _refused(self, entry: RecordedEntry) -> None:
        """Tag the version. One that is refused no more keeps its tags: its release will write others."""
        note = note_of(entry)
        if isinstance(note, CandidateRefused) and note.reason:
            tags = {"serin.outcome": REFUSED, "serin.reason": note.reason[:REASON_CHARS_MAX]}
            self._registry.tag(note.model, note.version, tags)
